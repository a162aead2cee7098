//! A shared registry that can lose the memory of shards, or not answer for some of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{
    Batch, BatchReply, Doorbell, Hold, KeyRecord, LeaseTimes, LeaseView, Order, Registry, RoomBell,
    ShardRings, ShardSnapshot, Tick,
};
use onair_cluster::{Event, LiveKeyId, NodeId, RegistryError, RoomId, Shard};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What is wrong with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has lost its memory.
    Empty,
    /// It does not answer.
    Away,
}

/// Beside faults, it is the registry behind it.
pub(crate) struct Forgetful {
    pub(crate) inner: Arc<LocalRegistry>,
    pub(crate) faults: Mutex<BTreeMap<Shard, Fault>>,
    /// Shards that were said to be complete again, and whether as new ones.
    pub(crate) recovered: Mutex<BTreeMap<Shard, bool>>,
    /// Keys that were put back.
    pub(crate) put: Mutex<Vec<LiveKeyId>>,
}

impl Forgetful {
    pub(crate) fn new(inner: Arc<LocalRegistry>, faults: impl IntoIterator<Item = (Shard, Fault)>) -> Self {
        let faults = Mutex::new(faults.into_iter().collect());
        Self { inner, faults, recovered: Mutex::default(), put: Mutex::default() }
    }

    fn ask(&self, shard: Shard) -> Result<(), RegistryError> {
        match self.faults.lock().get(&shard) {
            Some(Fault::Away) => Err(RegistryError::Unreachable),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Registry for Forgetful {
    fn times(&self) -> LeaseTimes {
        self.inner.times()
    }

    async fn commit(&self, batch: &Batch) -> BatchReply {
        self.inner.commit(batch).await
    }

    async fn tick(&self, shard: Shard, limit: usize) -> Result<Tick, RegistryError> {
        self.ask(shard)?;
        let tick = self.inner.tick(shard, limit).await?;
        Ok(Tick { is_loaded: !self.faults.lock().contains_key(&shard), ..tick })
    }

    async fn recovered(&self, shard: Shard, is_new: bool) -> Result<(), RegistryError> {
        self.ask(shard)?;
        self.faults.lock().remove(&shard);
        self.recovered.lock().insert(shard, is_new);
        Ok(())
    }

    async fn free_node(&self, shard: Shard, node: &NodeId) -> Result<Vec<RoomId>, RegistryError> {
        self.inner.free_node(shard, node).await
    }

    async fn order(&self, room: &RoomId, order: &Order) -> Result<Option<LeaseView>, RegistryError> {
        self.inner.order(room, order).await
    }

    async fn put_key(&self, record: &KeyRecord) -> Result<(), RegistryError> {
        self.ask(record.room_id.shard())?;
        self.put.lock().push(record.live_key_id.clone());
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
        self.ask(room.shard())?;
        self.inner.lease(room).await
    }

    async fn leases(
        &self,
        shard: Shard,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<LeaseView>, RegistryError> {
        self.ask(shard)?;
        self.inner.leases(shard, after, limit).await
    }

    async fn snapshot(&self, shard: Shard) -> Result<ShardSnapshot, RegistryError> {
        self.ask(shard)?;
        self.inner.snapshot(shard).await
    }

    async fn events(&self, shard: Shard, limit: usize) -> Result<Vec<Event>, RegistryError> {
        self.ask(shard)?;
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

    fn doorbell(&self, node: &NodeId) -> Doorbell {
        self.inner.doorbell(node)
    }

    fn room_bell(&self, room: &RoomId) -> RoomBell {
        self.inner.room_bell(room)
    }
}
