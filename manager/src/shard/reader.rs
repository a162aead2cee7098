//! Reader: woken by the registry's bell, takes what a lane's shards have to tell and sends it to the Manager actor, one
//! batch at a time. A child of the actor too: whatever happens to it, the registry keeps what was not acknowledged.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use onair_cluster::{Event, RegistryError, Shard};

use crate::core::{Core, backoff};
use crate::manager::{Lifecycle, Manager};

/// Events of one batch, and of one shard in it: a commit of a thousand takes well under a second.
const BATCH_MAX: usize = 1_024;
const SHARD_MAX: usize = 256;
/// A bell may be missed while the registry is away: look anyway.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads until the actor is gone.
pub(crate) async fn run(core: Arc<Core>, manager: Addr<Manager>, lane: usize, shards: Vec<Shard>) {
    let mut bell = core.registry.event_bell();
    let mut first = 0;
    let mut failures = 0;
    loop {
        // Before reading, so that what comes meanwhile rings again.
        bell.borrow_and_update();
        // Another shard goes first each time: a busy one cannot keep the others out of a full batch.
        first = (first + 1) % shards.len().max(1);
        let order = shards[first..].iter().chain(&shards[..first]);
        let Ok(events) = core.note_registry(sweep(&core, order).await) else {
            tokio::time::sleep(backoff(failures)).await;
            failures = failures.saturating_add(1);
            continue;
        };
        failures = 0;
        if events.is_empty() {
            tokio::select! {
                rung = bell.changed() => if rung.is_err() { tokio::time::sleep(LOOK_EVERY).await },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        } else if !matches!(manager.send(Lifecycle { lane, events }).await, Ok(Ok(()))) {
            tokio::time::sleep(backoff(0)).await;
        }
    }
}

async fn sweep(core: &Core, shards: impl Iterator<Item = &Shard>) -> Result<Vec<Event>, RegistryError> {
    let mut batch = Vec::new();
    for shard in shards {
        let room = BATCH_MAX - batch.len();
        if room == 0 {
            break;
        }
        batch.extend(core.registry.events(*shard, SHARD_MAX.min(room)).await?);
    }
    Ok(batch)
}
