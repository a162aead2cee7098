//! The Manager half: Live DB and API.

use std::sync::Arc;

use onair_cluster::NodeId;
use onair_cluster::live_key::Issuer;
use onair_cluster::nodes::{NodeState, NodeView, Nodes};
use onair_manager::config::Retention;
use onair_manager::live_db::{LiveDb, LiveDbError, PostgresLiveDb, SqliteLiveDb};
use onair_manager::{ManagerConfig, ManagerHandle, ManagerMetrics, ManagerParts, SEAT, is_managers_name};
use prometheus_client::registry::Registry as Metrics;

use crate::config::{Config, Play};
use crate::data_dir::DataDir;
use crate::error::RunError;
use crate::life::Life;
use crate::membership::JoinError;
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
        let live_db = open_live_db(config, dir).await?;
        let kafka = config.kafka.settings()?;
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
            limits: config.http.limits(),
            // What Kafka has not taken is kept, however old.
            retention: Retention { outbox_is_shipped: kafka.is_some(), ..config.retention.manager() },
            kafka,
            ..ManagerConfig::new(
                config.http.listen,
                dir.path().to_owned(),
                media_domain.to_owned(),
                id.clone(),
            )
        };
        let manager = onair_manager::start_on(config, manager_parts, live_db).await?;
        if let Some(local) = &truth.local {
            // The clock may have been set back since the last start; epochs rise all the same.
            for (room, epoch) in manager.newest_epochs().await? {
                local.raise_epochs(&room, epoch);
            }
        }
        Ok(manager)
    }
}

/// PostgreSQL where one is configured, else the file in the data directory. Its connections live on the runtime that this is called
/// on, the program's own.
async fn open_live_db(config: &Config, dir: &DataDir) -> Result<Arc<dyn LiveDb>, RunError> {
    let opened: Result<Arc<dyn LiveDb>, LiveDbError> = match config.postgres.options(&config.cluster.name)? {
        Some(options) => PostgresLiveDb::open(&options).await.map(|db| Arc::new(db) as _),
        None => SqliteLiveDb::open(dir.path()).await.map(|db| Arc::new(db) as _),
    };
    opened.map_err(|e| RunError::Manager(e.into()))
}

/// Managers of one cluster must agree on more than they can find out from each other.
pub(crate) fn warn_of_what_managers_do_not_share(config: &Config, media_domain: &str) {
    if config.node.media_domain.is_none() {
        tracing::warn!(
            domain = media_domain,
            "node.media_domain is not set: producers on other machines get addresses of no use"
        );
    }
    if config.postgres.url.is_none() {
        return;
    }
    for (key, is_set, what) in [
        (
            "live_keys.signing_key_file",
            config.live_keys.signing_key_file.is_some(),
            "signs live keys with a key",
        ),
        ("http.admin_token_file", config.http.admin_token_file.is_some(), "accepts an admin token"),
    ] {
        if !is_set {
            tracing::warn!("{key} is not set: this Manager {what} of its own, which no other Manager knows");
        }
    }
}

/// A Manager with a SQLite file stores all events alone; one with PostgreSQL shares them with its like. Both kinds at once would
/// each store a part.
pub(crate) async fn refuse_other_kind(config: &Config, nodes: &dyn Nodes) -> Result<(), RunError> {
    let all = nodes.nodes().await.map_err(JoinError::Away)?;
    let mut managers = all.iter().filter(|node| node.state != NodeState::Gone);
    let is_seat = |node: &NodeView| node.card.node_id.as_str() == SEAT;
    let other = match config.postgres.url {
        Some(_) => managers.find(|node| is_seat(node)),
        None => managers.find(|node| is_managers_name(&node.card.node_id) && !is_seat(node)),
    };
    match other {
        Some(_) => Err(RunError::MixedManagers),
        None => Ok(()),
    }
}
