//! What is on record of producers, rooms and live keys, to be looked through; and the one change that a rotation needs.

use async_trait::async_trait;
use onair_cluster::{LiveKeyId, ProducerId, RoomId, UnixMs};

use super::{KeyRow, LiveDbError, RoomRow};

/// Whether a key opens its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It does.
    Active,
    /// It was revoked, or retired.
    Revoked,
    /// Its time is over.
    Expired,
}

/// A place in the list of keys, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPosition {
    /// When the last one seen was made.
    pub created_at: UnixMs,
    /// Its id.
    pub live_key_id: LiveKeyId,
}

/// Which keys are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Of this room.
    pub room: Option<RoomId>,
    /// Of this producer.
    pub producer: Option<ProducerId>,
    /// In this state, as of `now`.
    pub state: Option<KeyState>,
    /// Now.
    pub now: UnixMs,
    /// Older than this one.
    pub after: Option<KeyPosition>,
}

/// Lists of what was made.
#[async_trait]
pub trait Catalogue: Send + Sync + 'static {
    /// The producer's room.
    async fn room_of(&self, producer: &ProducerId) -> Result<Option<RoomRow>, LiveDbError>;
    /// Producers and their rooms, by producer after `after`, at most `limit`.
    async fn producers(&self, after: Option<&ProducerId>, limit: usize) -> Result<Vec<RoomRow>, LiveDbError>;
    /// Keys of ours, newest first, at most `limit`.
    async fn key_list(&self, filter: &KeyFilter, limit: usize) -> Result<Vec<KeyRow>, LiveDbError>;
    /// Lets a key end at `at`, unless it ends earlier anyway. Returns it as it is then.
    async fn shorten_key(&self, id: &LiveKeyId, at: UnixMs) -> Result<Option<KeyRow>, LiveDbError>;
}
