//! What addresses rest on: producers and their rooms, live keys, holds.

use async_trait::async_trait;
use onair_cluster::registry::{Hold, KeyRecord};
use onair_cluster::{LiveKeyId, ProducerId, RoomId, UnixMs};

use super::{HoldRow, KeyRow, LiveDbError, NewKey, RoomRow};

/// Producers, rooms, keys and holds on record.
#[async_trait]
pub trait Addresses: Send + Sync + 'static {
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
    /// Keys that have not expired, revoked and [denied](Self::deny_key) ones too, by id after `after`, at most `limit`. What
    /// a registry without memory is filled from.
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
}
