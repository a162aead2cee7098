//! The Manager actor: it routes lifecycle batches from the lanes to the committers, and keeps its children running.
//!
//! All children (beats, lanes, committers, duties) run inside the actor's own context. A panic in any of them ends the actor, and
//! the island builds all of it anew; what they were doing is found again in the registry, the Live DB and `Core`.

use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use onair_cluster::Event;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::core::Core;
use crate::live_db::ShardTerm;
use crate::shard::commit::{self, NotStored, Work};
use crate::shard::{beats, foreman};
use crate::{audit, duties, feed, outage, restore, ship, tokens};

/// Messages that may wait: each lane has one under way; the rest is for questions.
const MAILBOX: usize = 128;

/// A batch of one shard's events, in order. Answered when they are stored.
pub(crate) struct Lifecycle {
    pub(crate) owned: ShardTerm,
    pub(crate) events: Vec<Event>,
}

impl Message for Lifecycle {
    type Result = Result<(), NotStored>;
}

/// The actor.
pub(crate) struct Manager {
    core: Arc<Core>,
    queue: Option<mpsc::Sender<Work>>,
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
        Self { core, queue: None, _fall: fall }
    }
}

impl Actor for Manager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        let (queue, works) = commit::queue();
        self.queue = Some(queue);
        for _ in 0..self.core.live_db.writers() {
            ctx.spawn(commit::run(Arc::clone(&self.core), Arc::clone(&works)).into_actor(self));
        }
        ctx.spawn(foreman::run(Arc::clone(&self.core), ctx.address()).into_actor(self));
        ctx.spawn(ship::run(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(beats::run(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(outage::settle_doubts(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(duties::watch_shards(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(duties::ask_again(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(restore::run(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(tokens::keep(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(audit::write(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(duties::keep_records(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(feed::run(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(duties::look_at_outbox(Arc::clone(&self.core)).into_actor(self));
    }
}

impl Handler<Lifecycle> for Manager {
    type Result = ResponseFuture<Result<(), NotStored>>;

    fn handle(&mut self, batch: Lifecycle, _: &mut Context<Self>) -> Self::Result {
        #[cfg(test)]
        self.core.seam.pass(crate::tests::Point::InHandler);
        let (settled, outcome) = oneshot::channel();
        let work = Work { owned: batch.owned, events: batch.events, settled };
        let queued = self.queue.as_ref().is_some_and(|queue| queue.try_send(work).is_ok());
        Box::pin(async move {
            if !queued {
                return Err(NotStored::Later);
            }
            outcome.await.unwrap_or(Err(NotStored::Later))
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
