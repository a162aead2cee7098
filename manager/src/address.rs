//! Handing out a broadcast address: the producer's room, a new live key, its record in the Live DB and in the registry.

use onair_cluster::live_key::LiveKey;
use onair_cluster::{LiveKeyId, RoomId, UnixMs};

/// What an encoder needs. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct BroadcastAddress {
    /// The producer's room.
    pub room_id: RoomId,
    /// The key's id, safe to log.
    pub live_key_id: LiveKeyId,
    /// `rtmp://{media_domain}/{room_id}`: what OBS calls server.
    pub server: String,
    /// What OBS calls stream key.
    pub live_key: LiveKey,
    /// When the key opens nothing any more.
    pub expires_at: UnixMs,
}

impl BroadcastAddress {
    /// `rtmp://{media_domain}/{room_id}/{live_key}`: as secret as the key.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.live_key.expose())
    }
}
