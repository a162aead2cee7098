//! Lane: stores batches of events, one after the other, and acknowledges them after the commit. A child of the Manager
//! actor: it ends with it, and whatever it had not acknowledged is read again.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use onair_cluster::{Event, Shard, UnixMs};
use tokio::sync::{mpsc, oneshot};

use crate::core::{Core, backoff};
use crate::live_db::Applied;
use crate::reports::BatchStored;

/// A batch for a lane, ordered by number within each shard.
pub(crate) struct Work {
    pub(crate) events: Vec<Event>,
    /// Told when the events are stored and acknowledged.
    pub(crate) stored: oneshot::Sender<()>,
}

/// Batches that wait for a lane. Its reader sends the next one when the last is stored, so there is never more than one;
/// a second place is there for a reader that was rebuilt meanwhile.
pub(crate) const QUEUE: usize = 2;

/// Works until the queue's other end is dropped.
pub(crate) async fn run(core: Arc<Core>, mut queue: mpsc::Receiver<Work>) {
    while let Some(work) = queue.recv().await {
        store(&core, &work.events).await;
        acknowledge(&core, &work.events).await;
        core.stored.send_modify(|n| *n += 1);
        // Nobody waits any more: then somebody reads the rest again, and finds it acknowledged.
        let _ = work.stored.send(());
    }
}

/// Tries until the Live DB has taken the batch: nothing is dropped, and nothing may overtake it.
async fn store(core: &Core, events: &[Event]) {
    let mut attempt = 0;
    loop {
        #[cfg(test)]
        core.seam.pass(crate::tests::Point::BeforeCommit);
        let began = Instant::now();
        let now = UnixMs::now();
        let answer = match core.terms().await {
            Ok(terms) => core.live_db.apply(terms, events, now).await,
            Err(e) => Err(e),
        };
        core.note_db(&answer);
        match answer {
            Ok(Applied { outcomes }) => {
                let now = UnixMs::now();
                BatchStored { events, outcomes: &outcomes, took: began.elapsed(), now }.emit(&core.metrics);
                return;
            }
            Err(e) => {
                tracing::debug!(error = %e, attempt, "lifecycle events wait for the Live DB");
                tokio::time::sleep(backoff(attempt)).await;
                attempt += 1;
            }
        }
    }
}

async fn acknowledge(core: &Core, events: &[Event]) {
    #[cfg(test)]
    core.seam.pass(crate::tests::Point::AfterCommit);
    let last = last_of_each_shard(events);
    // Unanswered: the events come again, and the Live DB knows them.
    let answers = join_all(last.into_iter().map(|(shard, n)| core.registry.acknowledge(shard, n))).await;
    for answer in answers {
        let _ = core.note_registry(answer);
    }
}

/// The highest number of each shard; the events of a shard stand together.
fn last_of_each_shard(events: &[Event]) -> Vec<(Shard, u64)> {
    let mut last: Vec<(Shard, u64)> = Vec::new();
    for event in events {
        match last.last_mut() {
            Some((shard, n)) if *shard == event.shard => *n = event.n,
            _ => last.push((event.shard, event.n)),
        }
    }
    last
}
