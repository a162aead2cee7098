//! What every part of the Manager shares. Lives outside the actor, so that nothing here is lost when the actor is rebuilt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use onair_cluster::live_key::{Issuer, LiveKeySigner};
use onair_cluster::nodes::{Incarnation, Nodes};
use onair_cluster::{Registry, RegistryError};
use tokio::sync::{OnceCell, watch};

use crate::debts::Debts;
use crate::ends::Asks;
use crate::feed::Feed;
use crate::gate::Gate;
use crate::live_db::{LiveDb, LiveDbError, ManagerId, ShardTerm};
use crate::parts::{AdminToken, ManagerParts, NodeStatus, RegistryLife};
use crate::reports::{LiveDbAway, LiveDbBack, RegistryAway, ShardsSeen};
use crate::restore::Restored;
use crate::{ManagerConfig, ManagerMetrics};

/// How long shards stay ours without a beat.
const LEASE: Duration = Duration::from_secs(6);

/// The shared wiring and state of one Manager.
pub(crate) struct Core {
    pub(crate) config: ManagerConfig,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) registry_life: RegistryLife,
    pub(crate) nodes: Arc<dyn Nodes>,
    pub(crate) live_db: Arc<dyn LiveDb>,
    pub(crate) signer: LiveKeySigner,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) admin_token: AdminToken,
    /// Who is let in at the HTTP face, and how often.
    pub(crate) gate: Gate,
    pub(crate) metrics: ManagerMetrics,
    pub(crate) prometheus: Arc<prometheus_client::registry::Registry>,
    pub(crate) node_status: Arc<dyn Fn() -> NodeStatus + Send + Sync>,
    /// Sessions told to end that have not ended.
    pub(crate) asks: Asks,
    /// Changes in force that are not recorded everywhere yet.
    pub(crate) debts: Debts,
    /// Shards that this process has looked through since its start.
    pub(crate) restored: Restored,
    /// Batches stored since the start; whoever waits for progress watches it.
    pub(crate) stored: watch::Sender<u64>,
    /// The shards that are this Manager's.
    terms: OnceCell<Vec<ShardTerm>>,
    /// The event feed and its clients.
    pub(crate) feed: Feed,
    live_db_up: AtomicBool,
    /// Shards that did not answer the last sweep over all of them.
    shards_away: AtomicUsize,
    stopping: AtomicBool,
    #[cfg(test)]
    pub(crate) seam: crate::tests::Seam,
}

impl Core {
    pub(crate) fn new(config: ManagerConfig, parts: ManagerParts, live_db: Arc<dyn LiveDb>) -> Self {
        let keys = parts.signer.verifier().with_issuers(parts.issuers.iter().cloned());
        let feed = Feed::new(&config);
        Self {
            gate: Gate::new(&config.limits, keys),
            config,
            registry: parts.registry,
            registry_life: parts.registry_life,
            nodes: parts.nodes,
            live_db,
            signer: parts.signer,
            issuers: parts.issuers,
            admin_token: parts.admin_token,
            metrics: parts.metrics,
            prometheus: parts.prometheus,
            node_status: parts.node_status,
            asks: Asks::default(),
            debts: Debts::default(),
            restored: Restored::default(),
            stored: watch::channel(0).0,
            terms: OnceCell::new(),
            feed,
            live_db_up: AtomicBool::new(true),
            shards_away: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            #[cfg(test)]
            seam: crate::tests::Seam::default(),
        }
    }

    /// The shards that are ours, by one beat at the first call.
    pub(crate) async fn terms(&self) -> Result<&[ShardTerm], LiveDbError> {
        let beat = async || {
            let me = ManagerId { node_id: self.config.node_id.clone(), incarnation: Incarnation::random() };
            Ok(self.live_db.beat(&me, LEASE).await?.shards)
        };
        self.terms.get_or_try_init(beat).await.map(Vec::as_slice)
    }

    /// Waits for a call of the Live DB, but not for ever, and notes whether it answers.
    pub(crate) async fn ask_db<T>(
        &self,
        call: impl Future<Output = Result<T, LiveDbError>>,
    ) -> Result<T, LiveDbError> {
        let patience = self.config.limits.live_db_timeout;
        let answer = tokio::time::timeout(patience, call).await;
        let answer = answer.unwrap_or_else(|_| Err(LiveDbError::Away(format!("no answer in {patience:?}"))));
        self.note_db(&answer);
        answer
    }

    /// Notes whether the Live DB answered; told when it changes, not at every call.
    pub(crate) fn note_db<T>(&self, answer: &Result<T, LiveDbError>) {
        match answer {
            Err(e @ LiveDbError::Away(_)) => {
                let was_up = self.live_db_up.swap(false, Ordering::Relaxed);
                LiveDbAway { error: e, is_news: was_up }.emit(&self.metrics);
            }
            _ if !self.live_db_up.swap(true, Ordering::Relaxed) => LiveDbBack.emit(&self.metrics),
            _ => {}
        }
    }

    /// Counts a call that the registry did not answer.
    pub(crate) fn note_registry<T>(&self, answer: Result<T, RegistryError>) -> Result<T, RegistryError> {
        if let Err(error) = &answer {
            RegistryAway { error }.emit(&self.metrics);
        }
        answer
    }

    /// Counts the shards that did not answer a sweep; told when it changes, not at every sweep.
    pub(crate) fn note_sweep<T>(&self, answers: &[Result<T, RegistryError>]) {
        let errors = || answers.iter().filter_map(|answer| answer.as_ref().err());
        let away = errors().count();
        let before = self.shards_away.swap(away, Ordering::Relaxed);
        ShardsSeen { away, before, error: errors().next() }.emit(&self.metrics);
    }

    pub(crate) fn are_shards_away(&self) -> bool {
        self.shards_away.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn is_live_db_up(&self) -> bool {
        self.live_db_up.load(Ordering::Relaxed)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// A wait before the `attempt`th retry: doubling from 50 ms to 2 s, each between half and all of it, so that many who
/// wait for the same thing do not come back together.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let full = 50_u64.saturating_mul(1 << attempt.min(6)).min(2_000);
    Duration::from_millis(rand::random_range(full / 2..=full))
}
