//! Lane: all that is done about the events of one shard, in order: read, store, acknowledge, reconcile. It works for as long
//! as the shard is owned under its term, and finishes what it has begun when that ends.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use onair_cluster::{Event, Shard, UnixMs};
use tokio::time::{Instant, sleep, sleep_until};

use super::commit::NotStored;
use super::desk::Desk;
use super::ownership::Tenure;
use super::reconcile::{self, Unreconciled, Why};
use crate::core::{Core, backoff};
use crate::manager::{Lifecycle, Manager};
use crate::reports::{LaneUnanswered, NumbersBroken, TermOver};

/// Events read together: their commit takes some tens of milliseconds, and what comes meanwhile waits for so long.
pub(super) const READ_MAX: usize = 256;
/// How often a shard is reconciled when nothing seems wrong.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);
/// How soon it is tried again.
const RECONCILE_AGAIN: Duration = Duration::from_secs(5);

/// A lane at work.
pub(super) struct Lane {
    pub(super) core: Arc<Core>,
    manager: Addr<Manager>,
    pub(super) tenure: Tenure,
    /// All events up to this number are acknowledged. `None` if that is not known.
    pub(super) acknowledged: Option<u64>,
    failures: u32,
    due: Due,
}

/// When to reconcile next, and why.
struct Due {
    at: Instant,
    why: Why,
}

/// What a look at the registry came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// There was something, up to this number, and it is stored.
    Stored(u64),
    /// Nothing.
    Nothing,
    /// Registry or Live DB did not answer.
    Failed,
    /// The term is over.
    Over,
}

/// Works until the term is over.
pub(crate) async fn run(core: Arc<Core>, manager: Addr<Manager>, tenure: Tenure) {
    let due = Due { at: Instant::now(), why: Why::NewTerm };
    let mut lane = Lane { core, manager, tenure, acknowledged: None, failures: 0, due };
    while lane.tenure.in_force().await {
        tokio::select! {
            biased;
            () = lane.tenure.over() => return,
            () = lane.core.outage.over() => {}
        }
        match lane.look(u64::MAX).await {
            Looked::Stored(_) => lane.failures = 0,
            Looked::Nothing => {
                lane.failures = 0;
                lane.rest().await;
            }
            Looked::Failed => {
                lane.failures += 1;
                lane.pause(backoff(lane.failures)).await;
            }
            Looked::Over => {
                TermOver { owned: lane.tenure.owned() }.emit(&lane.core.metrics);
                if let Some(changed) = lane.core.ownership.fence(lane.tenure.owned()) {
                    changed.emit(&lane.core.metrics);
                }
            }
        }
    }
}

impl Lane {
    pub(super) fn shard(&self) -> Shard {
        self.tenure.owned().shard
    }

    fn desk(&self) -> &Desk {
        self.core.desks.of(self.shard())
    }

    /// Reads what there is up to number `n`, stores it, and acknowledges it.
    pub(super) async fn look(&mut self, n: u64) -> Looked {
        let shard = self.shard();
        if self.desk().take_rewound() {
            self.on_broken_numbers(None);
        }
        let newest = self.desk().newest();
        let mut events = match self.core.registry.events(shard, READ_MAX).await {
            Ok(events) => events,
            Err(error) => {
                LaneUnanswered { shard, error: &error }.emit(&self.core.metrics);
                return Looked::Failed;
            }
        };
        if events.is_empty() {
            // Nothing is unread that was there before we asked.
            self.on_acknowledged(newest.max(self.acknowledged.unwrap_or(0)));
        }
        events.retain(|event| event.n <= n);
        let (Some(first), Some(last)) = (events.first(), events.last().map(|event| event.n)) else {
            return Looked::Nothing;
        };
        let (first, at) = (first.n, first.at);
        let follow = events.windows(2).all(|pair| pair[1].n == pair[0].n + 1);
        if !follow || self.acknowledged.is_some_and(|before| first != before + 1) {
            self.on_broken_numbers(Some(first));
        }
        self.desk().set_waiting(Some(at));
        // Slept through while we read: then somebody else reads the same by now.
        if !self.tenure.is_in_force() {
            return Looked::Failed;
        }
        match self.store(events).await {
            Ok(()) => {}
            Err(NotStored::Later) => return Looked::Failed,
            Err(NotStored::Fenced) => return Looked::Over,
        }
        if self.acknowledge(last).await { Looked::Stored(last) } else { Looked::Failed }
    }

    /// Stores events, by way of the actor.
    pub(super) async fn store(&self, events: Vec<Event>) -> Result<(), NotStored> {
        let lifecycle = Lifecycle { owned: self.tenure.owned(), events };
        self.manager.send(lifecycle).await.unwrap_or(Err(NotStored::Later))
    }

    /// What is not acknowledged comes again, and the Live DB knows it.
    async fn acknowledge(&mut self, n: u64) -> bool {
        #[cfg(test)]
        self.core.seam.pass(crate::tests::Point::AfterCommit);
        if !self.tenure.is_in_force() {
            return false;
        }
        let answer = self.core.registry.acknowledge(self.shard(), n).await;
        self.core.stored.send_modify(|count| *count += 1);
        if let Err(error) = answer {
            LaneUnanswered { shard: self.shard(), error: &error }.emit(&self.core.metrics);
            return false;
        }
        self.on_acknowledged(n);
        true
    }

    fn on_acknowledged(&mut self, n: u64) {
        self.acknowledged = Some(n).filter(|n| *n > 0);
        self.desk().set_acknowledged(n);
        self.desk().set_waiting(None);
    }

    /// Numbers have no gaps and do not fall, unless the registry has lost something.
    fn on_broken_numbers(&mut self, found: Option<u64>) {
        let expected = self.acknowledged.take().map(|n| n + 1);
        self.desk().set_acknowledged(0);
        NumbersBroken { shard: self.shard(), expected, found }.emit(&self.core.metrics);
        self.due = Due { at: Instant::now(), why: Why::Numbers };
    }

    /// Waits until there may be something to do, or reconciles when it is time.
    async fn rest(&mut self) {
        let core = Arc::clone(&self.core);
        let permit = async {
            sleep_until(self.due.at).await;
            core.reconciling.acquire().await
        };
        let permit = tokio::select! {
            () = core.desks.of(self.shard()).wake.notified() => return,
            () = self.tenure.over() => return,
            permit = permit => permit,
        };
        // Closed never.
        let Ok(_permit) = permit else { return };
        #[cfg(test)]
        core.seam.pass(crate::tests::Point::InReconcile);
        let next = match reconcile::run(self, self.due.why).await {
            Ok(next) => next.unwrap_or_else(|| RECONCILE_EVERY.mul_f64(rand::random_range(0.9..1.1))),
            Err(Unreconciled) => RECONCILE_AGAIN.mul_f64(rand::random_range(0.5..1.0)),
        };
        let why = if next < RECONCILE_EVERY / 2 { self.due.why } else { Why::Routine };
        self.due = Due { at: Instant::now() + next, why };
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.tenure.over() => {}
            () = sleep(pause) => {}
        }
    }

    /// The wall clock, for what is stored.
    pub(super) fn now(&self) -> UnixMs {
        UnixMs::now()
    }
}
