//! One struct per happening: each emits its log line and moves its metric, so that the two cannot disagree.

pub(crate) mod ship;

use std::time::Duration;

use onair_cluster::registry::{Hold, LeaseView};
use onair_cluster::{Event, LiveKeyId, NodeId, ProducerId, RegistryError, RoomId, SessionId, Shard, UnixMs};
use tracing::{debug, error, info, warn};

use crate::ManagerError;
use crate::core::OutboxFigures;
use crate::live_db::{AuditRow, LiveDbError, NewToken, Outcome, Purged, SessionRow, ShardTerm};
use crate::metrics::{EventLabels, Fate, KindLabel, ManagerMetrics, RepairKind, RepairLabels, RequestLabels};
use crate::shard::reconcile::Why;

/// A batch of events is in the Live DB.
pub(crate) struct BatchStored<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) outcomes: &'a [Outcome],
    pub(crate) took: Duration,
    pub(crate) now: UnixMs,
}

impl BatchStored<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.apply_time.observe(self.took.as_secs_f64());
        for (event, outcome) in self.events.iter().zip(self.outcomes) {
            metrics.event_lag.observe(Duration::from_millis(self.now.since(event.at)).as_secs_f64());
            let fate = match outcome {
                Outcome::Applied => Fate::Applied,
                Outcome::Repeat => Fate::Repeat,
                Outcome::Fenced => Fate::Fenced,
                Outcome::Quarantined(_) => Fate::Quarantined,
            };
            metrics.events.get_or_create(&EventLabels { kind: KindLabel::from(&event.kind), fate }).inc();
            match outcome {
                Outcome::Applied | Outcome::Repeat => {}
                Outcome::Fenced => {
                    warn!(event = event.id(), room = %event.session.room_id, epoch = %event.session.epoch,
                        "an event came after a newer session of its room had begun; not stored");
                }
                Outcome::Quarantined(why) => {
                    metrics.quarantined.inc();
                    error!(event = event.id(), shard = %event.shard, n = event.n, why,
                        "the Live DB refuses an event; it is in quarantine");
                }
            }
        }
        debug!(events = self.events.len(), took_us = self.took.as_micros(), "lifecycle events stored");
    }
}

/// The Live DB did not answer.
pub(crate) struct LiveDbAway<'a> {
    pub(crate) error: &'a LiveDbError,
    /// It answered before.
    pub(crate) is_news: bool,
}

impl LiveDbAway<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.live_db_failures.inc();
        metrics.live_db_up.set(0);
        if self.is_news {
            error!(error = %self.error, "the Live DB does not answer; broadcasts go on, history must wait");
        }
    }
}

/// It does not answer while it is opened, and is tried again.
pub(crate) struct LiveDbAwaited<'a> {
    pub(crate) error: &'a LiveDbError,
    pub(crate) attempt: u32,
}

impl LiveDbAwaited<'_> {
    pub(crate) fn emit(&self) {
        if self.attempt == 0 {
            warn!(error = %self.error, "the Live DB does not answer yet; trying again");
        } else {
            debug!(error = %self.error, attempt = self.attempt, "the Live DB still does not answer");
        }
    }
}

/// It answers again.
pub(crate) struct LiveDbBack;

impl LiveDbBack {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.live_db_up.set(1);
        info!("the Live DB answers again");
    }
}

/// The Live DB is known to be away: nobody waits for it any more.
pub(crate) struct OutageBegan;

impl OutageBegan {
    pub(crate) fn emit(&self) {
        warn!("nobody waits for the Live DB until it answers a probe");
    }
}

/// It is not known to be away any more.
pub(crate) struct OutageEnded;

impl OutageEnded {
    pub(crate) fn emit(&self) {
        info!("the Live DB answered a probe; all go on");
    }
}

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

/// Somebody asked a node to drain.
pub(crate) struct DrainAsked<'a> {
    pub(crate) node: &'a NodeId,
}

impl DrainAsked<'_> {
    pub(crate) fn emit(&self) {
        info!(node = %self.node, "node told to drain");
    }
}

/// The Manager actor fell.
pub(crate) struct ActorFell {
    /// How often within the window of the budget, this time included.
    pub(crate) falls: usize,
}

impl ActorFell {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.actor_restarts.inc();
        error!(
            falls = self.falls,
            "the Manager actor panicked; it is rebuilt, and reads again what it had not stored"
        );
    }
}

/// It fell too often.
pub(crate) struct IslandGivesUp {
    pub(crate) falls: usize,
}

impl IslandGivesUp {
    pub(crate) fn emit(&self) {
        error!(falls = self.falls, "the Manager actor panics again and again; the Manager ends");
    }
}

/// The Manager is up.
pub(crate) struct Started {
    pub(crate) http: std::net::SocketAddr,
    pub(crate) closed_lost: u64,
    pub(crate) keys: usize,
    pub(crate) holds: usize,
}

impl Started {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.closed_lost.inc_by(self.closed_lost);
        if self.closed_lost > 0 {
            warn!(sessions = self.closed_lost, "sessions left open by a kill are closed as lost");
        }
        info!(http = %self.http, keys = self.keys, holds = self.holds, "the Manager is up");
    }
}

/// A broadcast address was handed out.
pub(crate) struct AddressIssued<'a> {
    pub(crate) producer: &'a ProducerId,
    pub(crate) room: &'a RoomId,
    pub(crate) live_key_id: &'a LiveKeyId,
    pub(crate) expires_at: UnixMs,
    pub(crate) retired: &'a [LiveKeyId],
}

impl AddressIssued<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.addresses.inc();
        metrics.keys_retired.inc_by(self.retired.len() as u64);
        info!(producer = %self.producer, room = %self.room, live_key_id = %self.live_key_id,
            expires_at = %self.expires_at, "broadcast address issued");
        for retired in self.retired {
            info!(room = %self.room, live_key_id = %retired, "live key retired to make room for a new one");
        }
    }
}

/// A key was revoked through the API.
pub(crate) struct KeyRevoked<'a> {
    pub(crate) live_key_id: &'a LiveKeyId,
    /// Both Live DB and registry know.
    pub(crate) is_recorded: bool,
}

impl KeyRevoked<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.keys_revoked.inc();
        info!(live_key_id = %self.live_key_id, recorded = self.is_recorded, "live key revoked");
    }
}

/// A key ends earlier than it was made to.
pub(crate) struct KeyShortened<'a> {
    pub(crate) live_key_id: &'a LiveKeyId,
    pub(crate) at: UnixMs,
    /// Both Live DB and registry know.
    pub(crate) is_recorded: bool,
}

impl KeyShortened<'_> {
    pub(crate) fn emit(&self) {
        info!(live_key_id = %self.live_key_id, at = %self.at, recorded = self.is_recorded, "live key ends sooner");
    }
}

/// Somebody wants a room to end.
pub(crate) struct EndAsked<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) session: Option<SessionId>,
    pub(crate) note: &'a str,
    pub(crate) outstanding: usize,
}

impl EndAsked<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.ends_outstanding.set(i64::try_from(self.outstanding).unwrap_or(i64::MAX));
        if let Some(session) = self.session {
            metrics.ends_asked.inc();
            info!(room = %self.room, session_id = %session, note = self.note, "session told to end");
        } else {
            info!(room = %self.room, note = self.note, "asked to end a room where nobody is live");
        }
    }
}

/// Looked whether sessions told to end have ended.
pub(crate) struct EndsSeen {
    pub(crate) ended: usize,
    pub(crate) outstanding: usize,
}

impl EndsSeen {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.ends_outstanding.set(i64::try_from(self.outstanding).unwrap_or(i64::MAX));
        debug!(ended = self.ended, outstanding = self.outstanding, "sessions told to end");
    }
}

/// A session does not end although it was told to.
pub(crate) struct EndOverdue<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) session: SessionId,
    pub(crate) since: UnixMs,
}

impl EndOverdue<'_> {
    pub(crate) fn emit(&self) {
        warn!(room = %self.room, session_id = %self.session, asked_at = %self.since,
            "a session told to end is still there");
    }
}

/// A room is held, or free again.
pub(crate) struct HoldChanged<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) hold: Option<&'a Hold>,
    /// The Live DB knows.
    pub(crate) is_recorded: bool,
}

impl HoldChanged<'_> {
    pub(crate) fn emit(&self) {
        match self.hold {
            Some(hold) => info!(room = %self.room, until = %hold.until, reason = hold.reason,
                recorded = self.is_recorded, "room held"),
            None => info!(room = %self.room, recorded = self.is_recorded, "hold lifted"),
        }
    }
}

/// An API token was made.
pub(crate) struct TokenMade<'a> {
    pub(crate) token: &'a NewToken,
}

impl TokenMade<'_> {
    pub(crate) fn emit(&self) {
        let NewToken { token_id, name, role, .. } = self.token;
        info!(%token_id, name, %role, "API token made");
    }
}

/// An API token is good no longer.
pub(crate) struct TokenRevoked<'a> {
    pub(crate) token: &'a NewToken,
}

impl TokenRevoked<'_> {
    pub(crate) fn emit(&self) {
        let NewToken { token_id, name, role, .. } = self.token;
        info!(%token_id, name, %role, "API token revoked");
    }
}

/// Something was done through the API that must be accounted for.
pub(crate) struct Audited<'a> {
    pub(crate) row: &'a AuditRow,
    /// It will be in the table, too.
    pub(crate) is_kept: bool,
}

impl Audited<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let AuditRow { caller, caller_id, action, subject, details, request_id, peer, .. } = self.row;
        let (caller, action, peer) = (caller.name(), action.name(), peer.map(tracing::field::display));
        info!(caller, caller_id, action, subject, details, request_id, peer, "audit");
        if !self.is_kept {
            metrics.audit_lost.inc();
            error!(
                action,
                subject, request_id, "too many entries of the audit log wait; this one is in the log only"
            );
        }
    }
}

/// The Live DB refuses an entry of the audit log.
pub(crate) struct AuditRefused<'a> {
    pub(crate) row: &'a AuditRow,
    pub(crate) error: &'a LiveDbError,
}

impl AuditRefused<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.audit_lost.inc();
        let (action, subject, request_id) = (self.row.action.name(), &self.row.subject, &self.row.request_id);
        error!(action, subject, request_id, error = %self.error,
            "the Live DB refuses an entry of the audit log; it is in the log only");
    }
}

/// How many changes wait to be recorded.
pub(crate) struct RowsOwed {
    pub(crate) rows: usize,
}

impl RowsOwed {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.rows_owed.set(i64::try_from(self.rows).unwrap_or(i64::MAX));
    }
}

/// Old rows were forgotten.
pub(crate) struct RowsPurged {
    pub(crate) purged: Purged,
}

impl RowsPurged {
    pub(crate) fn emit(&self) {
        let Purged { sessions, broadcasts, outbox, keys, holds, tokens, audit } = self.purged;
        info!(sessions, broadcasts, outbox, keys, holds, tokens, audit, "old rows forgotten");
    }
}

/// A request was answered.
pub(crate) struct RequestServed<'a> {
    pub(crate) labels: RequestLabels,
    pub(crate) request_id: &'a str,
    pub(crate) peer: Option<std::net::SocketAddr>,
    pub(crate) took: Duration,
    /// For us, never for the client.
    pub(crate) internal: Option<&'a str>,
}

impl RequestServed<'_> {
    pub(crate) fn emit(self, metrics: &ManagerMetrics) {
        let RequestLabels { route, method, status } = &self.labels;
        let (request_id, took_us, internal) = (self.request_id, self.took.as_micros(), self.internal);
        let peer = self.peer.map(tracing::field::display);
        metrics.request_time.observe(self.took.as_secs_f64());
        if *status == 401 {
            metrics.refused_tokens.inc();
        }
        match status {
            // Said once when it changes; a probe that asks again is no failure.
            503 if *route == "/readyz" => {
                debug!(route, method, status, request_id, took_us, peer, "not ready");
            }
            500.. => error!(route, method, status, request_id, took_us, peer, internal, "request failed"),
            400.. => info!(route, method, status, request_id, took_us, peer, internal, "request refused"),
            _ => debug!(route, method, status, request_id, took_us, peer, "request answered"),
        }
        metrics.requests.get_or_create(&self.labels).inc();
    }
}
