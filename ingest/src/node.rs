//! IngestNode: the root of the supervision tree, and the handle by which the program starts, asks and drains it.
//!
//! | child | policy | what is lost | who is told |
//! |---|---|---|---|
//! | [`KeeperActor`](crate::keeper) | restarted, with a budget | nothing: leases live outside it; what it cannot renew in time fences itself | log, metric |
//! | [`Connections`](crate::connections) | not restarted: its children died with it | all connections | the program, which exits |
//! | [`Listener`](crate::listener) | restarted, with a budget | nothing: the bound socket lives outside it | log, metric |

use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_cluster::NodeId;
use onair_cluster::keeper::Keeper;
use onair_cluster::live_key::LiveKeyVerifier;
use onair_cluster::nodes::NodeLoad;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::admission::Admission;
use crate::config::IngestConfig;
use crate::connection::Wiring;
use crate::connections::{self, Connections};
use crate::keeper::KeeperActor;
use crate::listener::Listener;
use crate::reports::Reports;
use crate::room::Rooms;

/// Restarts of one child allowed within [`RESTART_WINDOW`]; one more and the node gives up.
const RESTARTS_MAX: usize = 5;
/// The time over which restarts are counted.
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// How much longer than its patience a drain may take before sockets are simply closed.
const DRAIN_SLACK: Duration = Duration::from_secs(2);

/// What a node is made of.
pub struct NodeParts {
    /// Its name.
    pub node: NodeId,
    /// The bound RTMP socket; see [`crate::bind`].
    pub socket: std::net::TcpListener,
    /// The leases of this node.
    pub keeper: Keeper,
    /// The public keys that live keys are checked with.
    pub verifier: LiveKeyVerifier,
    /// Where it reports to.
    pub reports: Reports,
}

/// Why a node did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The socket is not one.
    #[error("the RTMP socket: {0}")]
    Socket(#[from] std::io::Error),
    /// An actor did not start.
    #[error("an actor did not start: {0}")]
    Actor(#[from] ractor::SpawnErr),
}

/// A running ingest node.
pub struct IngestNode {
    root: ActorRef<Msg>,
    task: JoinHandle<()>,
    connections: ActorRef<connections::Msg>,
    keeper: Keeper,
    admission: Admission,
    reports: Reports,
    address: SocketAddr,
}

impl IngestNode {
    /// Starts the tree. The socket is served from here on.
    ///
    /// # Errors
    /// When the socket cannot be served or an actor does not start.
    pub async fn start(config: IngestConfig, parts: NodeParts) -> Result<Self, StartError> {
        let address = parts.socket.local_addr()?;
        let reports = parts.reports;
        let admission = Admission::new(config.connections_max, config.pending_per_address_max);
        let rooms = Rooms::new(config.room_bytes_max);
        let wiring = Wiring {
            node: parts.node,
            config: Arc::new(config),
            rooms,
            keeper: parts.keeper.clone(),
            verifier: parts.verifier,
            reports: reports.clone(),
        };
        let root = Root { wiring, socket: Arc::new(parts.socket), admission: admission.clone() };
        let (root, task) = Actor::spawn(None, root, ()).await?;
        let connections = ractor::call_t!(root, Msg::Connections, 5_000)
            .map_err(|error| StartError::Socket(std::io::Error::other(error.to_string())))?;
        reports.listening(address);
        Ok(Self { root, task, connections, keeper: parts.keeper, admission, reports, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.admission.connections()
    }

    /// How the node fares, for the registry of nodes. Cheap.
    pub fn load(&self) -> NodeLoad {
        self.reports.load(self.admission.connections())
    }

    /// The same for whoever outlives this handle.
    pub fn meter(&self) -> impl Fn() -> NodeLoad + Send + Sync + 'static {
        let (reports, admission) = (self.reports.clone(), self.admission.clone());
        move || reports.load(admission.connections())
    }

    /// Resolves when the tree has ended by itself, which it does only when it cannot go on.
    pub async fn died(&mut self) {
        let _ended = (&mut self.task).await;
    }

    /// Shuts down in order: no new connections, every lease given back before its socket is closed, then the rest.
    /// Takes `patience` at most, and a little. Returns the releases that the registry has not recorded.
    pub async fn drain(self, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        let _gone = self.root.cast(Msg::StopListening);
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let timeout = Some(left(deadline));
        if self.connections.call(connections::Msg::Drain, timeout).await.is_err() {
            tracing::error!("connections did not drain: the node's tree is gone");
        }
        // Runs the keeper too, in case its actor is gone or about to be started again; two never run at once.
        let unrecorded = tokio::select! {
            () = self.keeper.run() => 0,
            unrecorded = self.keeper.idle(left(deadline).max(DRAIN_SLACK)) => unrecorded,
        };
        self.root.stop(None);
        // A handle whose end `died` has seen must not be awaited again.
        if !self.task.is_finished() {
            let _ended = tokio::time::timeout(DRAIN_SLACK, self.task).await;
        }
        unrecorded
    }
}

enum Msg {
    Connections(ractor::RpcReplyPort<ActorRef<connections::Msg>>),
    StopListening,
    /// The pause before a restart is over.
    Restart(Child),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Child {
    Keeper,
    Listener,
}

impl Child {
    const fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Listener => "listener",
        }
    }
}

struct Root {
    wiring: Wiring,
    socket: Arc<std::net::TcpListener>,
    admission: Admission,
}

struct State {
    connections: ActorRef<connections::Msg>,
    keeper: ActorCell,
    listener: Option<ActorCell>,
    restarts: Vec<(Child, Instant)>,
}

impl Root {
    async fn spawn_keeper(&self, me: ActorCell) -> Result<ActorCell, ActorProcessingErr> {
        let (actor, _) =
            Actor::spawn_linked(None, KeeperActor { keeper: self.wiring.keeper.clone() }, (), me).await?;
        Ok(actor.get_cell())
    }

    async fn spawn_listener(
        &self,
        me: ActorCell,
        connections: &ActorRef<connections::Msg>,
    ) -> Result<ActorCell, ActorProcessingErr> {
        let listener = Listener {
            socket: self.socket.clone(),
            admission: self.admission.clone(),
            reports: self.wiring.reports.clone(),
            connections: connections.clone(),
        };
        let (actor, _) = Actor::spawn_linked(None, listener, (), me).await?;
        Ok(actor.get_cell())
    }

    /// A child is gone. Says which one to start again, and after what pause; `Err` when the node cannot go on.
    fn on_gone(state: &mut State, who: &ActorCell) -> Result<Option<(Child, Duration)>, ActorProcessingErr> {
        let child = if who.get_id() == state.keeper.get_id() {
            Child::Keeper
        } else if state.listener.as_ref().is_some_and(|listener| listener.get_id() == who.get_id()) {
            Child::Listener
        } else if who.get_id() == state.connections.get_id() {
            return Err("the supervisor of the connections is gone".into());
        } else {
            return Ok(None);
        };
        let now = Instant::now();
        state.restarts.retain(|(_, at)| now.duration_since(*at) < RESTART_WINDOW);
        let before = state.restarts.iter().filter(|(which, _)| *which == child).count();
        if before >= RESTARTS_MAX {
            return Err(format!("the {} was restarted {before} times in a minute", child.name()).into());
        }
        state.restarts.push((child, now));
        // At once the first time, then 100, 200, 400, 800 ms.
        let pause = if before == 0 { Duration::ZERO } else { Duration::from_millis(50 << before) };
        Ok(Some((child, pause)))
    }
}

impl Actor for Root {
    type Msg = Msg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Msg>, (): ()) -> Result<State, ActorProcessingErr> {
        let keeper = self.spawn_keeper(me.get_cell()).await?;
        let connections = Connections { wiring: self.wiring.clone() };
        let (connections, _) = Actor::spawn_linked(None, connections, (), me.get_cell()).await?;
        let listener = self.spawn_listener(me.get_cell(), &connections).await?;
        Ok(State { connections, keeper, listener: Some(listener), restarts: Vec::new() })
    }

    async fn handle(&self, me: ActorRef<Msg>, msg: Msg, state: &mut State) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Connections(reply) => {
                let _gone = reply.send(state.connections.clone());
            }
            Msg::StopListening => {
                // Whoever is told to reconnect must not reconnect to us.
                let _closed_already = socket2::SockRef::from(&*self.socket).shutdown(Shutdown::Both);
                if let Some(listener) = state.listener.take() {
                    listener.stop(None);
                }
            }
            Msg::Restart(Child::Keeper) => state.keeper = self.spawn_keeper(me.get_cell()).await?,
            Msg::Restart(Child::Listener) => {
                if state.listener.is_some() {
                    state.listener = Some(self.spawn_listener(me.get_cell(), &state.connections).await?);
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (who, error) = match event {
            SupervisionEvent::ActorTerminated(who, ..) => (who, "stopped".to_owned()),
            SupervisionEvent::ActorFailed(who, error) => (who, error.to_string()),
            _ => return Ok(()),
        };
        if let Some((child, pause)) = Self::on_gone(state, &who)? {
            self.wiring.reports.restarted(child.name(), &error);
            me.send_after(pause, move || Msg::Restart(child));
        }
        Ok(())
    }
}
