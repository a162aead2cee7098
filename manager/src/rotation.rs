//! Exchanging a producer's live keys for a new one.

use std::time::Duration;

use onair_cluster::live_key::LEEWAY;
use onair_cluster::registry::KeyRecord;
use onair_cluster::{LiveKeyId, ProducerId, UnixMs};

use crate::ManagerError;
use crate::address::{self, AddressWish, BroadcastAddress};
use crate::core::Core;
use crate::debts::Debt;
use crate::live_db::{KeyFilter, KeyRow, KeyState};
use crate::live_keys;
use crate::reports::KeyShortened;

/// What came of it.
pub(crate) struct Rotation {
    pub(crate) address: BroadcastAddress,
    /// Keys that are good no longer, or will soon be good no longer.
    pub(crate) ended: Vec<LiveKeyId>,
    /// When they are.
    pub(crate) ended_at: UnixMs,
}

/// Makes a new address for `producer` and ends the older keys of the room. Without `overlap` they are revoked, and what is on
/// air with one is cut. With it they expire when it is over: they start nothing more then, and what is on air goes on.
///
/// The new one comes first: whatever fails after it, the producer is not locked out, and asking again ends what is left.
pub(crate) async fn rotate(
    core: &Core,
    producer: &ProducerId,
    wish: &AddressWish,
    overlap: Duration,
) -> Result<Rotation, ManagerError> {
    let address = address::issue(core, producer, wish).await?;
    let now = UnixMs::now();
    let filter = KeyFilter {
        room: Some(address.room_id.clone()),
        state: Some(KeyState::Active),
        now,
        ..KeyFilter::default()
    };
    // A room has never more valid ones than this, the newest first.
    let rows = core.ask_db(core.live_db.key_list(&filter, core.config.live_keys_per_room_max + 1)).await?;
    // Cut to seconds, as expiries are.
    let ended_at = UnixMs(now.plus(overlap).0 / 1_000 * 1_000);
    let mut ended = Vec::new();
    for KeyRow { key, .. } in rows.into_iter().filter(|row| row.key.live_key_id != address.live_key_id) {
        if overlap.is_zero() {
            live_keys::revoke(core, &key.live_key_id).await?;
        } else {
            shorten(core, &key.live_key_id, ended_at).await?;
        }
        ended.push(key.live_key_id);
    }
    Ok(Rotation { address, ended, ended_at })
}

/// The row first: a registry that loses its memory must not bring the longer life back.
async fn shorten(core: &Core, id: &LiveKeyId, at: UnixMs) -> Result<(), ManagerError> {
    let Some(KeyRow { key, revoked, .. }) = core.ask_db(core.live_db.shorten_key(id, at)).await? else {
        return Ok(());
    };
    let record = KeyRecord {
        live_key_id: key.live_key_id,
        room_id: key.room_id,
        producer_id: key.producer_id,
        takeover: key.takeover,
        max_duration: key.max_duration,
        max_bitrate: key.max_bitrate,
        revoked: revoked.is_some(),
        expires_at: key.expires_at.plus(LEEWAY),
    };
    let is_recorded = core.note_registry(core.registry.put_key(&record).await).is_ok();
    KeyShortened { live_key_id: id, at, is_recorded }.emit();
    if !is_recorded && !core.debts.owe(Debt::Record(record)) {
        return Err(ManagerError::TooMuchOwed);
    }
    Ok(())
}
