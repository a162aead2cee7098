//! Committers: store what lanes bring, in one transaction with whatever else waits by then: group commit. Children of the
//! Manager actor.
//!
//! Under load they do not begin at once with what little has come while the last one wrote: a transaction costs several times what
//! an event costs, and rows that are written together share pages of the store.
//!
//! A lane brings its next batch when the last is settled, so the events of a shard are never in two transactions at once, and
//! their order is kept however many committers there are.

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::{Event, UnixMs};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::core::Core;
use crate::live_db::{Applied, LiveDbError, ShardTerm};
use crate::reports::BatchStored;
use crate::shard::lane::READ_MAX;

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
const QUEUE: usize = 128;
/// Events in one transaction: it takes well under a second, and who comes next does not wait for longer.
const EVENTS_MAX: usize = 4_096;

/// Fewer events than this in a transaction are no load: a start that comes alone, or soon after its grant, is told at once.
const EVENTS_FEW: usize = 4;
/// From one transaction to the next under load. Whoever waits for an event does not see the difference. Not while a lane is behind,
/// which brings as much as it may read at once: then transactions are large by themselves, and time is what is short.
const PAUSE: Duration = Duration::from_millis(25);

/// What waits, for whichever committer comes first.
pub(crate) type Queue = Arc<Mutex<Waiting>>;

/// Works that wait, and for how long they are to.
pub(crate) struct Waiting {
    works: mpsc::Receiver<Work>,
    not_before: Instant,
}

/// An empty queue.
pub(crate) fn queue() -> (mpsc::Sender<Work>, Queue) {
    let (sender, works) = mpsc::channel(QUEUE);
    (sender, Arc::new(Mutex::new(Waiting { works, not_before: Instant::now() })))
}

/// Works until the queue's other end is dropped.
pub(crate) async fn run(core: Arc<Core>, queue: Queue) {
    while let Some(works) = gather(&queue).await {
        settle(&core, works).await;
    }
}

/// What waits now, or what comes first; under load also what comes in the meantime.
async fn gather(queue: &Queue) -> Option<Vec<Work>> {
    let mut queue = queue.lock().await;
    let first = queue.works.recv().await?;
    sleep_until(queue.not_before).await;
    let mut events = first.events.len();
    let mut works = vec![first];
    while events < EVENTS_MAX {
        let Ok(next) = queue.works.try_recv() else { break };
        events += next.events.len();
        works.push(next);
    }
    let is_behind = works.iter().any(|work| work.events.len() >= READ_MAX);
    let pause = if events < EVENTS_FEW || is_behind { Duration::ZERO } else { PAUSE };
    queue.not_before = Instant::now() + pause;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use onair_cluster::{
        Epoch, EventKind, Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, Shard,
    };

    use super::*;
    use crate::live_db::Term;

    /// Puts into the queue what nobody asks about again.
    fn bring(sender: &mpsc::Sender<Work>, room: &str, events: usize) {
        let room_id = RoomId::parse(room).unwrap();
        let shard = room_id.shard();
        let session = SessionCard {
            session_id: SessionId::random(),
            live_key_id: LiveKeyId::random(&room_id),
            room_id,
            producer_id: ProducerId::parse("p").unwrap(),
            epoch: Epoch(1),
            node_id: NodeId::parse("node-1").unwrap(),
            client_addr: "192.0.2.7".parse().unwrap(),
            client_agent: String::new(),
            granted_at: UnixMs(1),
        };
        let event =
            Event { n: 1, shard, at: UnixMs(1), kind: EventKind::Granted, session, facts: Facts::default() };
        let work = Work {
            owned: ShardTerm { shard, term: Term(1) },
            events: vec![event; events],
            settled: oneshot::channel().0,
        };
        sender.try_send(work).unwrap();
    }

    fn shards(works: &[Work]) -> Vec<Shard> {
        works.iter().map(|work| work.owned.shard).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn under_load_what_comes_within_the_pause_goes_into_one_transaction() {
        let (sender, queue) = queue();
        let began = Instant::now();
        bring(&sender, "a", EVENTS_FEW);
        gather(&queue).await.unwrap();
        assert_eq!(Instant::now(), began, "nothing was under way");
        bring(&sender, "b", 1);
        let late = async {
            tokio::time::sleep(PAUSE / 2).await;
            bring(&sender, "c", 1);
        };
        let (works, ()) = tokio::join!(gather(&queue), late);
        let expected = ["b", "c"].map(|room| RoomId::parse(room).unwrap().shard());
        assert_eq!(shards(&works.unwrap()), expected);
        assert!(began.elapsed() >= PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_behind_catches_up_without_pauses() {
        let (sender, queue) = queue();
        let began = Instant::now();
        for _ in 0..3 {
            bring(&sender, "a", READ_MAX);
            gather(&queue).await.unwrap();
        }
        assert_eq!(Instant::now(), began);
    }

    #[tokio::test(start_paused = true)]
    async fn few_events_are_never_kept_waiting_by_few() {
        let (sender, queue) = queue();
        let began = Instant::now();
        for room in ["a", "b", "c"] {
            bring(&sender, room, EVENTS_FEW - 1);
            gather(&queue).await.unwrap();
        }
        assert_eq!(Instant::now(), began);
    }
}
