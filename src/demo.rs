//! The demo address: a broadcast address kept in the data directory, so that restarts print the same one for as long as it
//! is good, and what was pasted into an encoder stays right.

use onair_cluster::{LiveKeyId, ProducerId, Registry, RoomId, UnixMs};
use onair_manager::ManagerHandle;
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;
use crate::greeting::Demo;

/// The file it is kept in, as secret as the key within.
const FILE: &str = "demo-address";

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    producer_id: ProducerId,
    room_id: RoomId,
    live_key_id: LiveKeyId,
    live_key: String,
    expires_at: UnixMs,
}

/// The address of `producer`: the one kept, or a new one. `None`, with a line in the log, when none can be had: a node
/// that cannot greet can still work.
pub(crate) async fn address(
    producer: &ProducerId,
    media_domain: &str,
    dir: &DataDir,
    registry: &dyn Registry,
    manager: &ManagerHandle,
) -> Option<Demo> {
    let kept = match read(dir) {
        Some(kept) if kept.producer_id == *producer && is_good(&kept, registry).await => kept,
        _ => renew(producer, dir, manager).await?,
    };
    Some(Demo {
        producer: producer.to_string(),
        server: format!("rtmp://{media_domain}/{}", kept.room_id),
        room: kept.room_id.to_string(),
        stream_key: kept.live_key,
    })
}

/// Whether an address was ever made here, good or not.
pub(crate) fn was_made(dir: &DataDir) -> bool {
    !matches!(dir.read_secret(FILE), Ok(None))
}

/// A file that is damaged or from another version is only a reason to make a new one.
fn read(dir: &DataDir) -> Option<Kept> {
    let content = dir.read_secret(FILE).ok()??;
    serde_json::from_slice(&content).ok()
}

async fn is_good(kept: &Kept, registry: &dyn Registry) -> bool {
    let record = registry.key(&kept.live_key_id).await.ok().flatten();
    record.is_some_and(|record| !record.revoked) && kept.expires_at > UnixMs::now()
}

async fn renew(producer: &ProducerId, dir: &DataDir, manager: &ManagerHandle) -> Option<Kept> {
    let address = match manager.broadcast_url(producer).await {
        Ok(address) => address,
        Err(error) => {
            tracing::warn!(%error, %producer, "no demo address");
            return None;
        }
    };
    let kept = Kept {
        producer_id: producer.clone(),
        room_id: address.room_id,
        live_key_id: address.live_key_id,
        live_key: address.live_key.expose().to_owned(),
        expires_at: address.expires_at,
    };
    let content = serde_json::to_vec(&kept).ok()?;
    if let Err(error) = dir.write_secret(FILE, &content) {
        tracing::warn!(%error, "the demo address is not kept: the next start will make another");
    }
    Some(kept)
}
