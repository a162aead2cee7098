//! IngestNode: the root of the supervision tree, and the handle by which the program starts, asks and drains it.
//!
//! | child | policy | what is lost | who is told |
//! |---|---|---|---|
//! | [`KeeperActor`](crate::keeper) | restarted, with a budget | nothing: leases live outside it; what it cannot renew in time fences itself | log, metric |
//! | [`Connections`](crate::connections) | not restarted: its children died with it | all connections | the program, which exits |
//! | [`Listener`](crate::listener), one per door | restarted, with a budget | nothing: the bound socket lives outside it | log, metric |
//! | [`Pulls`](crate::relay) | restarted, with a budget | pulls from other nodes; rooms with players are pulled again at once | log, metric |

use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_cluster::NodeId;
use onair_cluster::keeper::Keeper;
use onair_cluster::live_key::LiveKeyVerifier;
use onair_cluster::nodes::NodeLoad;
use onair_cluster::play_token::PlayVerifier;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::admission::Admission;
use crate::config::IngestConfig;
use crate::connection::{Door, Wiring};
use crate::connections::{self, Connections};
use crate::keeper::KeeperActor;
use crate::listener::Listener;
use crate::reactor::Reactors;
use crate::relay::{self, Pulls, PullsRef, RelayParts};
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
    /// The public keys that viewers' tokens are checked with, where [`IngestConfig::play`] wants them.
    pub play_verifier: PlayVerifier,
    /// How media is exchanged with other nodes; `None` for a node that is alone.
    pub relay: Option<RelayParts>,
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
    /// A thread did not start.
    #[error("a media thread did not start: {0}")]
    Thread(std::io::Error),
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
    relay_address: Option<SocketAddr>,
}

impl IngestNode {
    /// Starts the tree. The socket is served from here on.
    ///
    /// # Errors
    /// When the socket cannot be served or an actor does not start.
    pub async fn start(config: IngestConfig, parts: NodeParts) -> Result<Self, StartError> {
        let address = parts.socket.local_addr()?;
        let reports = parts.reports;
        let config = Arc::new(config);
        let admission = Admission::new(config.connections_max, config.pending_per_address_max);
        let rooms = Rooms::new(config.room_bytes_max, config.gather_writes);
        let mut entrances = vec![Entrance {
            door: Door::Public,
            socket: Arc::new(parts.socket),
            admission: admission.clone(),
        }];
        let (mut relay, mut relay_key, mut relay_address) = (None, None, None);
        if let Some(RelayParts { directory, key, socket }) = parts.relay {
            relay_key = Some(key.clone());
            if let Some(socket) = socket {
                relay_address = Some(socket.local_addr()?);
                // One node may want many rooms at once, and viewers must not take its place.
                let admission = Admission::new(config.connections_max, config.connections_max);
                entrances.push(Entrance { door: Door::Relay, socket: Arc::new(socket), admission });
            }
            let (node, rooms, config, reports) =
                (parts.node.clone(), rooms.clone(), config.clone(), reports.clone());
            relay = Some(relay::Wiring { node, rooms, directory, key, config, reports });
        }
        let reactors = Reactors::start(config.threads).map_err(StartError::Thread)?;
        let died = reactors.died();
        let wiring = Wiring {
            reactors,
            node: parts.node,
            config,
            rooms,
            keeper: parts.keeper.clone(),
            verifier: parts.verifier,
            play_verifier: parts.play_verifier,
            relay_key,
            pulls: relay.as_ref().map(|_| PullsRef::default()),
            reports: reports.clone(),
        };
        let (root, task) = Actor::spawn(None, Root { wiring, relay, entrances }, ()).await?;
        let connections = ractor::call_t!(root, Msg::Connections, 5_000)
            .map_err(|error| StartError::Socket(std::io::Error::other(error.to_string())))?;
        reports.listening(address);
        if let Some(address) = relay_address {
            reports.relay().listening(address);
        }
        let task = tokio::spawn(async move {
            tokio::select! {
                _ended = task => {}
                // Whoever was served by that thread is served by nobody.
                () = died => {}
            }
        });
        Ok(Self { root, task, connections, keeper: parts.keeper, admission, reports, address, relay_address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for other nodes, if it does.
    pub const fn relay_address(&self) -> Option<SocketAddr> {
        self.relay_address
    }

    /// Connections of encoders and players now.
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
    Pulls,
    Listener(Door),
}

impl Child {
    const fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Pulls => "pulls",
            Self::Listener(Door::Public) => "listener",
            Self::Listener(Door::Relay) => "relay_listener",
        }
    }
}

/// A bound socket, and who may come in by it.
struct Entrance {
    door: Door,
    socket: Arc<std::net::TcpListener>,
    admission: Admission,
}

struct Root {
    wiring: Wiring,
    relay: Option<relay::Wiring>,
    entrances: Vec<Entrance>,
}

struct State {
    connections: ActorRef<connections::Msg>,
    /// Those that are started again when they end.
    children: Vec<(Child, ActorCell)>,
    is_listening: bool,
    restarts: Vec<(Child, Instant)>,
}

impl Root {
    /// The children that are started again when they end.
    fn children(&self) -> Vec<Child> {
        let pulls = self.relay.as_ref().map(|_| Child::Pulls);
        let listeners = self.entrances.iter().map(|entrance| Child::Listener(entrance.door));
        // The listeners last: whoever comes in finds everything there.
        std::iter::once(Child::Keeper).chain(pulls).chain(listeners).collect()
    }

    /// Starts a child. `None` when this node has no such child.
    async fn spawn(
        &self,
        child: Child,
        me: ActorCell,
        connections: &ActorRef<connections::Msg>,
    ) -> Result<Option<ActorCell>, ActorProcessingErr> {
        let cell = match child {
            Child::Keeper => {
                let keeper = KeeperActor { keeper: self.wiring.keeper.clone() };
                Actor::spawn_linked(None, keeper, (), me).await?.0.get_cell()
            }
            Child::Pulls => {
                let (Some(wiring), Some(pulls)) = (self.relay.clone(), self.wiring.pulls.clone()) else {
                    return Ok(None);
                };
                Actor::spawn_linked(None, Pulls { wiring, me: pulls }, (), me).await?.0.get_cell()
            }
            Child::Listener(door) => {
                let Some(entrance) = self.entrances.iter().find(|entrance| entrance.door == door) else {
                    return Ok(None);
                };
                let listener = Listener {
                    socket: entrance.socket.clone(),
                    admission: entrance.admission.clone(),
                    reports: self.wiring.reports.clone(),
                    connections: connections.clone(),
                    door,
                };
                Actor::spawn_linked(None, listener, (), me).await?.0.get_cell()
            }
        };
        Ok(Some(cell))
    }

    /// A child is gone. Says which one to start again, and after what pause; `Err` when the node cannot go on.
    fn on_gone(state: &mut State, who: &ActorCell) -> Result<Option<(Child, Duration)>, ActorProcessingErr> {
        if who.get_id() == state.connections.get_id() {
            return Err("the supervisor of the connections is gone".into());
        }
        let known = state.children.iter().position(|(_, cell)| cell.get_id() == who.get_id());
        let Some(at) = known else { return Ok(None) };
        let (child, _) = state.children.swap_remove(at);
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
        let connections = Connections { wiring: self.wiring.clone() };
        let (connections, _) = Actor::spawn_linked(None, connections, (), me.get_cell()).await?;
        let mut state = State { connections, children: Vec::new(), is_listening: true, restarts: Vec::new() };
        for child in self.children() {
            if let Some(cell) = self.spawn(child, me.get_cell(), &state.connections).await? {
                state.children.push((child, cell));
            }
        }
        Ok(state)
    }

    async fn handle(&self, me: ActorRef<Msg>, msg: Msg, state: &mut State) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Connections(reply) => {
                let _gone = reply.send(state.connections.clone());
            }
            Msg::StopListening => {
                state.is_listening = false;
                for entrance in &self.entrances {
                    // Whoever is told to reconnect must not reconnect to us.
                    let _closed_already = socket2::SockRef::from(&*entrance.socket).shutdown(Shutdown::Both);
                }
                state.children.retain(|(child, cell)| {
                    let is_listener = matches!(child, Child::Listener(_));
                    if is_listener {
                        cell.stop(None);
                    }
                    !is_listener
                });
            }
            Msg::Restart(child) => {
                let is_wanted = state.is_listening || !matches!(child, Child::Listener(_));
                if is_wanted && let Some(cell) = self.spawn(child, me.get_cell(), &state.connections).await? {
                    state.children.push((child, cell));
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
