//! The Live DB: what is remembered of producers, rooms, keys, holds, sessions and broadcasts. The trait that every store
//! keeps, and the words of it.
//!
//! Promises, for every implementation: one batch of events is one transaction; an event counts once however often it
//! comes; a room has at most one open session; a session ends once; messages for downstream are written to the outbox in
//! the transaction of what they tell. `tests/live_db_contract.rs` holds every implementation to them.

mod messages;
mod rows;
mod sqlite;

use async_trait::async_trait;
use onair_cluster::registry::{Hold, KeyRecord};
use onair_cluster::{Epoch, Event, LiveKeyId, ProducerId, RoomId, SessionId, UnixMs};
use thiserror::Error;

pub use rows::{
    Applied, BroadcastFilter, BroadcastRow, BroadcastState, HoldRow, KeyRow, MediaNote, NewKey, OutboxRow,
    Outcome, Position, Purged, QuarantineRow, RoomRow, SessionEnd, SessionRow, WhyRevoked,
};

pub use sqlite::SqliteLiveDb;

use crate::config::Retention;

/// Why the Live DB did not do as asked. Texts are for logs; no client reads them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LiveDbError {
    /// Another process has it open, and two Managers must not write one file.
    #[error("{0} is in use by another process; one Manager owns a SQLite Live DB")]
    InUse(String),
    /// It does not answer now: busy, locked, full, or away. Trying again is right; the call may have taken effect.
    #[error("does not answer: {0}")]
    Away(String),
    /// It refuses what was to be written, and will again.
    #[error("refused: {0}")]
    Refused(String),
    /// The room belongs to another producer.
    #[error("room {0} belongs to another producer")]
    RoomTaken(RoomId),
    /// A row does not hold what we wrote, or the schema is not ours.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

/// Durable memory. Every call is one transaction; an `Err` means that nothing was written, except for
/// [`LiveDbError::Away`], after which nobody knows.
#[async_trait]
pub trait LiveDb: Send + Sync + 'static {
    /// The producer's room. Records producer and room, named `candidate`, if the producer has none.
    ///
    /// # Errors
    /// [`LiveDbError::RoomTaken`] if `candidate` is another producer's and would have been needed.
    async fn ensure_room(
        &self,
        producer: &ProducerId,
        candidate: &RoomId,
        now: UnixMs,
    ) -> Result<RoomRow, LiveDbError>;
    /// A room by its id.
    async fn room(&self, room: &RoomId) -> Result<Option<RoomRow>, LiveDbError>;

    /// Records a new key of a room that has been recorded. If the room then had more than `max` valid keys (neither
    /// revoked nor expired), those idle longest are retired, never `in_use` nor one of an open session; their ids return.
    async fn add_key(
        &self,
        key: &NewKey,
        in_use: Option<&LiveKeyId>,
        max: usize,
    ) -> Result<Vec<LiveKeyId>, LiveDbError>;
    /// A key by its id.
    async fn key(&self, id: &LiveKeyId) -> Result<Option<KeyRow>, LiveDbError>;
    /// Marks a key as revoked, unless it is already. Returns it as it is then.
    async fn revoke_key(&self, id: &LiveKeyId, now: UnixMs) -> Result<Option<KeyRow>, LiveDbError>;
    /// Refuses a key of another issuer until `record.expires_at`, whether or not anybody has ever seen it. Asked again, the
    /// later end holds.
    async fn deny_key(&self, record: &KeyRecord, now: UnixMs) -> Result<(), LiveDbError>;
    /// Keys that have not expired, revoked and [denied](Self::deny_key) ones too, by id after `after`, at most `limit`. What a registry without memory
    /// is filled from.
    async fn keys(
        &self,
        after: Option<&LiveKeyId>,
        limit: usize,
        now: UnixMs,
    ) -> Result<Vec<KeyRecord>, LiveDbError>;

    /// Records a hold in place of an earlier one.
    async fn put_hold(&self, room: &RoomId, hold: &Hold, now: UnixMs) -> Result<(), LiveDbError>;
    /// Forgets a hold. False when there was none.
    async fn lift_hold(&self, room: &RoomId) -> Result<bool, LiveDbError>;
    /// Holds in force, by room after `after`, at most `limit`.
    async fn holds(
        &self,
        after: Option<&RoomId>,
        limit: usize,
        now: UnixMs,
    ) -> Result<Vec<HoldRow>, LiveDbError>;

    /// Stores lifecycle events, in their order, with the outbox rows of what viewers can see, in one transaction.
    ///
    /// Idempotent by event id and tolerant of order: `ended` alone writes the whole session and both messages; `live` after
    /// `ended` only fills in the start. An older session that is still open when a newer one of its room is granted is
    /// closed as `superseded`; an event that would open an older one is fenced off. An event that the store refuses is
    /// put into quarantine and told of; the others go on.
    async fn apply(&self, events: &[Event], now: UnixMs) -> Result<Applied, LiveDbError>;
    /// Notes the last media of open sessions, so that a kill loses at most the time since. One statement.
    async fn note_media(&self, notes: &[MediaNote]) -> Result<u64, LiveDbError>;
    /// Ends every open session as `lost`, at its last known media, detected `now`, with its outbox row. For a start with
    /// a registry that remembers nothing. Returns how many there were.
    async fn close_lost(&self, now: UnixMs) -> Result<u64, LiveDbError>;

    /// For each shard with sessions on record, its highest epoch and a room that lives there.
    async fn newest_epochs(&self) -> Result<Vec<(RoomId, Epoch)>, LiveDbError>;
    /// A session by its id.
    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, LiveDbError>;
    /// Broadcasts, newest first, after `filter.after`, at most `limit`.
    async fn broadcasts(
        &self,
        filter: &BroadcastFilter,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, LiveDbError>;
    /// Outbox rows with ids above `after`, in order, at most `limit`.
    async fn outbox(&self, after: i64, limit: usize) -> Result<Vec<OutboxRow>, LiveDbError>;
    /// Quarantined events with ids above `after`, in order, at most `limit`.
    async fn quarantine(&self, after: i64, limit: usize) -> Result<Vec<QuarantineRow>, LiveDbError>;

    /// Forgets what `retention` no longer wants, at most `limit` rows of each kind.
    async fn purge(&self, retention: &Retention, now: UnixMs, limit: usize) -> Result<Purged, LiveDbError>;
    /// Whether it answers.
    async fn check(&self) -> Result<(), LiveDbError>;
    /// Waits for calls under way and closes all connections. Calls after it fail.
    async fn close(&self);
}
