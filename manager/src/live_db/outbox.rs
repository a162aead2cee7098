//! The outbox: messages for downstream, written in the transaction of what they tell, numbered per shard without gaps in the
//! order of commits. Who ships them and who feeds them to clients reads the same rows.

use async_trait::async_trait;
use onair_cluster::{Epoch, RoomId, Shard, UnixMs};

use super::{LiveDbError, ShardTerm};

/// A message for downstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The shard of its room.
    pub shard: Shard,
    /// Its place among the messages of the shard, from 1 on.
    pub seq: u64,
    /// `<session_id>/<kind>`: the same for every repeat.
    pub event_id: String,
    /// The room: what messages are ordered by.
    pub room_id: RoomId,
    /// The session's epoch.
    pub epoch: Epoch,
    /// `onair.broadcast.started.v1` or `onair.broadcast.ended.v1`.
    pub kind: String,
    /// JSON.
    pub payload: String,
    /// When it was written.
    pub created_at: UnixMs,
    /// When it was delivered, or refused for good.
    pub shipped_at: Option<UnixMs>,
}

/// What is there of a shard's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedSpan {
    /// The shard.
    pub shard: Shard,
    /// The oldest that is kept; one more than `last` if none is. All from there to `last` are.
    pub first_kept: u64,
    /// The newest there has been; 0 before the first.
    pub last: u64,
}

/// Messages, in order, shard by shard.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Messages of a shard that have not been shipped, in order, at most `limit`.
    async fn unshipped(&self, shard: Shard, limit: usize) -> Result<Vec<OutboxRow>, LiveDbError>;
    /// Notes that messages were delivered. Returns how many of them were not noted before.
    ///
    /// # Errors
    /// [`LiveDbError::Fenced`] if the shard is not owned under this term; nothing is written then.
    async fn mark_shipped(&self, owned: ShardTerm, seqs: &[u64], now: UnixMs) -> Result<u64, LiveDbError>;
    /// Puts a message that is refused downstream, for good, into quarantine, and notes it as done with: it is
    /// [unshipped](Self::unshipped) no more, and nobody tries again.
    ///
    /// # Errors
    /// [`LiveDbError::Fenced`] as for [`mark_shipped`](Self::mark_shipped).
    async fn mark_refused(
        &self,
        owned: ShardTerm,
        seq: u64,
        why: &str,
        now: UnixMs,
    ) -> Result<(), LiveDbError>;
    /// When the oldest message that has not been shipped was written. Cheap.
    async fn oldest_unshipped(&self) -> Result<Option<UnixMs>, LiveDbError>;
    /// How many messages have not been shipped. Cheap: it is counted as they come and go.
    async fn unshipped_count(&self) -> Result<u64, LiveDbError>;
    /// Messages of a shard after number `after`, in order, at most `limit`.
    async fn feed(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<OutboxRow>, LiveDbError>;
    /// Messages of several shards, each after its number, in order shard by shard, at most `limit` of each shard. What
    /// [`feed`](Self::feed) gives for each of them, in fewer queries where the store can.
    async fn feed_all(&self, after: &[(Shard, u64)], limit: usize) -> Result<Vec<OutboxRow>, LiveDbError> {
        let mut rows = Vec::new();
        for (shard, after) in after {
            rows.extend(self.feed(*shard, *after, limit).await?);
        }
        Ok(rows)
    }
    /// What is there of each shard's messages, all 64 in order, in one query.
    async fn feed_span(&self) -> Result<Vec<FeedSpan>, LiveDbError>;
}
