//! Handing out a broadcast address: the producer's room, a new live key, its record in the Live DB and in the registry.

use std::time::Duration;

use onair_cluster::live_key::{LEEWAY, LiveKey};
use onair_cluster::registry::{KeyRecord, Takeover};
use onair_cluster::{LiveKeyId, ProducerId, RoomId, UnixMs};

use crate::ManagerError;
use crate::core::Core;
use crate::debts::Debt;
use crate::live_db::NewKey;
use crate::reports::AddressIssued;

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

/// What a request may ask of the new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressWish {
    /// Instead of the configured lifetime.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) takeover: Takeover,
    pub(crate) max_duration: Option<Duration>,
    /// In bits per second.
    pub(crate) max_bitrate: Option<u64>,
}

/// Makes an address for `producer`, and their room the first time.
///
/// Older keys of the room stay valid, up to the configured number; then the one idle longest is retired. Refusing instead
/// would lock a producer out of going live because their platform asks for an address each time, and a month has more than
/// eight evenings.
pub(crate) async fn issue(
    core: &Core,
    producer: &ProducerId,
    wish: &AddressWish,
) -> Result<BroadcastAddress, ManagerError> {
    let config = &core.config;
    // Cut to seconds, as the live key itself is: what we say is what holds.
    let now = UnixMs::now();
    let lifetime = wish.lifetime.unwrap_or(config.live_key_ttl);
    let expires_at = UnixMs(now.plus(lifetime).0 / 1_000 * 1_000);
    let room = core.ask_db(core.live_db.ensure_room(producer, &RoomId::random(), now)).await?.room_id;
    let live_key_id = LiveKeyId::random(&room);
    // Signed before it is recorded: a key that cannot be made leaves no row.
    let live_key = core.signer.mint(&room, producer, &live_key_id, now, expires_at)?;
    let on_air = core.note_registry(core.registry.lease(&room).await)?.map(|lease| lease.card.live_key_id);
    let key = NewKey {
        live_key_id: live_key_id.clone(),
        room_id: room.clone(),
        producer_id: producer.clone(),
        takeover: wish.takeover,
        max_duration: wish.max_duration,
        max_bitrate: wish.max_bitrate,
        created_at: now,
        expires_at,
    };
    let add = core.live_db.add_key(&key, on_air.as_ref(), config.live_keys_per_room_max);
    let retired = core.ask_db(add).await?;
    let record = KeyRecord {
        live_key_id: live_key_id.clone(),
        room_id: room.clone(),
        producer_id: producer.clone(),
        takeover: wish.takeover,
        max_duration: wish.max_duration,
        max_bitrate: wish.max_bitrate,
        revoked: false,
        expires_at: expires_at.plus(LEEWAY),
    };
    core.note_registry(core.registry.put_key(&record).await)?;
    for id in &retired {
        if core.note_registry(core.registry.revoke(id).await).is_err() {
            // The row says so already; the registry hears of it later. If too much is owed, at the next reload.
            let _ = core.debts.owe(Debt::KeyRecord(id.clone()));
        }
    }
    AddressIssued { producer, room: &room, live_key_id: &live_key_id, expires_at, retired: &retired }
        .emit(&core.metrics);
    let server = format!("rtmp://{}/{room}", config.media_domain);
    Ok(BroadcastAddress { room_id: room, live_key_id, server, live_key, expires_at })
}
