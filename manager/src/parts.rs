//! What the program hands to the Manager: the registry, the signer, and the little the Manager must know of its node.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use onair_cluster::live_key::{Issuer, LiveKeySigner};
use onair_cluster::nodes::Nodes;
use onair_cluster::{NodeId, Registry};

use crate::ManagerError;
use crate::metrics::ManagerMetrics;

/// The name that a Manager has among the nodes of a shared registry, so that there is one at a time. No node may have it.
pub const SEAT: &str = "onair.manager";

/// What names of Managers begin with where there may be several: one for each node, and two processes must not share one.
const NAMES: &str = "onair.manager.";

/// The name that the Manager of `node` has among the nodes of a shared registry, where there may be several Managers. `None`
/// if the node's own name is too long to be part of another.
pub fn manager_name(node: &NodeId) -> Option<NodeId> {
    NodeId::parse(&format!("{NAMES}{node}")).ok()
}

/// Whether it is a Manager that goes by this name. No node may.
pub fn is_managers_name(name: &NodeId) -> bool {
    name.as_str() == SEAT || name.as_str().starts_with(NAMES)
}

/// The wiring of one Manager.
pub struct ManagerParts {
    /// The one truth about who is on air where.
    pub registry: Arc<dyn Registry>,
    /// How long that truth lasts.
    pub registry_life: RegistryLife,
    /// The nodes of the cluster.
    pub nodes: Arc<dyn Nodes>,
    /// Makes live keys.
    pub signer: LiveKeySigner,
    /// Others who make live keys: theirs can be revoked here.
    pub issuers: Vec<Issuer>,
    /// What a request to `/v1` must bear.
    pub admin_token: AdminToken,
    /// Made with [`ManagerMetrics::register`], before the metrics registry below is closed.
    pub metrics: ManagerMetrics,
    /// What `/metrics` prints: the metrics of the whole process.
    pub prometheus: Arc<prometheus_client::registry::Registry>,
    /// Asked by `/readyz`. Must answer at once.
    pub node_status: Arc<dyn Fn() -> NodeStatus + Send + Sync>,
}

/// Whether the registry outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryLife {
    /// It lives and dies with this process. So at the start nobody is on air, whatever the Live DB says, and the registry
    /// knows neither keys nor holds.
    OurOwn,
    /// Nodes share it, and sessions go on while no Manager runs: what the Live DB has open may well be on air. It lacks keys
    /// and holds only after it has lost its memory, shard by shard.
    Shared,
}

/// What a node says of itself to `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Whether new publishers may be sent here. Never false for something that all nodes share: it would take every node
    /// out at once.
    pub ready: bool,
    /// A word for people: `serving`, `draining`, …
    pub state: String,
    /// What does not work now, by name; readiness does not depend on it.
    pub degraded: Vec<String>,
}

/// The admin token, of which only the SHA-256 hash stays in memory.
#[derive(Clone)]
pub struct AdminToken {
    hash: [u8; 32],
}

impl AdminToken {
    /// Shorter ones could be guessed.
    pub const CHARS_MIN: usize = 16;

    /// Keeps the hash of `token`.
    ///
    /// # Errors
    /// [`ManagerError::AdminToken`] if it has fewer than [`Self::CHARS_MIN`] characters.
    pub fn new(token: &str) -> Result<Self, ManagerError> {
        if token.chars().count() < Self::CHARS_MIN {
            return Err(ManagerError::AdminToken);
        }
        Ok(Self { hash: hash_of(token.as_bytes()) })
    }

    /// Whether `token` is the one. Takes the same time wherever the two differ.
    pub(crate) fn is(&self, token: &[u8]) -> bool {
        verify_slices_are_equal(&hash_of(token), &self.hash).is_ok()
    }
}

fn hash_of(token: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_the_token_and_nothing_prints_it() {
        let token = AdminToken::new("0123456789abcdef").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdeF", b"0123456789abcdef0"] {
            assert!(!token.is(wrong));
        }
        assert_eq!(format!("{token:?}"), "AdminToken(…)");
        assert!(AdminToken::new("short").is_err());
    }
}
