//! The registry within one process: one mutex per shard around a [`shard::ShardState`]. Lives and dies with its one node,
//! so it knows no replicas and no loss of memory: every answer is confirmed. Keys and holds are put back at start by whoever
//! stores them.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{
    Batch, BatchReply, Doorbell, Hold, KeyRecord, LeaseTimes, LeaseView, Order, Registry, RegistryError,
};
use crate::clock::{Clock, SystemClock};
use crate::events::Event;
use crate::ids::{LiveKeyId, NodeId, RoomId, Shard};

/// The in-process registry.
pub struct LocalRegistry {}

impl LocalRegistry {
    /// A registry with nothing in it. Nobody reaps by itself; see [`LocalRegistry::start`].
    pub fn new(times: LeaseTimes) -> Self {
        Self::with_clock(times, Arc::new(SystemClock))
    }

    /// The same on another clock, for tests.
    pub fn with_clock(times: LeaseTimes, clock: Arc<dyn Clock>) -> Self {
        unimplemented!()
    }

    /// A registry that reaps by itself: a task looks over all shards once a second, for as long as the registry is in use.
    /// Must be called within a tokio runtime.
    pub fn start(times: LeaseTimes) -> Arc<Self> {
        unimplemented!()
    }
}

#[async_trait]
impl Registry for LocalRegistry {
    fn times(&self) -> LeaseTimes {
        unimplemented!()
    }
    async fn commit(&self, batch: &Batch) -> BatchReply {
        unimplemented!()
    }
    async fn reap(&self, shard: Shard, limit: usize) -> Result<Vec<RoomId>, RegistryError> {
        unimplemented!()
    }
    async fn order(&self, room: &RoomId, order: &Order) -> Result<Option<LeaseView>, RegistryError> {
        unimplemented!()
    }
    async fn put_key(&self, record: &KeyRecord) -> Result<(), RegistryError> {
        unimplemented!()
    }
    async fn key(&self, id: &LiveKeyId) -> Result<Option<KeyRecord>, RegistryError> {
        unimplemented!()
    }
    async fn revoke(&self, id: &LiveKeyId) -> Result<bool, RegistryError> {
        unimplemented!()
    }
    async fn put_hold(&self, room: &RoomId, hold: &Hold) -> Result<(), RegistryError> {
        unimplemented!()
    }
    async fn lift_hold(&self, room: &RoomId) -> Result<bool, RegistryError> {
        unimplemented!()
    }
    async fn hold(&self, room: &RoomId) -> Result<Option<Hold>, RegistryError> {
        unimplemented!()
    }
    async fn lease(&self, room: &RoomId) -> Result<Option<LeaseView>, RegistryError> {
        unimplemented!()
    }
    async fn leases(
        &self,
        shard: Shard,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<LeaseView>, RegistryError> {
        unimplemented!()
    }
    async fn events(&self, shard: Shard, limit: usize) -> Result<Vec<Event>, RegistryError> {
        unimplemented!()
    }
    async fn acknowledge(&self, shard: Shard, n: u64) -> Result<(), RegistryError> {
        unimplemented!()
    }
    fn event_bell(&self) -> watch::Receiver<u64> {
        unimplemented!()
    }
    fn doorbell(&self, node: &NodeId) -> Doorbell {
        unimplemented!()
    }
}
