//! TaskGuard: a task that runs beside an actor and ends with it.

use ractor::{ActorRef, Message};
use tokio::task::JoinHandle;

/// A task that ends with its owner.
pub(crate) struct TaskGuard(JoinHandle<()>);

impl TaskGuard {
    /// Starts it.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Starts it, and tells `actor` when it is over, however it ended: a panic cannot say so itself.
    pub(crate) fn spawn_watched<M: Message>(
        actor: ActorRef<M>,
        over: M,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let obituary = Obituary { actor, over: Some(over) };
        Self::spawn(async move {
            let _obituary = obituary;
            task.await;
        })
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Obituary<M: Message> {
    actor: ActorRef<M>,
    over: Option<M>,
}

impl<M: Message> Drop for Obituary<M> {
    fn drop(&mut self) {
        if let Some(over) = self.over.take() {
            let _gone = self.actor.cast(over);
        }
    }
}
