//! What happened to a lease on this node: one call here is one log line and one metric, so that they cannot disagree.
//! Metrics are named `onair_lease_*`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Metrics;
use tracing::{info, warn};

use super::Refusal;
use crate::events::{EndReason, Facts, SessionCard};
use crate::ids::Epoch;
use crate::lease::Cause;
use crate::registry::{Claim, Order};

/// Values come from closed sets only: end reasons, refusals.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// Why media rides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: &'static str,
}

/// Leases whose media rides, by cause.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Riding {
    unreachable: i64,
    unreplicated: i64,
}

impl Riding {
    /// One more lease, that rides for this cause or not at all.
    pub(super) fn count(&mut self, cause: Option<Cause>) {
        match cause {
            Some(Cause::Unreachable) => self.unreachable += 1,
            Some(Cause::Unreplicated) => self.unreplicated += 1,
            None => {}
        }
    }
}

pub(super) struct Reports {
    held: Gauge,
    outstanding: Gauge,
    grants: Counter,
    lives: Counter,
    ends: Family<ByReason, Counter>,
    losses: Counter,
    orders: Family<ByReason, Counter>,
    refusals: Family<ByReason, Counter>,
    unconfirmed: Counter,
    riding: Family<ByCause, Gauge>,
    calls_failed: Counter,
    unanswered: Counter,
    shards_away: Gauge,
    call_seconds: Histogram,
}

impl Reports {
    pub(super) fn new(metrics: &mut Metrics) -> Self {
        // From the in-process registry's microseconds to the call timeout.
        let buckets = [0.000_05, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4];
        let reports = Self {
            held: Gauge::default(),
            outstanding: Gauge::default(),
            grants: Counter::default(),
            lives: Counter::default(),
            ends: Family::default(),
            losses: Counter::default(),
            orders: Family::default(),
            refusals: Family::default(),
            unconfirmed: Counter::default(),
            riding: Family::default(),
            calls_failed: Counter::default(),
            unanswered: Counter::default(),
            shards_away: Gauge::default(),
            call_seconds: Histogram::new(buckets),
        };
        let m = metrics.sub_registry_with_prefix("onair_lease");
        m.register("held", "Leases held by this node", reports.held.clone());
        m.register("outstanding", "Ends that the registry has not recorded yet", reports.outstanding.clone());
        m.register("grants", "Leases granted to this node", reports.grants.clone());
        m.register("lives", "Sessions that went live", reports.lives.clone());
        m.register("ends", "Sessions ended by this node", reports.ends.clone());
        m.register("losses", "Leases found to be someone else's or over", reports.losses.clone());
        m.register("orders", "Sessions told to end", reports.orders.clone());
        m.register("refusals", "Claims refused", reports.refusals.clone());
        m.register("unconfirmed", "Renewals kept but not confirmed by replicas", reports.unconfirmed.clone());
        m.register("riding", "Leases whose media passes unconfirmed", reports.riding.clone());
        m.register("calls_failed", "Calls without any answer in time", reports.calls_failed.clone());
        m.register("unanswered", "Claims, renewals and ends without answer", reports.unanswered.clone());
        m.register("shards_away", "Shards of the registry that do not answer", reports.shards_away.clone());
        m.register("call_seconds", "Time of a call to the registry", reports.call_seconds.clone());
        reports
    }

    pub(super) fn granted(&self, card: &SessionCard) {
        self.grants.inc();
        info!(
            session_id = %card.session_id, room_id = %card.room_id, epoch = %card.epoch, live_key_id = %card.live_key_id,
            client_addr = %card.client_addr, client_agent = %card.client_agent, "lease granted"
        );
    }

    pub(super) fn live(&self, card: &SessionCard, facts: &Facts) {
        self.lives.inc();
        let after_ms = facts.live_at.map_or(0, |at| at.since(card.granted_at));
        info!(session_id = %card.session_id, room_id = %card.room_id, epoch = %card.epoch, after_ms, "session live");
    }

    pub(super) fn ended(&self, card: &SessionCard, facts: &Facts, reason: EndReason) {
        self.ends.get_or_create(&ByReason { reason: reason.as_str() }).inc();
        info!(
            session_id = %card.session_id, room_id = %card.room_id, epoch = %card.epoch, %reason,
            was_live = facts.live_at.is_some(), bytes_in = facts.bytes_in, "session ended"
        );
    }

    pub(super) fn given_back(&self, card: &SessionCard) {
        let reason = EndReason::Unconfirmed;
        self.ends.get_or_create(&ByReason { reason: reason.as_str() }).inc();
        info!(session_id = %card.session_id, room_id = %card.room_id, epoch = %card.epoch, %reason, "grant given back");
    }

    pub(super) fn lost(&self, card: &SessionCard, by: Option<Epoch>) {
        self.losses.inc();
        let by = by.map(|epoch| epoch.0);
        warn!(session_id = %card.session_id, room_id = %card.room_id, epoch = %card.epoch, by, "lease lost");
    }

    pub(super) fn ordered(&self, card: &SessionCard, order: &Order) {
        self.orders.get_or_create(&ByReason { reason: order.reason.as_str() }).inc();
        info!(
            session_id = %card.session_id, room_id = %card.room_id, epoch = %card.epoch, reason = %order.reason,
            "session told to end"
        );
    }

    pub(super) fn refused(&self, claim: &Claim, refusal: &Refusal) {
        self.refusals.get_or_create(&ByReason { reason: refusal.label() }).inc();
        info!(
            session_id = %claim.session_id, room_id = %claim.room_id, live_key_id = %claim.live_key_id,
            client_addr = %claim.client_addr, refusal = refusal.label(), "claim refused"
        );
    }

    pub(super) fn unconfirmed(&self) {
        self.unconfirmed.inc();
    }

    pub(super) fn call(&self, took: Duration) {
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// A call without any answer, or one of which `items` had none.
    pub(super) fn unanswered(&self, items: usize, was_all: bool) {
        self.unanswered.inc_by(items as u64);
        self.calls_failed.inc_by(u64::from(was_all));
    }

    /// How many shards do not answer; the log tells when that begins and when it is over.
    pub(super) fn shards_away(&self, count: usize) {
        let before = self.shards_away.set(i64::try_from(count).unwrap_or(i64::MAX));
        match (before, count) {
            (0, 0) => {}
            (0, _) => warn!(shards = count, "the registry does not answer"),
            (_, 0) => info!("the registry answers again"),
            _ => {}
        }
    }

    /// How many leases ride, in all; the log tells when the node begins and when it is over.
    pub(super) fn riding(&self, riding: Riding) {
        for (cause, count) in [("unreachable", riding.unreachable), ("unreplicated", riding.unreplicated)] {
            let before = self.riding.get_or_create(&ByCause { cause }).set(count);
            match (before, count) {
                (0, 0) => {}
                (0, _) => warn!(cause, leases = count, "media passes though nobody confirms the leases"),
                (_, 0) => info!(cause, "no media passes unconfirmed any more"),
                _ => {}
            }
        }
    }

    pub(super) fn leases(&self, count: usize) {
        self.held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn outstanding(&self, count: usize) {
        self.outstanding.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
