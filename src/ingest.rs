//! The ingest half: sockets, leases, players. Bound and named first, served last, so that the first encoder to come finds
//! everything else in place.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use onair_cluster::NodeId;
use onair_cluster::keeper::Keeper;
use onair_cluster::live_key::LiveKeyVerifier;
use onair_cluster::nodes::NodeLoad;
use onair_ingest::{IngestNode, NodeParts, Reports};
use prometheus_client::registry::Registry as Metrics;

use crate::config::Config;
use crate::descriptors;
use crate::error::RunError;
use crate::membership::Meter;
use crate::truth::Truth;

/// An ingest half that does not serve yet.
pub(crate) struct Prepared {
    id: NodeId,
    socket: std::net::TcpListener,
    address: SocketAddr,
    keeper: Keeper,
    reports: Reports,
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
        let socket =
            onair_ingest::bind(wanted).map_err(|source| RunError::Bind { address: wanted, source })?;
        Ok(Self {
            id: id.clone(),
            address: socket.local_addr()?,
            socket,
            keeper: Keeper::new(truth.registry.clone(), id.clone(), config.cluster.policy(), metrics),
            reports: Reports::register(metrics),
            load: Arc::new(OnceLock::new()),
        })
    }

    /// Where it will listen.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it fares, before it serves and after.
    pub(crate) fn meter(&self) -> Meter {
        let load = Arc::clone(&self.load);
        Arc::new(move || load.get().map_or_else(NodeLoad::default, |meter| meter()))
    }

    /// Serves.
    pub(crate) async fn start(
        self,
        config: &Config,
        verifier: LiveKeyVerifier,
    ) -> Result<IngestNode, RunError> {
        let Self { id, socket, keeper, reports, load, .. } = self;
        let parts = NodeParts { node: id, socket, keeper, verifier, reports };
        let node = IngestNode::start(config.rtmp.ingest(), parts).await?;
        // Only we set it, and only here.
        let _ = load.set(Arc::new(node.meter()));
        Ok(node)
    }
}
