//! The Manager half: Live DB and API.

use std::sync::Arc;

use onair_cluster::NodeId;
use onair_cluster::live_key::Issuer;
use onair_manager::{ManagerConfig, ManagerHandle, ManagerMetrics, ManagerParts};
use prometheus_client::registry::Registry as Metrics;

use crate::config::{Config, Play};
use crate::data_dir::DataDir;
use crate::error::RunError;
use crate::life::Life;
use crate::secrets::Secrets;
use crate::truth::Truth;

/// A Manager half that does not run yet.
pub(crate) struct Prepared {
    secrets: Secrets,
    issuers: Vec<Issuer>,
    metrics: ManagerMetrics,
}

/// What a Manager is started in.
pub(crate) struct Place<'a> {
    pub(crate) config: &'a Config,
    pub(crate) dir: &'a DataDir,
    pub(crate) id: &'a NodeId,
    /// `host[:port]` in the addresses that producers get.
    pub(crate) media_domain: &'a str,
    pub(crate) truth: &'a Truth,
    pub(crate) life: Life,
    pub(crate) prometheus: Arc<Metrics>,
}

impl Prepared {
    /// Names its metrics.
    pub(crate) fn new(secrets: Secrets, issuers: Vec<Issuer>, metrics: &mut Metrics) -> Self {
        Self { secrets, issuers, metrics: ManagerMetrics::register(metrics) }
    }

    /// Starts it. When this returns, the registry knows what the Live DB remembers.
    pub(crate) async fn start(self, place: Place<'_>) -> Result<ManagerHandle, RunError> {
        let Self { secrets: Secrets { signer, admin_token }, issuers, metrics } = self;
        let Place { config, dir, id, media_domain, truth, life, prometheus } = place;
        let manager_parts = ManagerParts {
            registry: truth.registry.clone(),
            registry_life: truth.life(),
            nodes: truth.nodes.clone(),
            signer,
            issuers,
            admin_token,
            metrics,
            prometheus,
            node_status: Arc::new(move || life.status()),
        };
        let config = ManagerConfig {
            cluster_name: config.cluster.name.clone(),
            live_key_ttl: config.live_keys.lifetime.0,
            live_key_ttl_max: config.live_keys.lifetime_max.0,
            live_keys_per_room_max: config.live_keys.per_room_max,
            play_needs_token: config.rtmp.play == Play::Token,
            retention: config.retention.manager(),
            ..ManagerConfig::new(
                config.http.listen,
                dir.path().to_owned(),
                media_domain.to_owned(),
                id.clone(),
            )
        };
        let manager = onair_manager::start(config, manager_parts).await?;
        if let Some(local) = &truth.local {
            // The clock may have been set back since the last start; epochs rise all the same.
            for (room, epoch) in manager.newest_epochs().await? {
                local.raise_epochs(&room, epoch);
            }
        }
        Ok(manager)
    }
}
