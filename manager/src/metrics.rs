//! The metrics of the Manager and of its HTTP face. Moved by `reports` alone, so that log and metric cannot disagree.

mod ship;

use std::sync::atomic::AtomicU64;

use onair_cluster::EventKind;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::feed::FeedMetrics;
use ship::ShipMetrics;

/// All counters and gauges, cheap to clone.
#[derive(Clone, Debug)]
pub struct ManagerMetrics {
    pub(crate) events: Family<EventLabels, Counter>,
    pub(crate) event_lag: Histogram,
    pub(crate) apply_time: Histogram,
    pub(crate) quarantined: Counter,
    pub(crate) actor_restarts: Counter,
    pub(crate) live_db_up: Gauge,
    pub(crate) live_db_failures: Counter,
    pub(crate) registry_failures: Counter,
    pub(crate) shards_restored: Counter,
    pub(crate) closed_lost: Counter,
    pub(crate) addresses: Counter,
    pub(crate) keys_retired: Counter,
    pub(crate) keys_revoked: Counter,
    pub(crate) ends_asked: Counter,
    pub(crate) ends_outstanding: Gauge,
    pub(crate) rows_owed: Gauge,
    pub(crate) feed: FeedMetrics,
    pub(crate) ship: ShipMetrics,
    pub(crate) managers: Gauge,
    pub(crate) shards_owned: Gauge,
    pub(crate) ownership_changes: Counter,
    pub(crate) terms_fenced: Counter,
    pub(crate) numbers_broken: Counter,
    pub(crate) reconciles: Counter,
    pub(crate) repairs: Family<RepairLabels, Counter>,
    pub(crate) oldest_unread: Gauge<f64, AtomicU64>,
    pub(crate) outbox_unshipped: Gauge,
    pub(crate) outbox_oldest: Gauge<f64, AtomicU64>,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) request_time: Histogram,
    pub(crate) refused_tokens: Counter,
    pub(crate) audit_lost: Counter,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// It changed the Live DB.
    Applied,
    /// The Live DB had it already.
    Repeat,
    /// It came after a newer session of its room had begun.
    Fenced,
    /// The Live DB refuses it.
    Quarantined,
}

impl EncodeLabelValue for Fate {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let name = match self {
            Self::Applied => "applied",
            Self::Repeat => "repeat",
            Self::Fenced => "fenced",
            Self::Quarantined => "quarantined",
        };
        name.encode(encoder)
    }
}

/// What reconciling repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RepairKind {
    /// A session that was open on record, and gone.
    Lost,
    /// A session on air that was not on record.
    Granted,
    /// A session that was live, but not on record.
    Live,
    /// A session on air after its recorded end.
    Over,
}

impl EncodeLabelValue for RepairKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let name = match self {
            Self::Lost => "lost",
            Self::Granted => "granted",
            Self::Live => "live",
            Self::Over => "over",
        };
        name.encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RepairLabels {
    pub(crate) kind: RepairKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EventLabels {
    pub(crate) kind: KindLabel,
    pub(crate) fate: Fate,
}

/// `granted`, `live` or `ended`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KindLabel(&'static str);

impl From<&EventKind> for KindLabel {
    fn from(kind: &EventKind) -> Self {
        Self(kind.name())
    }
}

impl EncodeLabelValue for KindLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

/// Route is a pattern of the table or `none`; method is one that the table knows or `other`: both are closed sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) route: String,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

impl ManagerMetrics {
    /// Makes them and names them in `registry`: `onair_manager_…` and `onair_http_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let mut metrics = Self::unregistered();
        metrics.feed = FeedMetrics::register(registry.sub_registry_with_prefix("onair_manager"));
        let m = &metrics;
        {
            let to = registry.sub_registry_with_prefix("onair_manager");
            to.register("events", "Lifecycle events by what became of them", m.events.clone());
            to.register_with_unit(
                "event_lag",
                "From the registry's record of an event to its commit in the Live DB",
                Unit::Seconds,
                m.event_lag.clone(),
            );
            to.register_with_unit("apply", "Time to apply one batch", Unit::Seconds, m.apply_time.clone());
            to.register("events_quarantined", "Events that the Live DB refuses", m.quarantined.clone());
            to.register("actor_restarts", "Panics of the Manager actor", m.actor_restarts.clone());
            to.register("live_db_up", "1 while the Live DB answers", m.live_db_up.clone());
            to.register(
                "live_db_failures",
                "Calls that the Live DB did not answer",
                m.live_db_failures.clone(),
            );
            to.register(
                "registry_failures",
                "Calls that the registry did not answer",
                m.registry_failures.clone(),
            );
            to.register(
                "shards_restored",
                "Shards of the registry that got their keys and holds back",
                m.shards_restored.clone(),
            );
            to.register(
                "sessions_closed_lost",
                "Sessions left open by a kill, closed at start",
                m.closed_lost.clone(),
            );
            to.register("addresses", "Broadcast addresses handed out", m.addresses.clone());
            to.register(
                "keys_retired",
                "Live keys retired to make room for a new one",
                m.keys_retired.clone(),
            );
            to.register("keys_revoked", "Live keys revoked through the API", m.keys_revoked.clone());
            to.register("ends_asked", "Sessions told to end through the API", m.ends_asked.clone());
            to.register(
                "ends_outstanding",
                "Sessions told to end that have not ended",
                m.ends_outstanding.clone(),
            );
            to.register(
                "rows_owed",
                "Changes in force that the Live DB or the registry does not know yet",
                m.rows_owed.clone(),
            );
            register_shards(to, m);
            m.ship.register(to);
        }
        let to = registry.sub_registry_with_prefix("onair_http");
        to.register("requests", "Requests answered", m.requests.clone());
        to.register_with_unit("request", "Time to answer", Unit::Seconds, m.request_time.clone());
        to.register("audit_lost", "Entries of the audit log that are in the log only", m.audit_lost.clone());
        to.register("refused_tokens", "Requests with no or a wrong token", m.refused_tokens.clone());
        metrics
    }

    fn unregistered() -> Self {
        // 1 ms to 16 s, and 0.1 ms to 6.5 s.
        let slow = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let fast = || Histogram::new(exponential_buckets(0.0001, 2.0, 17));
        let live_db_up: Gauge<i64, std::sync::atomic::AtomicI64> = Gauge::default();
        live_db_up.set(1);
        Self {
            events: Family::default(),
            event_lag: slow(),
            apply_time: fast(),
            quarantined: Counter::<u64, AtomicU64>::default(),
            actor_restarts: Counter::default(),
            live_db_up,
            live_db_failures: Counter::default(),
            registry_failures: Counter::default(),
            shards_restored: Counter::default(),
            closed_lost: Counter::default(),
            addresses: Counter::default(),
            keys_retired: Counter::default(),
            keys_revoked: Counter::default(),
            ends_asked: Counter::default(),
            ends_outstanding: Gauge::default(),
            rows_owed: Gauge::default(),
            feed: FeedMetrics::unregistered(),
            ship: ShipMetrics::default(),
            managers: Gauge::default(),
            shards_owned: Gauge::default(),
            ownership_changes: Counter::default(),
            terms_fenced: Counter::default(),
            numbers_broken: Counter::default(),
            reconciles: Counter::default(),
            repairs: Family::default(),
            oldest_unread: Gauge::default(),
            outbox_unshipped: Gauge::default(),
            outbox_oldest: Gauge::default(),
            requests: Family::default(),
            request_time: fast(),
            refused_tokens: Counter::default(),
            audit_lost: Counter::default(),
        }
    }
}

/// What tells of shards and their owner.
fn register_shards(to: &mut Registry, m: &ManagerMetrics) {
    to.register("managers", "Managers that live, this one included", m.managers.clone());
    to.register("shards_owned", "Shards that this Manager owns", m.shards_owned.clone());
    to.register(
        "ownership_changes",
        "Shards that this Manager has taken, given up or lost",
        m.ownership_changes.clone(),
    );
    to.register(
        "terms_fenced",
        "Writes that the Live DB refused, since another Manager owned the shard",
        m.terms_fenced.clone(),
    );
    to.register(
        "numbers_broken",
        "Times that the numbers of a shard's events had a gap or fell",
        m.numbers_broken.clone(),
    );
    to.register("reconciles", "Comparisons of a shard's leases with the Live DB", m.reconciles.clone());
    to.register("repairs", "Sessions that such a comparison repaired, by what was wrong", m.repairs.clone());
    to.register_with_unit(
        "oldest_unread",
        "For how long the oldest event has waited that is not stored",
        Unit::Seconds,
        m.oldest_unread.clone(),
    );
    to.register(
        "outbox_unshipped",
        "Messages of all shards that are not shipped",
        m.outbox_unshipped.clone(),
    );
    to.register_with_unit(
        "outbox_oldest_unshipped",
        "The age of the oldest of them",
        Unit::Seconds,
        m.outbox_oldest.clone(),
    );
}
