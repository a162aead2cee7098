//! What happened between us and Redis: one call here is one log line and one metric. Metrics are named `onair_redis_*`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;
use tracing::{error, info, warn};

use super::error::ConnectError;
use super::settings::Endpoint;
use super::trouble::Trouble;

/// Values come from a closed set: lane and outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    lane: &'static str,
    outcome: &'static str,
}

/// Primaries come and go with failovers; a gone one's label is taken away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPrimary {
    primary: String,
}

pub(super) struct Reports {
    calls: Family<ByOutcome, Counter>,
    up: Family<ByPrimary, Gauge>,
    connects: Counter,
    losses: Counter,
    discoveries: Counter,
    discoveries_failed: Counter,
    unconfirmed: Counter,
    script_loads: Counter,
    bell_connects: Counter,
}

impl Reports {
    pub(super) fn new(metrics: &mut Metrics) -> Self {
        let reports = Self {
            calls: Family::default(),
            up: Family::default(),
            connects: Counter::default(),
            losses: Counter::default(),
            discoveries: Counter::default(),
            discoveries_failed: Counter::default(),
            unconfirmed: Counter::default(),
            script_loads: Counter::default(),
            bell_connects: Counter::default(),
        };
        let m = metrics.sub_registry_with_prefix("onair_redis");
        m.register("calls", "Exchanges with a primary", reports.calls.clone());
        m.register("primary_up", "1 while connected to this primary, 0 while it is away", reports.up.clone());
        m.register("connects", "Connections made to primaries", reports.connects.clone());
        m.register("losses", "Primaries that stopped answering or being primary", reports.losses.clone());
        m.register("discoveries", "Looks for the primaries", reports.discoveries.clone());
        m.register("discoveries_failed", "Looks that found none", reports.discoveries_failed.clone());
        m.register(
            "unconfirmed",
            "Exchanges that too few replicas confirmed in time",
            reports.unconfirmed.clone(),
        );
        m.register("script_loads", "Times a server had forgotten our scripts", reports.script_loads.clone());
        m.register("bell_connects", "Connections made to hear bells", reports.bell_connects.clone());
        reports
    }

    pub(super) fn call(&self, lane: &'static str, outcome: Result<(), &Trouble>) {
        let outcome = match outcome {
            Ok(()) => "answered",
            Err(Trouble::Gone(_)) => "gone",
            Err(Trouble::NotPrimary(_)) => "not_primary",
            Err(Trouble::Full) => "full",
            Err(_) => "refused",
        };
        self.calls.get_or_create(&ByOutcome { lane, outcome }).inc();
    }

    /// No connection to send on.
    pub(super) fn call_without_connection(&self, lane: &'static str) {
        self.calls.get_or_create(&ByOutcome { lane, outcome: "no_connection" }).inc();
    }

    pub(super) fn connected(&self, primary: &Endpoint, run_id: &str) {
        self.connects.inc();
        self.up.get_or_create(&label(primary)).set(1);
        info!(%primary, run_id, "connected to the Redis primary");
    }

    pub(super) fn lost(&self, primary: &Endpoint, why: &str) {
        self.losses.inc();
        self.up.get_or_create(&label(primary)).set(0);
        warn!(%primary, why, "the Redis primary is lost");
    }

    /// Others are primary now.
    pub(super) fn retired(&self, primary: &Endpoint) {
        self.up.remove(&label(primary));
        info!(%primary, "no longer a primary of ours");
    }

    /// Said when it begins and when the cause changes.
    pub(super) fn looked(&self, failure: Option<&ConnectError>, is_news: bool) {
        self.discoveries.inc();
        if let Some(failure) = failure {
            self.discoveries_failed.inc();
            if is_news && failure.is_passing() {
                warn!(why = %failure, "some of the registry has no Redis primary");
            } else if is_news {
                error!(why = %failure, "the registry cannot use its Redis");
            }
        } else if is_news {
            info!("all of the registry has its Redis primary again");
        }
    }

    /// Said when it begins and when it ends.
    pub(super) fn confirmed(&self, primary: &Endpoint, is_confirmed: bool, is_news: bool) {
        if !is_confirmed {
            self.unconfirmed.inc();
        }
        if is_news && is_confirmed {
            info!(%primary, "replicas confirm again");
        } else if is_news {
            warn!(%primary, "too few replicas confirm: nothing new is safe from a failover");
        }
    }

    pub(super) fn scripts_forgotten(&self, primary: &Endpoint) {
        self.script_loads.inc();
        info!(%primary, "Redis had forgotten our scripts; loaded again");
    }

    pub(super) fn bells_connected(&self, at: &Endpoint) {
        self.bell_connects.inc();
        info!(%at, "listening for bells");
    }

    pub(super) fn bells_lost(&self, at: &Endpoint, why: &str) {
        warn!(%at, why, "no longer listening for bells");
    }

    pub(super) fn advice(&self, primary: &Endpoint, advice: &str) {
        warn!(%primary, advice, "Redis is not set up as it should be");
    }
}

fn label(primary: &Endpoint) -> ByPrimary {
    ByPrimary { primary: primary.to_string() }
}
