//! `onair serve`: one whole node. Composes registry, keeper, Manager and ingest, runs until told to stop, then drains.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onair_cluster::keeper::{Keeper, Policy};
use onair_cluster::nodes::LocalNodes;
use onair_cluster::registry::{LeaseTimes, local::LocalRegistry};
use onair_cluster::{NodeId, Registry};
use onair_ingest::{IngestNode, NodeParts, Reports};
use onair_manager::{ManagerConfig, ManagerHandle, ManagerMetrics, ManagerParts, NodeStatus, RegistryLife};
use prometheus_client::registry::Registry as Metrics;
use thiserror::Error;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::demo;
use crate::descriptors;
use crate::exit::Exit;
use crate::greeting::{self, Greeting};
use crate::secrets::{Secrets, SecretsError};
use crate::signals::Signals;

/// What the Manager gets to store the last ends, even when the sockets took all the time there was.
const MANAGER_PATIENCE_MIN: Duration = Duration::from_secs(1);
/// How far a drain may go past its timeout before the process ends all the same.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// Why a node did not start, or ended without being told to.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    /// Keys, token, directory.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The runtime or the signals.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
    /// The RTMP address.
    #[error("cannot listen on {address} for RTMP: {source}; another one: --rtmp IP:PORT")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The host's name makes no node id.
    #[error("the host's name makes no node id ({0}); set node.id")]
    NodeId(String),
    /// The Manager.
    #[error(transparent)]
    Manager(#[from] onair_manager::ManagerError),
    /// Ingest.
    #[error(transparent)]
    Ingest(#[from] onair_ingest::StartError),
    /// A part that must live as long as the node ended by itself.
    #[error("{0} ended by itself; see the log")]
    Died(Part),
    /// A second signal.
    #[error("told twice: not waiting for the drain")]
    Interrupted,
    /// The drain took longer than it may.
    #[error("the drain did not end in time")]
    DrainTimeout,
}

impl ServeError {
    /// The exit code this earns.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Secrets(e) => e.exit(),
            Self::Bind { .. } | Self::Manager(_) | Self::System(_) => Exit::Unavailable,
            Self::NodeId(_) => Exit::Config,
            Self::Ingest(_) | Self::Died(_) | Self::DrainTimeout => Exit::Software,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

/// What must live as long as the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Sockets and actors.
    Ingest,
    /// The database and the API.
    Manager,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingest => "ingest",
            Self::Manager => "the Manager",
        })
    }
}

/// Runs a node until a signal, and drains it.
pub(crate) fn serve(config: &Config) -> Result<(), ServeError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("onair-worker").build()?;
    let outcome = runtime.block_on(run(config));
    // Whatever still runs has had its time.
    runtime.shutdown_background();
    outcome
}

async fn run(config: &Config) -> Result<(), ServeError> {
    let mut signals = Signals::install()?;
    descriptors::provide_for(config.rtmp.connections_max);
    let dir = DataDir::open(&config.node.data_dir).map_err(SecretsError::from)?;
    let mut node = Node::build(config, &dir).await?;
    node.greet(config, &dir).await;

    let dead = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "told to stop: draining");
            None
        }
        part = node.died() => {
            tracing::error!(%part, "a part of this node is gone: draining the rest");
            Some(part)
        }
    };
    let patience = config.node.drain_timeout.0;
    tokio::select! {
        () = node.drain(patience, dead) => dead.map_or(Ok(()), |part| Err(ServeError::Died(part))),
        signal = signals.next() => {
            tracing::warn!(signal, "told again: leaving at once");
            Err(ServeError::Interrupted)
        }
        () = tokio::time::sleep(patience + DRAIN_SLACK) => Err(ServeError::DrainTimeout),
    }
}

/// Everything that runs.
struct Node {
    id: NodeId,
    ingest: IngestNode,
    manager: ManagerHandle,
    registry: Arc<dyn Registry>,
    media_domain: String,
    is_draining: Arc<AtomicBool>,
}

impl Node {
    async fn build(config: &Config, dir: &DataDir) -> Result<Self, ServeError> {
        let id = node_id(config)?;
        let Secrets { signer, admin_token } = Secrets::open(dir, &config.cluster.name)?;
        let address = config.rtmp.listen;
        let socket = onair_ingest::bind(address).map_err(|source| ServeError::Bind { address, source })?;
        let media_domain = match &config.node.media_domain {
            Some(domain) => domain.clone(),
            None => greeting::media_domain(socket.local_addr()?),
        };
        let mut metrics = Metrics::default();
        let local = LocalRegistry::start(LeaseTimes::default());
        let registry: Arc<dyn Registry> = local.clone();
        let keeper = Keeper::new(registry.clone(), id.clone(), Policy::default(), &mut metrics);
        let reports = Reports::register(&mut metrics);
        let manager_metrics = ManagerMetrics::register(&mut metrics);
        let verifier = signer.verifier();

        let is_draining = Arc::new(AtomicBool::new(false));
        let parts = ManagerParts {
            registry: registry.clone(),
            registry_life: RegistryLife::OurOwn,
            nodes: Arc::new(LocalNodes::default()),
            signer,
            admin_token,
            metrics: manager_metrics,
            prometheus: Arc::new(metrics),
            node_status: Arc::new(status_of(is_draining.clone())),
        };
        let manager = onair_manager::start(manager_config(config, dir, &media_domain, &id), parts).await?;
        // The clock may have been set back since the last start; epochs rise all the same.
        for (room, epoch) in manager.newest_epochs().await? {
            local.raise_epochs(&room, epoch);
        }
        // Last, so that the first encoder to come finds its key known.
        let parts = NodeParts { node: id.clone(), socket, keeper, verifier, reports };
        let ingest = IngestNode::start(config.rtmp.ingest(), parts).await?;
        Ok(Self { id, ingest, manager, registry, media_domain, is_draining })
    }

    /// Tells whoever started us where we are. A reader of stdout that has gone away is no failure.
    async fn greet(&self, config: &Config, dir: &DataDir) {
        let (rtmp, http) = (self.ingest.address(), self.manager.http_addr());
        tracing::info!(node = %self.id, %rtmp, %http, version = env!("CARGO_PKG_VERSION"), "onair is up");
        let mut stdout = std::io::stdout();
        // Until an address was made nobody can know one. A service's stdout is often collected like a log, so later starts
        // show the secret to a terminal only.
        let demo = match config.node.demo() {
            Ok(Some(producer)) if !demo::was_made(dir) || stdout.is_terminal() => {
                demo::address(&producer, &self.media_domain, dir, &*self.registry, &self.manager).await
            }
            _ => None,
        };
        let greeting = Greeting {
            node: self.id.as_str(),
            rtmp,
            http,
            media_domain: &self.media_domain,
            data_dir: dir.path(),
            demo,
        };
        let _ = write!(stdout, "{greeting}").and_then(|()| stdout.flush());
    }

    /// Resolves with a part that ended though nobody told it to.
    async fn died(&mut self) -> Part {
        tokio::select! {
            () = self.ingest.died() => Part::Ingest,
            () = self.manager.died() => Part::Manager,
        }
    }

    /// In this order: no new connections, leases given back before sockets close, then the last events stored.
    async fn drain(self, patience: Duration, dead: Option<Part>) {
        let began = Instant::now();
        self.is_draining.store(true, Ordering::Relaxed);
        // Dead, it has nothing left to drain: its connections went with it.
        let unrecorded = if dead == Some(Part::Ingest) { 0 } else { self.ingest.drain(patience).await };
        let left = patience.saturating_sub(began.elapsed()).max(MANAGER_PATIENCE_MIN);
        let unread = self.manager.stop(left).await;
        if unrecorded + unread == 0 {
            tracing::info!(took = ?began.elapsed(), "drained");
        } else {
            tracing::warn!(
                unrecorded,
                unread,
                "drained, but not all ends are stored; the next start finds them"
            );
        }
    }
}

/// The configured id, or the host's name with whatever an id cannot have replaced.
fn node_id(config: &Config) -> Result<NodeId, ServeError> {
    if let Some(id) = &config.node.id {
        return Ok(id.clone());
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(128)
        .collect();
    NodeId::parse(&id).map_err(|e| ServeError::NodeId(e.to_string()))
}

fn status_of(is_draining: Arc<AtomicBool>) -> impl Fn() -> NodeStatus + Send + Sync {
    move || {
        let draining = is_draining.load(Ordering::Relaxed);
        let state = if draining { "draining" } else { "serving" };
        NodeStatus { ready: !draining, state: state.to_owned(), degraded: Vec::new() }
    }
}

fn manager_config(config: &Config, dir: &DataDir, media_domain: &str, id: &NodeId) -> ManagerConfig {
    ManagerConfig {
        cluster_name: config.cluster.name.clone(),
        live_key_ttl: config.live_keys.lifetime.0,
        live_key_ttl_max: config.live_keys.lifetime_max.0,
        live_keys_per_room_max: config.live_keys.per_room_max,
        retention: config.retention.manager(),
        ..ManagerConfig::new(config.http.listen, dir.path().to_owned(), media_domain.to_owned(), id.clone())
    }
}
