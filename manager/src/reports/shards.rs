//! What happens to shards: who owns them, what is repaired in them, what the registry has lost.

use std::time::Duration;

use onair_cluster::registry::LeaseView;
use onair_cluster::{RegistryError, Shard, UnixMs};
use tracing::{debug, info, warn};

use crate::ManagerError;
use crate::core::OutboxFigures;
use crate::live_db::{SessionRow, ShardTerm};
use crate::metrics::{ManagerMetrics, RepairKind, RepairLabels};
use crate::shard::reconcile::Why;

/// What this Manager owns is not what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnershipChanged {
    /// Ours from now on.
    pub(crate) taken: Vec<ShardTerm>,
    /// No longer ours; we had not given them up.
    pub(crate) lost: Vec<ShardTerm>,
    /// Given up by us.
    pub(crate) given_up: Vec<ShardTerm>,
    /// Shards that are ours now.
    pub(crate) owned: usize,
    /// Living Managers.
    pub(crate) managers: usize,
    /// Before; `None` at the first beat.
    pub(crate) managers_before: Option<usize>,
}

impl OwnershipChanged {
    /// Nothing changed.
    pub(crate) fn is_none(&self) -> bool {
        self.shards() == 0 && self.managers_before == Some(self.managers)
    }

    fn shards(&self) -> usize {
        self.taken.len() + self.lost.len() + self.given_up.len()
    }

    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.ownership_changes.inc_by(self.shards() as u64);
        let [taken, lost, given_up] = [&self.taken, &self.lost, &self.given_up].map(|shards| named(shards));
        let (owned, managers) = (self.owned, self.managers);
        if self.lost.is_empty() {
            info!(taken, given_up, owned, managers, "shards of this Manager");
        } else {
            warn!(
                taken,
                lost, given_up, owned, managers, "shards of this Manager; another one has taken some"
            );
        }
    }
}

/// `07@12` is shard 7 under term 12.
fn named(shards: &[ShardTerm]) -> String {
    let named: Vec<String> =
        shards.iter().map(|ShardTerm { shard, term }| format!("{shard}@{term}")).collect();
    named.join(" ")
}

/// The store refused to write under a term.
pub(crate) struct TermOver {
    pub(crate) owned: ShardTerm,
}

impl TermOver {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.terms_fenced.inc();
        warn!(shard = %self.owned.shard, term = %self.owned.term,
            "another Manager owns the shard; nothing was written under the old term");
    }
}

/// The numbers of a shard's events do not follow each other.
pub(crate) struct NumbersBroken {
    pub(crate) shard: Shard,
    /// `None` if not known.
    pub(crate) expected: Option<u64>,
    /// `None` if there is no event, and the shard itself is behind.
    pub(crate) found: Option<u64>,
}

impl NumbersBroken {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.numbers_broken.inc();
        warn!(shard = %self.shard, expected = self.expected, found = self.found,
            "the registry has lost events, or numbers them anew; the shard is compared with the Live DB");
    }
}

/// The registry did not answer a lane. Told aloud by whoever looks at all shards.
pub(crate) struct LaneUnanswered<'a> {
    pub(crate) shard: Shard,
    pub(crate) error: &'a RegistryError,
}

impl LaneUnanswered<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.registry_failures.inc();
        debug!(shard = %self.shard, error = %self.error, "the registry does not answer a lane");
    }
}

/// What no event would have put right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Repair {
    /// Open in the Live DB, and gone: ended as lost.
    Lost(SessionRow),
    /// On air, and the Live DB had not heard of it: recorded.
    Granted(LeaseView),
    /// Live, and the Live DB had not heard that it is: recorded.
    Live(LeaseView),
    /// On air after its recorded end: told to end, so that it comes back as a new session.
    Over(LeaseView),
}

/// Something was repaired.
pub(crate) struct Repaired<'a> {
    pub(crate) owned: ShardTerm,
    pub(crate) repair: &'a Repair,
}

impl Repaired<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let (kind, card, what) = match self.repair {
            Repair::Lost(row) => (RepairKind::Lost, &row.card, "its end was never told: ended as lost"),
            Repair::Granted(lease) => {
                (RepairKind::Granted, &lease.card, "its grant was never told: recorded from its lease")
            }
            Repair::Live(lease) => {
                (RepairKind::Live, &lease.card, "its start was never told: recorded from its lease")
            }
            Repair::Over(lease) => {
                (RepairKind::Over, &lease.card, "on air after its recorded end: told to end")
            }
        };
        metrics.repairs.get_or_create(&RepairLabels { kind }).inc();
        warn!(room = %card.room_id, session_id = %card.session_id, epoch = %card.epoch,
            shard = %self.owned.shard, term = %self.owned.term, "session repaired: {what}");
    }
}

/// A shard was compared.
pub(crate) struct Reconciled {
    pub(crate) owned: ShardTerm,
    pub(crate) why: Why,
    pub(crate) leases: usize,
    pub(crate) open: usize,
    pub(crate) repairs: usize,
    pub(crate) took: Duration,
}

impl Reconciled {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let Self { owned, why, leases, open, repairs, took } = *self;
        metrics.reconciles.inc();
        let (shard, term, took_us) = (owned.shard, owned.term, took.as_micros());
        if repairs > 0 {
            info!(%shard, %term, ?why, leases, open, repairs, took_us, "shard compared and repaired");
        } else {
            debug!(%shard, %term, ?why, leases, open, took_us, "shard compared");
        }
    }
}

/// How the Manager fares, every second.
pub(crate) struct FiguresSeen {
    pub(crate) managers: usize,
    pub(crate) shards: usize,
    pub(crate) waiting: Option<UnixMs>,
    pub(crate) outbox: OutboxFigures,
    pub(crate) now: UnixMs,
}

impl FiguresSeen {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let age = |since: Option<UnixMs>| since.map_or(0.0, |at| self.now.since(at) as f64 / 1e3);
        metrics.managers.set(whole(self.managers));
        metrics.shards_owned.set(whole(self.shards));
        metrics.oldest_unread.set(age(self.waiting));
        metrics.outbox_unshipped.set(i64::try_from(self.outbox.unshipped).unwrap_or(i64::MAX));
        metrics.outbox_oldest.set(age(self.outbox.oldest));
    }
}

/// The registry did not answer.
pub(crate) struct RegistryAway<'a> {
    pub(crate) error: &'a RegistryError,
}

impl RegistryAway<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.registry_failures.inc();
        warn!(error = %self.error, "a call to the registry failed");
    }
}

/// All shards were looked at together, and some may not have answered.
pub(crate) struct ShardsSeen<'a> {
    pub(crate) away: usize,
    /// At the sweep before.
    pub(crate) before: usize,
    /// What the first of them said.
    pub(crate) error: Option<&'a RegistryError>,
}

impl ShardsSeen<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let Self { away, before, error } = *self;
        metrics.registry_failures.inc_by(away as u64);
        match error {
            Some(error) if before == 0 => {
                warn!(shards = away, %error, "the registry does not answer; broadcasts go on, their events wait there");
            }
            None if before > 0 => info!("the registry answers again, for all shards"),
            _ => {}
        }
    }
}

/// A shard of the registry got back what it had forgotten, or was told again what must never be forgotten.
pub(crate) struct ShardRestored {
    pub(crate) shard: Shard,
    /// It had lost its memory.
    pub(crate) was_empty: bool,
    /// It never had a session.
    pub(crate) is_new: bool,
    pub(crate) keys: usize,
    pub(crate) holds: usize,
}

impl ShardRestored {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let Self { shard, was_empty, is_new, keys, holds } = *self;
        if was_empty {
            metrics.shards_restored.inc();
        }
        if was_empty && !is_new {
            warn!(%shard, keys, holds, "a shard of the registry had lost its memory; its keys and holds are back");
        } else {
            debug!(%shard, was_empty, keys, holds, "a shard of the registry is complete");
        }
    }
}

/// A shard could not be restored; it is tried again.
pub(crate) struct RestoreFailed<'a> {
    pub(crate) shard: Shard,
    pub(crate) error: &'a ManagerError,
}

impl RestoreFailed<'_> {
    pub(crate) fn emit(&self) {
        warn!(shard = %self.shard, error = %self.error,
            "keys and holds of a shard of the registry could not be put back; trying again");
    }
}
