//! The registry of nodes within one process: of the one node there is.

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Beat, DEAD_AFTER, NodeCard, NodeLoad, NodeState, NodeView, Nodes};
use crate::ids::NodeId;
use crate::registry::RegistryError;
use crate::time::UnixMs;

/// Nodes kept in memory.
#[derive(Debug, Default)]
pub struct LocalNodes(Mutex<Vec<NodeView>>);

#[async_trait]
impl Nodes for LocalNodes {
    async fn beat(&self, card: &NodeCard, load: &NodeLoad, is_draining: bool) -> Result<Beat, RegistryError> {
        let now = UnixMs::now();
        let state = if is_draining { NodeState::Draining } else { NodeState::Ready };
        let mut nodes = self.0.lock();
        let known = nodes.iter().position(|node| node.card.node_id == card.node_id);
        let before = known.map(|at| nodes.remove(at));
        let is_new = before.as_ref().is_none_or(|node| node.card.incarnation != card.incarnation);
        let is_drain_asked = !is_new && before.as_ref().is_some_and(|node| node.is_drain_asked);
        nodes.push(NodeView { card: card.clone(), load: load.clone(), state, seen_at: now, is_drain_asked });
        nodes.sort_by(|a, b| a.card.node_id.cmp(&b.card.node_id));
        Ok(Beat::Alive { is_new, is_drain_asked })
    }

    async fn leave(&self, card: &NodeCard) -> Result<(), RegistryError> {
        self.0.lock().retain(|node| node.card.incarnation != card.incarnation);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeView>, RegistryError> {
        let now = UnixMs::now();
        let mut nodes = self.0.lock().clone();
        for node in nodes.iter_mut().filter(|node| node.seen_at.plus(DEAD_AFTER) <= now) {
            node.state = NodeState::Gone;
        }
        Ok(nodes)
    }

    async fn ask_drain(&self, node: &NodeId) -> Result<bool, RegistryError> {
        let mut nodes = self.0.lock();
        let known = nodes.iter_mut().find(|known| known.card.node_id == *node);
        Ok(known.map(|node| node.is_drain_asked = true).is_some())
    }
}
