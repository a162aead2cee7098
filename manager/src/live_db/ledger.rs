//! What lifecycle events become: sessions, and what is known of how far each shard's events have been stored.

use async_trait::async_trait;
use onair_cluster::{Epoch, Event, RoomId, SessionId, Shard, UnixMs};

use super::{Applied, LiveDbError, MediaNote, QuarantineRow, SessionRow, ShardTerm};

/// Sessions on record, and the one way in which they get there.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Stores lifecycle events, in their order, with the outbox rows of what viewers can see, in one transaction.
    ///
    /// Idempotent by event id and tolerant of order: `ended` alone writes the whole session and both messages; `live` after
    /// `ended` only fills in the start. An older session that is still open when a newer one of its room is granted is
    /// closed as `superseded`; an event that would open an older one is fenced off. An event that the store refuses is
    /// put into quarantine and told of; the others go on.
    ///
    /// # Errors
    /// [`LiveDbError::Fenced`] if the shard of any event is not owned under the term that `terms` gives it; nothing is
    /// written then.
    async fn apply(&self, terms: &[ShardTerm], events: &[Event], now: UnixMs)
    -> Result<Applied, LiveDbError>;
    /// For each shard that has had any, the number of the event that was stored last. It falls only when events come again,
    /// or when a registry without memory numbers anew. An event numbered 0 is a repair of the Manager's own and moves nothing.
    async fn positions(&self) -> Result<Vec<(Shard, u64)>, LiveDbError>;

    /// Notes the last media of open sessions, so that a kill loses at most the time since. Sessions of shards that are not
    /// owned under one of `terms` are passed over. One statement; returns how many sessions it changed.
    async fn note_media(&self, terms: &[ShardTerm], notes: &[MediaNote]) -> Result<u64, LiveDbError>;
    /// Ends every open session of these shards as `lost`, at its last known media, detected `now`, with its outbox row. For a
    /// start with a registry that remembers nothing. Returns how many there were.
    ///
    /// # Errors
    /// [`LiveDbError::Fenced`] as for [`apply`](Self::apply).
    async fn close_lost(&self, terms: &[ShardTerm], now: UnixMs) -> Result<u64, LiveDbError>;

    /// A session by its id.
    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, LiveDbError>;
    /// Sessions of a shard that have not ended.
    async fn open_sessions(&self, shard: Shard) -> Result<Vec<SessionRow>, LiveDbError>;
    /// For each shard with sessions on record, its highest epoch and a room that lives there.
    async fn newest_epochs(&self) -> Result<Vec<(RoomId, Epoch)>, LiveDbError>;
    /// Quarantined events with ids above `after`, in order, at most `limit`.
    async fn quarantine(&self, after: i64, limit: usize) -> Result<Vec<QuarantineRow>, LiveDbError>;
}
