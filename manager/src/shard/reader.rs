//! Reader: woken by the registry's bell, takes what a lane's shards have to tell and sends it to the Manager actor, one
//! batch at a time. A child of the actor too: whatever happens to it, the registry keeps what was not acknowledged.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use futures_util::future::join_all;
use onair_cluster::{Event, Shard};

use crate::core::{Core, backoff};
use crate::manager::{Lifecycle, Manager};

/// Events of one shard in a batch. All shards are read at once, so a batch has at most 4 096: a commit of so many takes well
/// under a second, and a busy shard cannot keep the others out.
const SHARD_MAX: usize = 64;
/// A bell may be missed while the registry is away: look anyway.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads until the actor is gone.
pub(crate) async fn run(core: Arc<Core>, manager: Addr<Manager>, lane: usize, shards: Vec<Shard>) {
    let mut bell = core.registry.event_bell();
    let mut failures = 0;
    loop {
        // Before reading, so that what comes meanwhile rings again.
        bell.borrow_and_update();
        let (events, is_whole) = sweep(&core, &shards).await;
        failures = if is_whole { 0 } else { failures + 1 };
        if !events.is_empty() {
            // What the other shards have to tell does not wait for those that do not answer.
            if !matches!(manager.send(Lifecycle { lane, events }).await, Ok(Ok(()))) {
                tokio::time::sleep(backoff(0)).await;
            }
        } else if !is_whole {
            tokio::time::sleep(backoff(failures)).await;
        } else {
            tokio::select! {
                rung = bell.changed() => if rung.is_err() { tokio::time::sleep(LOOK_EVERY).await },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

/// What the shards have to tell, shard by shard, and whether all of them answered.
async fn sweep(core: &Core, shards: &[Shard]) -> (Vec<Event>, bool) {
    let answers = join_all(shards.iter().map(|shard| core.registry.events(*shard, SHARD_MAX))).await;
    core.note_sweep(&answers);
    let is_whole = answers.iter().all(Result::is_ok);
    (answers.into_iter().flatten().flatten().collect(), is_whole)
}
