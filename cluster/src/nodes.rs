//! Nodes: which processes of the cluster serve publishers and players, how they are reached, and how they fare.
//!
//! A node says who it is every second ([`Nodes::beat`]); the same call tells it that it shall drain, or that another process
//! has its name. A name is free again [`DEAD_AFTER`] after its last beat, or at once after [`Nodes::leave`].

mod local;
mod redis;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use local::LocalNodes;
pub use redis::RedisNodes;
pub(crate) use redis::SCRIPTS;

use crate::ids::NodeId;
use crate::registry::RegistryError;
use crate::time::UnixMs;

/// How often a node beats.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A node that has not beaten for so long is gone, and its name free.
pub const DEAD_AFTER: Duration = Duration::from_secs(5);

/// One run of a process: random at each start, so that a restarted node is told from the one before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Incarnation(pub u128);

impl Incarnation {
    /// A new one.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        incarnation.to_string()
    }
}

impl TryFrom<String> for Incarnation {
    type Error = String;

    fn try_from(hex: String) -> Result<Self, String> {
        u128::from_str_radix(&hex, 16).map(Self).map_err(|_| format!("no incarnation: {hex}"))
    }
}

/// What a node is, for as long as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCard {
    /// Its name.
    pub node_id: NodeId,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// The program's version.
    pub version: String,
    /// When it started.
    pub started_at: UnixMs,
    /// `host:port` where encoders and players reach it, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtmp: Option<String>,
    /// `host:port` where other nodes pull rooms from it, if they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
}

/// How a node fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLoad {
    /// Sockets of encoders and players.
    pub connections: u32,
    /// Sessions it holds.
    pub publishers: u32,
    /// Players of its rooms.
    pub players: u32,
    /// Rooms that it pulls from other nodes.
    pub pulls: u32,
}

/// Whether a node takes publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It serves.
    Ready,
    /// It gives its sessions back and ends.
    Draining,
    /// It has not beaten for [`DEAD_AFTER`]. Kept for an hour, so that people can see what is missing.
    Gone,
}

/// A node as the API sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// What it is.
    pub card: NodeCard,
    /// How it fared at its last beat.
    pub load: NodeLoad,
    /// Whether it takes publishers.
    pub state: NodeState,
    /// Its last beat.
    pub seen_at: UnixMs,
    /// Somebody asked it to drain.
    pub is_drain_asked: bool,
}

/// The answer to a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The name is this run's.
    Alive {
        /// This beat took the name: whatever a run before it held is to be freed.
        is_new: bool,
        /// It shall drain.
        is_drain_asked: bool,
    },
    /// Another run has the name and beat this long ago.
    Taken {
        /// How long ago.
        beat_ago: Duration,
    },
}

/// The registry of nodes.
#[async_trait]
pub trait Nodes: Send + Sync + 'static {
    /// Says that a node is there. Takes the name if it is free, or its last holder has not beaten for [`DEAD_AFTER`].
    async fn beat(&self, card: &NodeCard, load: &NodeLoad, is_draining: bool) -> Result<Beat, RegistryError>;
    /// Gives the name back, if it is this run's.
    async fn leave(&self, card: &NodeCard) -> Result<(), RegistryError>;
    /// All nodes, by name; the gone ones of the last hour too.
    async fn nodes(&self) -> Result<Vec<NodeView>, RegistryError>;
    /// Asks a node to drain. False when there is no such node, or it is gone.
    async fn ask_drain(&self, node: &NodeId) -> Result<bool, RegistryError>;
}
