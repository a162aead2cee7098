//! The registry: the one truth about who is on air where. The trait, and the words its callers and its implementations share.
//!
//! Ownership and its event are one step: whatever grants, flips or ends a lease appends the event in the same atomic act.
//! Implementations: [`local`] (in this process, lives and dies with its one node) and [`redis`] (shared by many nodes, as
//! scripts). The first is the specification of the second; one set of random histories holds them equal.

mod door;
pub mod local;
pub mod redis;
mod words;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::watch;

pub use door::{Door, Doorbell, Ring, door};
pub use words::*;

use crate::events::Event;
use crate::ids::{LiveKeyId, NodeId, RoomId, Shard};
use crate::time::UnixMs;

/// Why the registry gave no answer. The call may have taken effect all the same: every call is idempotent by session id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No answer in time, or no connection.
    #[error("the registry does not answer")]
    Unreachable,
    /// It answered that it has no memory left for anything new. Renewals and ends are taken all the same.
    #[error("the registry is out of memory")]
    Full,
    /// It answered, but not what we understand.
    #[error("the registry answered nonsense: {0}")]
    Broken(String),
}

/// What a look at one shard found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Rooms whose leases were past deadline and grace, and are ended.
    pub reaped: Vec<RoomId>,
    /// The number of the newest event.
    pub n: u64,
    /// The shard has its keys and holds. False after its memory was lost, until [`Registry::recovered`] is called.
    pub is_loaded: bool,
    /// Before this time no lease of the shard counts as dead, since the registry itself was away.
    pub floor: Option<UnixMs>,
}

/// Changes whenever a lease of the room it was made for is granted, goes live or ends. Lossy. Dropping it ends the subscription.
pub struct RoomBell {
    /// What to wait on.
    pub rung: watch::Receiver<u64>,
    /// Ends the subscription when dropped.
    pub guard: Box<dyn std::any::Any + Send + Sync>,
}

/// The one truth about who is on air where.
///
/// Promises, for every implementation: a lease is granted only if it is free, dead or the asker's own; epochs of a room
/// rise; `ended` is final; events of a shard are numbered without gaps; the same session asking again gets the same answer
/// and makes no new event.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// The times all nodes of the cluster go by.
    fn times(&self) -> LeaseTimes;

    /// Claims, renews and releases, in that order of writing: releases first, then renewals, then claims, so that a room
    /// given back and wanted in the same batch changes hands at once.
    ///
    /// Answers within [`LeaseTimes::call_timeout`], if only to say [`RegistryError::Unreachable`] of items whose shard did not
    /// answer by then: a caller that has to give up the whole call knows nothing of the other shards either.
    async fn commit(&self, batch: &Batch) -> BatchReply;

    /// Looks after a shard; to be called about once a second by whoever reads its events. Ends the leases that are past
    /// deadline and grace, at most `limit` of them, and says what the shard is missing.
    async fn tick(&self, shard: Shard, limit: usize) -> Result<Tick, RegistryError>;
    /// All holds and keys of the shard have been put back, the holds first, since a key opens its room. With `is_new` the shard has never had a session, so there is
    /// nobody to wait for; otherwise rooms without a lease stay closed until the floor.
    async fn recovered(&self, shard: Shard, is_new: bool) -> Result<(), RegistryError>;
    /// Ends, as lost, the leases of `shard` that `node` holds: it has just started, and what it held before is gone.
    async fn free_node(&self, shard: Shard, node: &NodeId) -> Result<Vec<RoomId>, RegistryError>;

    /// Tells the session that holds `room` to end, and rings its node. `None` when nobody holds it.
    async fn order(&self, room: &RoomId, order: &Order) -> Result<Option<LeaseView>, RegistryError>;

    /// Writes a key's record (never un-revokes one).
    async fn put_key(&self, record: &KeyRecord) -> Result<(), RegistryError>;
    /// The key's record.
    async fn key(&self, id: &LiveKeyId) -> Result<Option<KeyRecord>, RegistryError>;
    /// Revokes the key and, in the same step, orders its live session to end. False when there is no such key.
    async fn revoke(&self, id: &LiveKeyId) -> Result<bool, RegistryError>;

    /// Refuses all publishers of `room` until the hold ends. Does not end a live session.
    async fn put_hold(&self, room: &RoomId, hold: &Hold) -> Result<(), RegistryError>;
    /// Lifts the hold. False when there was none.
    async fn lift_hold(&self, room: &RoomId) -> Result<bool, RegistryError>;
    /// The hold in force now.
    async fn hold(&self, room: &RoomId) -> Result<Option<Hold>, RegistryError>;

    /// Who holds the room now.
    async fn lease(&self, room: &RoomId) -> Result<Option<LeaseView>, RegistryError>;
    /// The leases of a shard with rooms after `after`, by room, at most `limit`.
    async fn leases(
        &self,
        shard: Shard,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<LeaseView>, RegistryError>;

    /// All leases of a shard, and how many events tell of them.
    async fn snapshot(&self, shard: Shard) -> Result<ShardSnapshot, RegistryError>;

    /// The oldest unacknowledged events of a shard, in order, at most `limit`.
    async fn events(&self, shard: Shard, limit: usize) -> Result<Vec<Event>, RegistryError>;
    /// The reader has stored everything up to and including `n`: it may be forgotten.
    async fn acknowledge(&self, shard: Shard, n: u64) -> Result<(), RegistryError>;
    /// Changes whenever a shard has new events, and says which. For readers that would rather sleep than poll; lossy: the next
    /// [`tick`](Self::tick) tells how far the shard is.
    fn event_bell(&self) -> watch::Receiver<ShardRings>;
    /// Changes whenever events of some shard were acknowledged, by whichever process: what they were stored as can be read.
    /// Lossy, as all bells: look now and then anyway.
    fn stored_bell(&self) -> watch::Receiver<u64>;

    /// The doorbell of a node: rung when one of its leases has an order or a want, or when a lease that it wants comes
    /// free; and for everything, when rings may have been lost. Whatever is not heard all the same, the next renewal finds.
    /// One bell per node; a second call replaces the first.
    fn doorbell(&self, node: &NodeId) -> Doorbell;

    /// The bell of one room, for nodes that show it without holding it.
    fn room_bell(&self, room: &RoomId) -> RoomBell;
}
