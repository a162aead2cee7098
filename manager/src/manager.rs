//! The Manager actor: it routes lifecycle batches to the lanes and keeps its children running.
//!
//! All children (readers, lanes, duties) run inside the actor's own context. A panic in any of them ends the actor, and the
//! island builds all of it anew; what they were doing is found again in the registry, the Live DB and `Core`.

use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use onair_cluster::Event;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::core::Core;
use crate::shard::lane::{self, Work};
use crate::shard::{lanes, reader};
use crate::{duties, feed, restore};

/// Messages that may wait: each lane's reader has one under way; the rest is for questions.
const MAILBOX: usize = 64;

/// A batch of events of one lane, ordered by number within each shard. Answered when they are stored and acknowledged.
pub(crate) struct Lifecycle {
    pub(crate) lane: usize,
    pub(crate) events: Vec<Event>,
}

impl Message for Lifecycle {
    type Result = Result<(), Dropped>;
}

/// The batch was not stored: read it again.
#[derive(Debug)]
pub(crate) struct Dropped;

/// The actor.
pub(crate) struct Manager {
    core: Arc<Core>,
    lanes: Vec<mpsc::Sender<Work>>,
    _fall: Fall,
}

/// Tells the watchdog when the actor is gone, however it went.
pub(crate) struct Fall(pub(crate) Arc<Notify>);

impl Drop for Fall {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Manager {
    pub(crate) fn new(core: Arc<Core>, fall: Fall) -> Self {
        Self { core, lanes: Vec::new(), _fall: fall }
    }
}

impl Actor for Manager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        for (lane, shards) in lanes().into_iter().enumerate() {
            let (queue, work) = mpsc::channel(lane::QUEUE);
            self.lanes.push(queue);
            ctx.spawn(lane::run(Arc::clone(&self.core), work).into_actor(self));
            ctx.spawn(reader::run(Arc::clone(&self.core), ctx.address(), lane, shards).into_actor(self));
        }
        ctx.spawn(duties::watch_leases(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(restore::run(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(duties::keep_records(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(feed::run(Arc::clone(&self.core)).into_actor(self));
    }
}

impl Handler<Lifecycle> for Manager {
    type Result = ResponseFuture<Result<(), Dropped>>;

    fn handle(&mut self, batch: Lifecycle, _: &mut Context<Self>) -> Self::Result {
        #[cfg(test)]
        self.core.seam.pass(crate::tests::Point::InHandler);
        let (stored, outcome) = oneshot::channel();
        let work = Work { events: batch.events, stored };
        let queued = self.lanes.get(batch.lane).is_some_and(|lane| lane.try_send(work).is_ok());
        Box::pin(async move {
            if !queued {
                return Err(Dropped);
            }
            outcome.await.map_err(|_| Dropped)
        })
    }
}

/// Ends the actor in good order. What it has not acknowledged stays in the registry.
pub(crate) struct Leave;

impl Message for Leave {
    type Result = ();
}

impl Handler<Leave> for Manager {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
