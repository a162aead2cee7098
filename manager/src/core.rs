//! What every part of the Manager shares. Lives outside the actor, so that nothing here is lost when the actor is rebuilt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use onair_cluster::live_key::{Issuer, LiveKeySigner};
use onair_cluster::nodes::{Incarnation, Nodes};
use onair_cluster::{Registry, RegistryError, UnixMs};
use tokio::sync::{Mutex, Semaphore, watch};

use crate::audit::Audit;
use crate::debts::Debts;
use crate::ends::Asks;
use crate::feed::Feed;
use crate::gate::Gate;
use crate::live_db::{LiveDb, LiveDbError, ManagerId};
use crate::outage::Outage;
use crate::parts::{AdminToken, ManagerParts, NodeStatus, RegistryLife};
use crate::reconciled::Tally;
use crate::reports::{LiveDbAway, LiveDbBack, RegistryAway, ShardsSeen};
use crate::restore::Restored;
use crate::shard::desk::Desks;
use crate::shard::ownership::Ownership;
use crate::ship::Shipping;
use crate::tokens::TokenCache;
use crate::under_way::UnderWay;
use crate::{ManagerConfig, ManagerMetrics};

/// How long a fall of the actor is shown.
const FELL_LATELY: Duration = Duration::from_secs(60);
/// Shards that are reconciled at once, of all that are owned: each asks the Live DB two or three times.
const RECONCILING_MAX: usize = 4;

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
    /// Requests that are being answered.
    pub(crate) under_way: UnderWay,
    /// API tokens that are good.
    pub(crate) tokens: TokenCache,
    /// What was done through the API and is not on record yet.
    pub(crate) audit: Audit,
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
    /// Who this Manager is to the Live DB.
    pub(crate) manager_id: ManagerId,
    /// The way to Kafka, if there is one.
    pub(crate) shipping: Option<Arc<Shipping>>,
    /// The shards that are this Manager's.
    pub(crate) ownership: Arc<Ownership>,
    /// The event feed and its clients.
    pub(crate) feed: Feed,
    /// Held during a beat; true once this Manager has left, after which it must not beat.
    pub(crate) has_left: Mutex<bool>,
    /// Where the lanes of shards are woken.
    pub(crate) desks: Desks,
    /// Places for those who reconcile.
    pub(crate) reconciling: Semaphore,
    /// What reconciling came to.
    pub(crate) reconciled: Tally,
    /// Whether the Live DB is known to be away.
    pub(crate) outage: Outage,
    /// What waits in the outbox, as of a few seconds ago.
    pub(crate) outbox: watch::Sender<OutboxFigures>,
    live_db_up: AtomicBool,
    /// Shards that did not answer the last sweep over all of them.
    shards_away: AtomicUsize,
    stopping: AtomicBool,
    /// When the actor last fell, in Unix milliseconds; 0 for never.
    fell_at: AtomicU64,
    #[cfg(test)]
    pub(crate) seam: crate::tests::Seam,
}

impl Core {
    pub(crate) fn new(config: ManagerConfig, parts: ManagerParts, live_db: Arc<dyn LiveDb>) -> Self {
        let keys = parts.signer.verifier().with_issuers(parts.issuers.iter().cloned());
        let feed = Feed::new(&config);
        let manager_id = ManagerId { node_id: config.node_id.clone(), incarnation: Incarnation::random() };
        Self {
            gate: Gate::new(&config.limits, keys),
            under_way: UnderWay::default(),
            tokens: TokenCache::default(),
            audit: Audit::default(),
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
            feed,
            shipping: None,
            manager_id,
            ownership: Arc::default(),
            has_left: Mutex::new(false),
            desks: Desks::default(),
            reconciling: Semaphore::new(RECONCILING_MAX),
            reconciled: Tally::default(),
            outage: Outage::default(),
            outbox: watch::Sender::default(),
            live_db_up: AtomicBool::new(true),
            shards_away: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            fell_at: AtomicU64::new(0),
            #[cfg(test)]
            seam: crate::tests::Seam::default(),
        }
    }

    /// Waits for a call of the Live DB, but not for ever, and not at all while it is known to be away; notes whether it answers.
    pub(crate) async fn ask_db<T>(
        &self,
        call: impl Future<Output = Result<T, LiveDbError>>,
    ) -> Result<T, LiveDbError> {
        let known = || Err(LiveDbError::Away("it is known to be away".to_owned()));
        if self.outage.is_known() {
            return known();
        }
        let patience = self.config.limits.live_db_timeout;
        let answer = tokio::select! {
            answer = tokio::time::timeout(patience, call) => answer,
            () = self.outage.begun() => return known(),
        };
        let answer = answer.unwrap_or_else(|_| Err(LiveDbError::Away(format!("no answer in {patience:?}"))));
        self.note_db(&answer);
        answer
    }

    /// Notes whether the Live DB answered. A call that was not answered is a doubt, to be settled at once.
    pub(crate) fn note_db<T>(&self, answer: &Result<T, LiveDbError>) {
        self.note_answer(answer);
        if matches!(answer, Err(LiveDbError::Away(_))) {
            self.outage.doubt();
        }
    }

    /// Notes whether the Live DB answered; told when it changes, not at every call.
    pub(crate) fn note_answer<T>(&self, answer: &Result<T, LiveDbError>) {
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

    /// The actor fell.
    pub(crate) fn note_fall(&self) {
        self.fell_at.store(UnixMs::now().0, Ordering::Relaxed);
    }

    /// Whether the actor fell a moment ago: one that falls again and again is no working Manager.
    pub(crate) fn fell_lately(&self) -> bool {
        let at = self.fell_at.load(Ordering::Relaxed);
        at > 0 && UnixMs::now().since(UnixMs(at)) < FELL_LATELY.as_millis() as u64
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// What waits in the outbox, of all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutboxFigures {
    /// Messages that have not been shipped.
    pub(crate) unshipped: u64,
    /// When the oldest of them was written.
    pub(crate) oldest: Option<UnixMs>,
}

/// A wait before the `attempt`th retry: doubling from 50 ms to 2 s, each between half and all of it, so that many who
/// wait for the same thing do not come back together.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let full = 50_u64.saturating_mul(1 << attempt.min(6)).min(2_000);
    Duration::from_millis(rand::random_range(full / 2..=full))
}
