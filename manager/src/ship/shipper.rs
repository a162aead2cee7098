//! Shipper: takes one shard's messages from the outbox to Kafka, for as long as this Manager owns the shard. A child of the
//! Manager actor: it may fall at any moment, and whoever ships the shard next goes on at the first message that is not marked.
//!
//! Nothing is handed over when ownership is not believed in, or the topic is not known to be fit; what is under way then is
//! marked only under a term that still holds.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use onair_cluster::{Shard, UnixMs};
use rdkafka::error::KafkaError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::Shipping;
use super::kafka::Fate;
use super::record::Record;
use super::window::Window;
use crate::core::{Core, backoff};
use crate::live_db::{LiveDbError, OutboxRow};
use crate::reports::ship::{MessageRefused, MessageShipped, ShipFailed};
use crate::shard::ownership::Tenure;

/// Messages of one shard between outbox and mark. What a fall repeats is at most this many.
const WINDOW: usize = 256;
/// Whoever applies rings; what was missed is found by looking.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// From a delivery to its mark. Each mark is a transaction of the Live DB, and may tell of many; the lanes need them more.
const MARK_AFTER: Duration = Duration::from_millis(250);
/// How long a shard that is given up waits for what is under way.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// Ships a shard until its term is over.
pub(super) async fn run(core: Arc<Core>, shipping: Arc<Shipping>, tenure: Tenure) {
    let mut shipper = Shipper {
        core,
        shipping,
        tenure,
        window: Window::default(),
        fates: FuturesUnordered::new(),
        refusals: Vec::new(),
        generation: 0,
        failures: 0,
        retry_at: None,
        mark_at: None,
        is_starved: false,
        may_be_more: true,
    };
    shipper.ship().await;
    shipper.settle_all().await;
}

struct Shipper {
    core: Arc<Core>,
    shipping: Arc<Shipping>,
    /// Asked before each hand-over whether it is in force.
    tenure: Tenure,
    window: Window,
    /// What is under way, and its fate.
    fates: FuturesUnordered<BoxFuture<'static, (OutboxRow, Fate)>>,
    /// Refused for good, and not yet on record as such.
    refusals: Vec<(OutboxRow, String)>,
    /// The producer that was handed something last.
    generation: u64,
    /// Failures since the last delivery.
    failures: u32,
    /// Nothing is handed over before.
    retry_at: Option<Instant>,
    mark_at: Option<Instant>,
    /// The producer had no place for a message that could go.
    is_starved: bool,
    /// The outbox may have messages that are not in the window.
    may_be_more: bool,
}

impl Shipper {
    fn shard(&self) -> Shard {
        self.tenure.owned().shard
    }

    async fn ship(&mut self) {
        let shipping = Arc::clone(&self.shipping);
        let bell = shipping.bell(self.shard());
        let mut fit = shipping.fit();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.tenure.is_over() {
            tokio::select! {
                () = self.tenure.over() => return,
                Some((row, fate)) = self.fates.next(), if !self.fates.is_empty() => self.learn(row, fate),
                () = bell.notified() => self.may_be_more = true,
                _ = look.tick() => self.may_be_more = true,
                () = until(self.mark_at) => if self.mark().await.is_err() { return },
                () = until(self.retry_at) => self.retry_at = None,
                () = shipping.kafka.place_free(), if self.is_starved => self.is_starved = false,
                _ = fit.changed() => {}
            }
            if *fit.borrow_and_update() {
                self.read().await;
                self.hand_over();
            }
            shipping.note_window(self.shard(), self.window.len());
            shipping.note_progress(self.shard(), !self.fates.is_empty());
        }
    }

    /// Fills the window, if there is something to fill it with, and room.
    async fn read(&mut self) {
        if !self.may_be_more || self.window.len() > WINDOW / 2 || !self.tenure.is_in_force() {
            return;
        }
        // Unanswered: noted as such, and the next look tries again.
        if let Ok(rows) = self.core.ask_db(self.core.live_db.unshipped(self.shard(), WINDOW)).await {
            self.may_be_more = rows.len() == WINDOW;
            self.window.offer(rows);
        } else {
            self.may_be_more = false;
        }
    }

    fn hand_over(&mut self) {
        if self.retry_at.is_some() || self.is_starved {
            return;
        }
        for row in self.window.take(WINDOW) {
            // Asked each time: the process may have been frozen since the last.
            let place = if self.tenure.is_in_force() { self.shipping.kafka.place() } else { None };
            let Some(place) = place else {
                self.is_starved = self.tenure.is_in_force();
                self.window.put_back(row.seq);
                continue;
            };
            let record = Record::new(&self.shipping.topic, &self.shipping.source, &row);
            let (generation, fate) = self.shipping.kafka.hand_over(&record, place);
            drop(record);
            self.generation = generation;
            self.fates.push(Box::pin(async move { (row, fate.await) }));
        }
    }

    fn learn(&mut self, row: OutboxRow, fate: Fate) {
        self.shipping.note_progress(self.shard(), false);
        match fate {
            Fate::Delivered => {
                self.failures = 0;
                self.window.settle(row.seq);
                self.mark_soon();
                MessageShipped { row: &row, now: UnixMs::now() }.emit(&self.core.metrics);
            }
            Fate::Again(error) => {
                self.window.put_back(row.seq);
                self.note_failure(&error);
            }
            Fate::Suspect(_) if !self.tenure.is_in_force() => self.window.put_back(row.seq),
            Fate::Suspect(_) => {
                let shipping = Arc::clone(&self.shipping);
                self.fates.push(Box::pin(async move {
                    let record = Record::new(&shipping.topic, &shipping.source, &row);
                    let fate = shipping.kafka.try_alone(&record).await;
                    drop(record);
                    (row, fate)
                }));
            }
            // It holds back its room, and the marks, until it is on record.
            Fate::Refused(error) => {
                self.refusals.push((row, error.to_string()));
                self.mark_soon();
            }
        }
    }

    fn note_failure(&mut self, error: &KafkaError) {
        ShipFailed { shard: self.shard(), error, is_news: self.failures == 0 }.emit(&self.core.metrics);
        // One producer's end is told by each of its messages; that is one failure.
        if self.retry_at.is_none() {
            self.retry_at = Some(Instant::now() + backoff(self.failures));
            self.failures += 1;
            self.shipping.kafka.mend();
            self.shipping.kafka.doubt();
        }
    }

    fn mark_soon(&mut self) {
        // At the end somebody waits for it.
        let after = if self.core.is_stopping() { Duration::ZERO } else { MARK_AFTER };
        self.mark_at.get_or_insert_with(|| Instant::now() + after);
    }

    /// Writes down how far we are. `Err`: another owns the shard by now.
    async fn mark(&mut self) -> Result<(), ()> {
        self.mark_at = None;
        match self.write_marks().await {
            Ok(()) => Ok(()),
            Err(LiveDbError::Fenced(_)) => {
                if let Some(changed) = self.core.ownership.fence(self.tenure.owned()) {
                    changed.emit(&self.core.metrics);
                }
                Err(())
            }
            Err(error) => {
                tracing::debug!(shard = %self.shard(), %error, "what was shipped is marked later");
                self.mark_at = Some(Instant::now() + backoff(self.failures.max(3)));
                Ok(())
            }
        }
    }

    async fn write_marks(&mut self) -> Result<(), LiveDbError> {
        let (db, owned) = (&*self.core.live_db, self.tenure.owned());
        while let Some((row, why)) = self.refusals.last() {
            self.core.ask_db(db.mark_refused(owned, row.seq, why, UnixMs::now())).await?;
            MessageRefused { row, why }.emit(&self.core.metrics);
            self.window.settle(row.seq);
            self.refusals.pop();
        }
        let settled = self.window.prefix();
        let Some(last) = settled.last() else { return Ok(()) };
        self.core.ask_db(db.mark_shipped(owned, &settled, UnixMs::now())).await?;
        self.window.forget(*last);
        Ok(())
    }

    /// At the end: what is under way gets a moment. What is not delivered then shall not be delivered by us later, after what the
    /// shard's next owner sends.
    async fn settle_all(mut self) {
        let deadline = Instant::now() + LEAVE_MAX;
        while let Ok(Some((row, fate))) = timeout_at(deadline, self.fates.next()).await {
            self.learn(row, fate);
        }
        // Fenced by the store, if the shard is another Manager's already.
        let _ = timeout_at(deadline + LEAVE_MAX, self.mark()).await;
        if !self.fates.is_empty() && !self.core.is_stopping() {
            self.shipping.kafka.forsake(self.generation);
        }
        self.shipping.note_window(self.shard(), 0);
        self.shipping.note_progress(self.shard(), false);
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
