//! The ingest half: sockets, leases, players. Bound and named first, served last, so that the first encoder to come finds
//! everything else in place.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use onair_cluster::NodeId;
use onair_cluster::directory::Directory;
use onair_cluster::keeper::Keeper;
use onair_cluster::live_key::LiveKeyVerifier;
use onair_cluster::nodes::{NodeCard, NodeLoad};
use onair_cluster::play_token::PlayVerifier;
use onair_ingest::{IngestNode, NodeParts, RelayParts, Reports};
use onair_manager::RegistryLife;
use prometheus_client::registry::Registry as Metrics;

use crate::config::Config;
use crate::descriptors;
use crate::error::RunError;
use crate::greeting;
use crate::membership::{self, Meter};
use crate::truth::Truth;

/// An ingest half that does not serve yet.
pub(crate) struct Prepared {
    id: NodeId,
    socket: std::net::TcpListener,
    address: SocketAddr,
    keeper: Keeper,
    reports: Reports,
    relay: Option<RelayParts>,
    /// `host:port` where other nodes pull from here.
    relay_advertise: Option<String>,
    load: Arc<OnceLock<Meter>>,
}

impl Prepared {
    /// Binds its socket and names its metrics.
    pub(crate) fn new(
        config: &Config,
        id: &NodeId,
        truth: &Truth,
        metrics: &mut Metrics,
    ) -> Result<Self, RunError> {
        descriptors::provide_for(config.rtmp.connections_max);
        let wanted = config.rtmp.listen;
        let socket = bind(wanted, "rtmp.listen")?;
        let mut relay_advertise = None;
        let relay = match config.cluster.relay_key()? {
            // Alone there is nobody to exchange media with.
            Some(key) if truth.life() == RegistryLife::Shared => {
                let socket = match config.cluster.relay_listen {
                    Some(listen) => Some(bind(listen, "cluster.relay_listen")?),
                    None => None,
                };
                if let Some(socket) = &socket {
                    let own = greeting::reachable(socket.local_addr()?).to_string();
                    relay_advertise = Some(config.cluster.relay_advertise.clone().unwrap_or(own));
                }
                let directory = Directory::new(truth.registry.clone(), truth.nodes.clone(), metrics);
                Some(RelayParts { directory, key, socket })
            }
            _ => None,
        };
        Ok(Self {
            id: id.clone(),
            address: socket.local_addr()?,
            socket,
            keeper: Keeper::new(truth.registry.clone(), id.clone(), config.cluster.policy(), metrics),
            reports: Reports::register(metrics),
            relay,
            relay_advertise,
            load: Arc::new(OnceLock::new()),
        })
    }

    /// Where it will listen.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What other nodes are told of it.
    pub(crate) fn card(&self, config: &Config) -> NodeCard {
        membership::card(self.id.clone(), config.node.advertise.clone(), self.relay_advertise.clone())
    }

    /// How it fares, before it serves and after.
    pub(crate) fn meter(&self) -> Meter {
        let load = Arc::clone(&self.load);
        Arc::new(move || load.get().map_or_else(NodeLoad::default, |meter| meter()))
    }

    /// Serves.
    pub(crate) async fn start(self, config: &Config, judges: Judges) -> Result<IngestNode, RunError> {
        let Self { id, socket, keeper, reports, relay, load, .. } = self;
        let Judges { verifier, play_verifier } = judges;
        let parts = NodeParts { node: id, socket, keeper, verifier, play_verifier, relay, reports };
        let node = IngestNode::start(config.ingest(), parts).await?;
        // Only we set it, and only here.
        let _ = load.set(Arc::new(node.meter()));
        Ok(node)
    }
}

/// Who says whose token is good.
pub(crate) struct Judges {
    /// Publishers'.
    pub(crate) verifier: LiveKeyVerifier,
    /// Viewers'.
    pub(crate) play_verifier: PlayVerifier,
}

fn bind(address: SocketAddr, key: &'static str) -> Result<std::net::TcpListener, RunError> {
    onair_ingest::bind(address).map_err(|source| RunError::Bind { address, key, source })
}
