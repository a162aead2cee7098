//! KeeperActor: runs the lease keeper's loop under supervision. The leases live outside it and survive its restart.

use onair_cluster::keeper::Keeper;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

/// What the keeper's actor hears.
pub(crate) enum Msg {
    /// The loop ended, which it does only by a panic.
    Stopped,
}

pub(crate) struct KeeperActor {
    pub(crate) keeper: Keeper,
}

pub(crate) struct State(JoinHandle<()>);

impl Drop for State {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the actor that the loop is over, however it ended.
struct Obituary(ActorRef<Msg>);

impl Drop for Obituary {
    fn drop(&mut self) {
        let _gone = self.0.cast(Msg::Stopped);
    }
}

impl Actor for KeeperActor {
    type Msg = Msg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Msg>, (): ()) -> Result<State, ActorProcessingErr> {
        let (keeper, obituary) = (self.keeper.clone(), Obituary(me));
        Ok(State(tokio::spawn(async move {
            let _obituary = obituary;
            keeper.run().await;
        })))
    }

    async fn handle(
        &self,
        _me: ActorRef<Msg>,
        msg: Msg,
        _state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Stopped => Err("the keeper's loop ended".into()),
        }
    }
}
