//! The probes of a process without a Manager: `/livez`, `/readyz` and `/metrics`, and nothing else, on an address of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use onair_cluster::NodeId;

use crate::api::health::Health;
use crate::api::server::listen_health;
use crate::config::HttpLimits;
use crate::{ManagerError, NodeStatus};

/// What probes are answered from.
pub struct ProbesParts {
    /// The cluster's name, shown by `/readyz`.
    pub cluster_name: String,
    /// Who answers.
    pub node_id: NodeId,
    /// What `/metrics` prints.
    pub prometheus: Arc<prometheus_client::registry::Registry>,
    /// Asked by `/readyz`. Must answer at once.
    pub node_status: Arc<dyn Fn() -> NodeStatus + Send + Sync>,
}

/// Probes that are being answered, on a thread of their own, until [`Probes::stop`].
pub struct Probes {
    http: SocketAddr,
    server: ServerHandle,
}

impl Probes {
    /// Answers at `addr`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ManagerError::Bind`] when the address is not to be had.
    pub fn start(addr: SocketAddr, parts: ProbesParts) -> Result<Self, ManagerError> {
        let ProbesParts { cluster_name, node_id, prometheus, node_status } = parts;
        let health =
            Health { cluster: cluster_name, node_id, status: node_status, manager: None, prometheus };
        // One thread: a probe takes microseconds, and metrics a millisecond.
        let limits = HttpLimits { workers: 1, ..HttpLimits::default() };
        let (server, http) = listen_health(addr, limits, health)?;
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { http, server: handle })
    }

    /// Where they are answered.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Answers what is under way, and ends.
    pub async fn stop(self) {
        self.server.stop(true).await;
    }
}
