//! Committers: store what lanes bring, in one transaction with whatever else waits by then: group commit. Children of the
//! Manager actor.
//!
//! A lane brings its next batch when the last is settled, so the events of a shard are never in two transactions at once, and
//! their order is kept however many committers there are.

use std::sync::Arc;
use std::time::Instant;

use onair_cluster::{Event, UnixMs};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::core::Core;
use crate::live_db::{Applied, LiveDbError, ShardTerm};
use crate::reports::BatchStored;

/// A batch of one shard's events, in order.
pub(crate) struct Work {
    pub(crate) owned: ShardTerm,
    pub(crate) events: Vec<Event>,
    /// Told what came of it.
    pub(crate) settled: oneshot::Sender<Result<(), NotStored>>,
}

/// Nothing of a batch was stored, or nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStored {
    /// The Live DB does not answer: read it again, and try again.
    Later,
    /// The shard is not ours under this term any more.
    Fenced,
}

/// Works that wait: each lane has one at most.
pub(crate) const QUEUE: usize = 128;
/// Events in one transaction: it takes well under a second, and who comes next does not wait for longer.
const EVENTS_MAX: usize = 4_096;

pub(crate) type Queue = Arc<Mutex<mpsc::Receiver<Work>>>;

/// Works until the queue's other end is dropped.
pub(crate) async fn run(core: Arc<Core>, queue: Queue) {
    while let Some(works) = gather(&queue).await {
        settle(&core, works).await;
    }
}

/// What waits now, or what comes first.
async fn gather(queue: &Queue) -> Option<Vec<Work>> {
    let mut queue = queue.lock().await;
    let first = queue.recv().await?;
    let mut events = first.events.len();
    let mut works = vec![first];
    while events < EVENTS_MAX {
        let Ok(next) = queue.try_recv() else { break };
        events += next.events.len();
        works.push(next);
    }
    Some(works)
}

async fn settle(core: &Core, mut works: Vec<Work>) {
    let mut events: Vec<Event> = works.iter_mut().flat_map(|work| std::mem::take(&mut work.events)).collect();
    while !works.is_empty() {
        #[cfg(test)]
        core.seam.pass(crate::tests::Point::BeforeCommit);
        let terms: Vec<ShardTerm> = works.iter().map(|work| work.owned).collect();
        let began = Instant::now();
        // The store bounds how long it takes.
        let answer = core.live_db.apply(&terms, &events, UnixMs::now()).await;
        core.note_db(&answer);
        match answer {
            Ok(Applied { outcomes }) => {
                let now = UnixMs::now();
                BatchStored { events: &events, outcomes: &outcomes, took: began.elapsed(), now }
                    .emit(&core.metrics);
                if let Some(shipping) = &core.shipping {
                    terms.iter().for_each(|owned| shipping.ring(owned.shard));
                }
                tell(works, Ok(()));
                return;
            }
            Err(LiveDbError::Fenced(shard)) => {
                let (fenced, others): (Vec<_>, Vec<_>) =
                    works.into_iter().partition(|work| work.owned.shard == shard);
                // Were it not one of ours, this would not end.
                let is_ours = !fenced.is_empty();
                tell(fenced, Err(NotStored::Fenced));
                works = others;
                events.retain(|event| event.shard != shard);
                if !is_ours {
                    tell(works, Err(NotStored::Later));
                    return;
                }
            }
            Err(e) => {
                tracing::debug!(error = %e, "lifecycle events wait for the Live DB");
                tell(works, Err(NotStored::Later));
                return;
            }
        }
    }
}

/// A lane that is gone was told to stop, or fell; somebody reads the events again.
fn tell(works: Vec<Work>, outcome: Result<(), NotStored>) {
    for work in works {
        let _ = work.settled.send(outcome);
    }
}
