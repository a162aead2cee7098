//! Connections: supervisor of every connection of a node. Their death is theirs alone; nothing is restarted.
//!
//! | child | policy | what is lost | who is told |
//! |---|---|---|---|
//! | [`Connection`](crate::connection) | never restarted | its socket | the registry, by the lease guard's `Drop` |

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use crate::admission::Permit;
use crate::connection::{self, Args, Connection, Door, Wiring};
use crate::stop::StopReason;

/// What the supervisor hears.
pub(crate) enum Msg {
    /// A socket from the listener, already admitted.
    Accepted { socket: std::net::TcpStream, address: SocketAddr, permit: Permit, at: Instant, door: Door },
    /// End all connections; answer when the last is gone.
    Drain(RpcReplyPort<()>),
}

pub(crate) struct Connections {
    pub(crate) wiring: Wiring,
}

pub(crate) struct State {
    next_id: u64,
    children: HashMap<ActorId, Child>,
    /// Nobody is let in any more; these wait for the last to go.
    draining: Option<Vec<RpcReplyPort<()>>>,
}

struct Child {
    actor: ActorRef<connection::Msg>,
    id: u64,
    address: SocketAddr,
}

impl Connections {
    async fn on_accepted(&self, me: ActorCell, state: &mut State, args: Args) {
        let (id, address) = (args.id, args.address);
        let child = Connection { wiring: self.wiring.clone() };
        // `pre_start` only builds; it waits for nobody.
        match Actor::spawn_linked(None, child, args, me).await {
            Ok((actor, _)) => {
                state.children.insert(actor.get_id(), Child { actor, id, address });
            }
            Err(error) => tracing::error!(connection = id, %error, "a connection did not start"),
        }
    }

    fn on_gone(&self, state: &mut State, who: &ActorCell, crashed: Option<String>) {
        let Some(child) = state.children.remove(&who.get_id()) else { return };
        if let Some(error) = crashed {
            // A crashed actor could not say so itself.
            tracing::error!(connection = child.id, error, "a connection's handler panicked");
            self.wiring.reports.stopped(child.id, child.address, &StopReason::Crash, 0);
        }
        if state.children.is_empty() {
            // The places of a rush would stay for good.
            state.children = HashMap::new();
            for reply in state.draining.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                let _gone = reply.send(());
            }
        }
    }
}

impl Actor for Connections {
    type Msg = Msg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, _me: ActorRef<Msg>, (): ()) -> Result<State, ActorProcessingErr> {
        Ok(State { next_id: 1, children: HashMap::new(), draining: None })
    }

    async fn handle(&self, me: ActorRef<Msg>, msg: Msg, state: &mut State) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Accepted { socket, address, permit, at, door } => {
                if state.draining.is_some() {
                    return Ok(());
                }
                let id = state.next_id;
                state.next_id += 1;
                self.on_accepted(
                    me.get_cell(),
                    state,
                    Args { socket, address, id, accepted: at, permit, door },
                )
                .await;
            }
            Msg::Drain(reply) => {
                let waiting = state.draining.get_or_insert_default();
                if state.children.is_empty() {
                    let _gone = reply.send(());
                    return Ok(());
                }
                waiting.push(reply);
                for child in state.children.values() {
                    let _gone = child.actor.cast(connection::Msg::Drain);
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, ..) => self.on_gone(state, &who, None),
            SupervisionEvent::ActorFailed(who, error) => self.on_gone(state, &who, Some(error.to_string())),
            _ => {}
        }
        Ok(())
    }
}
