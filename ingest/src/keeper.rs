//! KeeperActor: runs the lease keeper's loop under supervision. The leases live outside it and survive its restart.

use onair_cluster::keeper::Keeper;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::task::TaskGuard;

/// What the keeper's actor hears.
pub(crate) enum Msg {
    /// The loop ended, which it does only by a panic.
    Stopped,
}

pub(crate) struct KeeperActor {
    pub(crate) keeper: Keeper,
}

impl Actor for KeeperActor {
    type Msg = Msg;
    type State = TaskGuard;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Msg>, (): ()) -> Result<TaskGuard, ActorProcessingErr> {
        let keeper = self.keeper.clone();
        Ok(TaskGuard::spawn_watched(me, Msg::Stopped, async move { keeper.run().await }))
    }

    async fn handle(
        &self,
        _me: ActorRef<Msg>,
        msg: Msg,
        _state: &mut TaskGuard,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Stopped => Err("the keeper's loop ended".into()),
        }
    }
}
