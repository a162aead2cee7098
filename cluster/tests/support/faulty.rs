//! A registry that fails on command: requests or replies lost, answers unconfirmed, slow, shards away, or a panic in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use onair_cluster::events::Event;
use onair_cluster::ids::{LiveKeyId, NodeId, RoomId, Shard};
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{
    Batch, BatchReply, Confirmed, Doorbell, Hold, KeyRecord, LeaseTimes, LeaseView, Order, Registry,
    RegistryError, RoomBell, ShardRings, ShardSnapshot, Tick, door,
};
use parking_lot::Mutex;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nothing arrives.
    LoseRequests,
    /// Nothing arrives, and that is known at once: there is no connection.
    Disconnected,
    /// It has no memory for anything new.
    Full,
    /// Everything arrives and takes effect; no answer comes back.
    LoseReplies,
    /// Answers say that too few replicas have them.
    Unconfirmed,
    /// Answers take this long.
    Slow(Duration),
    /// The call panics after it took effect.
    Panic,
}

pub(crate) struct Faulty {
    inner: Arc<LocalRegistry>,
    fault: Mutex<Fault>,
    is_deaf: AtomicBool,
    is_blind: AtomicBool,
    lookups: AtomicUsize,
    /// Shards that do not answer, while others do.
    away: Mutex<Vec<Shard>>,
    /// Claims, renewals and releases of every call.
    calls: Mutex<Vec<(usize, usize, usize)>>,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<LocalRegistry>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault: Mutex::new(Fault::None),
            is_deaf: AtomicBool::new(false),
            is_blind: AtomicBool::new(false),
            lookups: AtomicUsize::new(0),
            away: Mutex::default(),
            calls: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    pub(crate) fn set_away(&self, shards: &[Shard]) {
        *self.away.lock() = shards.to_vec();
    }

    /// From the next call of `doorbell` on, nobody hears a ring.
    pub(crate) fn deafen(&self) {
        self.is_deaf.store(true, Ordering::Relaxed);
    }

    /// From now on nobody learns who holds a room, or everybody does again.
    pub(crate) fn set_blind(&self, is_blind: bool) {
        self.is_blind.store(is_blind, Ordering::Relaxed);
    }

    /// How often somebody asked who holds a room.
    pub(crate) fn lookups(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }

    pub(crate) fn calls(&self) -> Vec<(usize, usize, usize)> {
        std::mem::take(&mut *self.calls.lock())
    }
}

/// Answers what is not away, and puts the answers where they belong.
fn spread<T>(
    is_away: impl Iterator<Item = bool>,
    answers: Vec<Result<T, RegistryError>>,
) -> Vec<Result<T, RegistryError>> {
    let mut answers = answers.into_iter();
    is_away.map(|away| if away { Err(RegistryError::Unreachable) } else { answers.next().unwrap() }).collect()
}

fn doubt<T>(answers: &mut [Result<Confirmed<T>, RegistryError>]) {
    for answer in answers.iter_mut().flatten() {
        answer.confirmed = false;
    }
}

#[async_trait]
impl Registry for Faulty {
    fn times(&self) -> LeaseTimes {
        self.inner.times()
    }

    async fn commit(&self, batch: &Batch) -> BatchReply {
        self.calls.lock().push((batch.claims.len(), batch.renewals.len(), batch.releases.len()));
        let fault = *self.fault.lock();
        if fault == Fault::LoseRequests {
            std::future::pending::<()>().await;
        }
        if fault == Fault::Disconnected {
            return BatchReply::default();
        }
        let away = self.away.lock().clone();
        let is_away = |room: &RoomId| away.contains(&room.shard());
        let mut asked = batch.clone();
        asked.claims.retain(|claim| fault != Fault::Full && !is_away(&claim.room_id));
        asked.renewals.retain(|renewal| !is_away(&renewal.card.room_id));
        asked.releases.retain(|release| !is_away(&release.card.room_id));
        let mut reply = self.inner.commit(&asked).await;
        reply.claims = if fault == Fault::Full {
            batch.claims.iter().map(|_| Err(RegistryError::Full)).collect()
        } else {
            spread(batch.claims.iter().map(|claim| is_away(&claim.room_id)), reply.claims)
        };
        reply.renewals =
            spread(batch.renewals.iter().map(|renewal| is_away(&renewal.card.room_id)), reply.renewals);
        reply.releases =
            spread(batch.releases.iter().map(|release| is_away(&release.card.room_id)), reply.releases);
        match fault {
            Fault::None | Fault::LoseRequests | Fault::Disconnected | Fault::Full => {}
            Fault::LoseReplies => std::future::pending().await,
            Fault::Slow(pause) => tokio::time::sleep(pause).await,
            Fault::Panic => {
                self.set(Fault::None);
                panic!("the call panics, as the test wants");
            }
            Fault::Unconfirmed => {
                doubt(&mut reply.claims);
                doubt(&mut reply.renewals);
                doubt(&mut reply.releases);
            }
        }
        reply
    }

    fn doorbell(&self, node: &NodeId) -> Doorbell {
        if self.is_deaf.load(Ordering::Relaxed) {
            let (door, doorbell) = door();
            std::mem::forget(door);
            return doorbell;
        }
        self.inner.doorbell(node)
    }

    async fn tick(&self, shard: Shard, limit: usize) -> Result<Tick, RegistryError> {
        self.inner.tick(shard, limit).await
    }
    async fn recovered(&self, shard: Shard, is_new: bool) -> Result<(), RegistryError> {
        self.inner.recovered(shard, is_new).await
    }
    async fn free_node(&self, shard: Shard, node: &NodeId) -> Result<Vec<RoomId>, RegistryError> {
        self.inner.free_node(shard, node).await
    }
    fn room_bell(&self, room: &RoomId) -> RoomBell {
        self.inner.room_bell(room)
    }
    async fn order(&self, room: &RoomId, order: &Order) -> Result<Option<LeaseView>, RegistryError> {
        self.inner.order(room, order).await
    }
    async fn put_key(&self, record: &KeyRecord) -> Result<(), RegistryError> {
        self.inner.put_key(record).await
    }
    async fn key(&self, id: &LiveKeyId) -> Result<Option<KeyRecord>, RegistryError> {
        self.inner.key(id).await
    }
    async fn revoke(&self, id: &LiveKeyId) -> Result<bool, RegistryError> {
        self.inner.revoke(id).await
    }
    async fn put_hold(&self, room: &RoomId, hold: &Hold) -> Result<(), RegistryError> {
        self.inner.put_hold(room, hold).await
    }
    async fn lift_hold(&self, room: &RoomId) -> Result<bool, RegistryError> {
        self.inner.lift_hold(room).await
    }
    async fn hold(&self, room: &RoomId) -> Result<Option<Hold>, RegistryError> {
        self.inner.hold(room).await
    }
    async fn lease(&self, room: &RoomId) -> Result<Option<LeaseView>, RegistryError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        if self.is_blind.load(Ordering::Relaxed) {
            return Err(RegistryError::Unreachable);
        }
        // Long enough for others to ask meanwhile.
        tokio::task::yield_now().await;
        self.inner.lease(room).await
    }
    async fn leases(
        &self,
        shard: Shard,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<LeaseView>, RegistryError> {
        self.inner.leases(shard, after, limit).await
    }
    async fn snapshot(&self, shard: Shard) -> Result<ShardSnapshot, RegistryError> {
        self.inner.snapshot(shard).await
    }
    async fn events(&self, shard: Shard, limit: usize) -> Result<Vec<Event>, RegistryError> {
        self.inner.events(shard, limit).await
    }
    async fn acknowledge(&self, shard: Shard, n: u64) -> Result<(), RegistryError> {
        self.inner.acknowledge(shard, n).await
    }
    fn event_bell(&self) -> watch::Receiver<ShardRings> {
        self.inner.event_bell()
    }
    fn stored_bell(&self) -> watch::Receiver<u64> {
        self.inner.stored_bell()
    }
}
