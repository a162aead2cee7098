//! Which Manager owns which shard. Ownership is fenced by a term: whoever writes what a shard's events tell names the term
//! under which it owns the shard, and the store writes nothing under a term that is over.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use onair_cluster::nodes::Incarnation;
use onair_cluster::{NodeId, Shard};

use super::LiveDbError;

/// The fencing number of a shard's ownership. Rises with every change of owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

/// A shard, and the term under which somebody owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardTerm {
    /// The shard.
    pub shard: Shard,
    /// The term.
    pub term: Term,
}

/// Which run of which Manager.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ManagerId {
    /// The node it runs in. No two living nodes of a cluster have one name; who sees to that is the registry.
    pub node_id: NodeId,
    /// Which run of it: a Manager that is started again takes over at once from the run before.
    pub incarnation: Incarnation,
}

/// What a Manager owns after a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Its shards, in order.
    pub shards: Vec<ShardTerm>,
    /// Living Managers, this one included.
    pub managers: usize,
}

impl Holdings {
    /// How many shards each of `managers` may have, so that all are owned and none owns more than it must.
    pub fn share(managers: usize) -> usize {
        usize::from(Shard::COUNT).div_ceil(managers.max(1))
    }
}

/// The division of the shards among living Managers.
#[async_trait]
pub trait Owners: Send + Sync + 'static {
    /// A heartbeat: `me` lives for `lease` more, by the store's clock, and owns for so long what it owns. Takes shards that
    /// are free, or whose owner has not beaten for its lease, up to its [share](Holdings::share); each under a new term.
    /// Never takes anything from who calls: a Manager with more than its share stops their lanes, then
    /// [gives them up](Self::give_up).
    async fn beat(&self, me: &ManagerId, lease: Duration) -> Result<Holdings, LiveDbError>;
    /// Frees those of `shards` that are still owned under these terms, at once. When `leaving`, `me` no longer counts as
    /// living, and everything it owns is free.
    async fn give_up(&self, me: &ManagerId, shards: &[ShardTerm], leaving: bool) -> Result<(), LiveDbError>;
}
