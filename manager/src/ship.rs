//! Shipping: what the outbox holds goes to Kafka, at least once, in order per room, and never forgotten.
//!
//! One [`shipper`] per owned shard reads the outbox, hands over and marks; the order is kept by its [`window`] alone, whatever
//! becomes of a message ([ADR 0018](../../docs/adr/0018-shipping-in-order-without-transactions.md)). They share one producer
//! ([`kafka`]), and [`keeper`] watches whether the [`topic`] takes anything. What a consumer reads is a [`record`].

mod kafka;
mod keeper;
mod record;
pub mod settings;
mod shipper;
mod topic;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use onair_cluster::Shard;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::cloud_event;
use crate::core::Core;
use crate::live_db::LiveDb;
use crate::{ManagerConfig, ManagerError, ManagerMetrics};
use kafka::Kafka;
use settings::KafkaSettings;
use topic::Inspector;

/// A message that has been under way for so long tells that Kafka does not take any.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Between two looks whether all is shipped, at the end.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const SHARDS: usize = Shard::COUNT as usize;

/// Keeps a shipper for every shard that is owned, until it is dropped. A child of the Manager actor, as are all shippers through
/// it. Ends at once where there is no Kafka.
pub(crate) async fn run(core: Arc<Core>) {
    let Some(shipping) = core.shipping.clone() else { return };
    tokio::join!(keeper::run(&core, &shipping), keep_shippers(&core, &shipping));
}

async fn keep_shippers(core: &Arc<Core>, shipping: &Arc<Shipping>) {
    let mut ownership = core.ownership.subscribe();
    let mut shippers = FuturesUnordered::new();
    let mut working: BTreeSet<Shard> = BTreeSet::new();
    loop {
        ownership.borrow_and_update();
        // Where a shipper under an older term has yet to end, its end brings us back here.
        for tenure in core.ownership.tenures(|shard| !working.contains(&shard)) {
            let shard = tenure.owned().shard;
            working.insert(shard);
            let shipper = shipper::run(Arc::clone(core), Arc::clone(shipping), tenure);
            shippers.push(async move {
                shipper.await;
                shard
            });
        }
        tokio::select! {
            Some(ended) = shippers.next() => {
                working.remove(&ended);
            }
            changed = ownership.changed() => if changed.is_err() { return },
        }
    }
}

/// What all shippers of a Manager share. Lives outside the actor, so that its fall costs no connection.
pub(crate) struct Shipping {
    kafka: Kafka,
    inspector: Inspector,
    topic: String,
    /// `ce_source` of all events.
    source: String,
    /// Whether the topic was last seen to be fit. Nothing is handed over before it was.
    fit: watch::Sender<bool>,
    /// Whether the brokers answered the last time they were asked.
    is_up: AtomicBool,
    shards: [OfShard; SHARDS],
}

/// What is known from outside of one shard's shipper.
#[derive(Default)]
struct OfShard {
    bell: Notify,
    window: AtomicUsize,
    /// Since when something has been under way without any news.
    waiting_since: Mutex<Option<Instant>>,
}

impl Shipping {
    /// The way to Kafka, if there is one. Brokers need not be there.
    ///
    /// # Errors
    /// [`ManagerError::Kafka`] when the settings make no client.
    pub(crate) fn new(
        config: &ManagerConfig,
        settings: &KafkaSettings,
        metrics: &ManagerMetrics,
    ) -> Result<Self, ManagerError> {
        let client_id = format!("onair-{}", config.node_id);
        settings.check_files().map_err(ManagerError::Kafka)?;
        let no_client = |error: rdkafka::error::KafkaError| ManagerError::Kafka(error.to_string());
        Ok(Self {
            kafka: Kafka::new(settings, &client_id, metrics.clone()).map_err(no_client)?,
            inspector: Inspector::new(settings, &client_id).map_err(no_client)?,
            topic: settings.topic.clone(),
            source: cloud_event::source(&config.cluster_name),
            fit: watch::channel(false).0,
            is_up: AtomicBool::new(false),
            shards: std::array::from_fn(|_| OfShard::default()),
        })
    }

    /// Rung when messages of a shard were written, after their commit.
    pub(crate) fn ring(&self, shard: Shard) {
        self.of(shard).bell.notify_one();
    }

    /// Whether Kafka takes nothing at the moment, as far as is known.
    pub(crate) fn is_degraded(&self) -> bool {
        let is_stuck =
            |shard: &OfShard| shard.waiting_since.lock().is_some_and(|since| since.elapsed() > STUCK_AFTER);
        !self.is_up.load(Ordering::Relaxed) || self.shards.iter().any(is_stuck)
    }

    /// At the end, when nothing more is written: waits until all is shipped, for at most `patience`, and not for a Kafka that
    /// takes nothing. The rest stays in the outbox. `is_all_ours`: nobody else writes to it.
    pub(crate) async fn finish(&self, live_db: &dyn LiveDb, is_all_ours: bool, patience: Duration) {
        let deadline = Instant::now() + patience;
        while !self.is_degraded() && Instant::now() < deadline {
            let is_done = match is_all_ours {
                true => live_db.unshipped_count().await.is_ok_and(|left| left == 0),
                false => self.shards.iter().all(|shard| shard.window.load(Ordering::Relaxed) == 0),
            };
            if is_done {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn bell(&self, shard: Shard) -> &Notify {
        &self.of(shard).bell
    }

    fn fit(&self) -> watch::Receiver<bool> {
        self.fit.subscribe()
    }

    fn note_window(&self, shard: Shard, rows: usize) {
        self.of(shard).window.store(rows, Ordering::Relaxed);
    }

    /// Something has happened to a shard's messages, and others may still be under way.
    fn note_progress(&self, shard: Shard, is_waiting: bool) {
        let mut since = self.of(shard).waiting_since.lock();
        *since = if is_waiting { since.or_else(|| Some(Instant::now())) } else { None };
    }

    fn of(&self, shard: Shard) -> &OfShard {
        &self.shards[usize::from(shard.number()) % SHARDS]
    }
}
