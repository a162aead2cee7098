//! Where the truth about who is on air is kept: in this process alone, or in a Redis that many share.

use std::sync::Arc;

use onair_cluster::Registry;
use onair_cluster::nodes::{LocalNodes, Nodes, RedisNodes};
use onair_cluster::registry::LeaseTimes;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::redis::RedisRegistry;
use onair_manager::RegistryLife;
use prometheus_client::registry::Registry as Metrics;

use crate::config::Config;
use crate::error::RunError;
use crate::node::Role;

/// The registry of leases, and that of nodes.
pub(crate) struct Truth {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) nodes: Arc<dyn Nodes>,
    /// The registry again, when it is our own: it forgets at each end, and must be told at the start what was.
    pub(crate) local: Option<Arc<LocalRegistry>>,
}

impl Truth {
    /// The truth of a cluster if one is configured, else our own. Must be called within a tokio runtime.
    pub(crate) async fn open(config: &Config, role: Role, metrics: &mut Metrics) -> Result<Self, RunError> {
        if let Some(settings) = config.redis.settings(&config.cluster.name)? {
            let shared = RedisRegistry::connect(&settings, metrics).await?;
            return Ok(Self {
                registry: shared.clone(),
                nodes: Arc::new(RedisNodes::new(shared)),
                local: None,
            });
        }
        match role {
            Role::Whole => Ok(Self::of_our_own()),
            Role::Ingest | Role::Manager => {
                Err(RunError::Missing { key: "redis.url", why: "one half of a node meets the other there" })
            }
        }
    }

    fn of_our_own() -> Self {
        let local = LocalRegistry::start(LeaseTimes::default());
        Self { registry: local.clone(), nodes: Arc::new(LocalNodes::default()), local: Some(local) }
    }

    /// Whether it outlives us.
    pub(crate) fn life(&self) -> RegistryLife {
        if self.local.is_some() { RegistryLife::OurOwn } else { RegistryLife::Shared }
    }
}
