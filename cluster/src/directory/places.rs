//! Places: where the nodes of the cluster can be reached by each other. One list for all rooms, two seconds old at most.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{FAILURE_STANDS, LOOKUP_TIMEOUT};
use crate::ids::NodeId;
use crate::nodes::Nodes;

/// How long the list stands.
const LIST_STANDS: Duration = Duration::from_secs(2);

pub(super) struct Places {
    nodes: Arc<dyn Nodes>,
    /// Locked while it is asked for: one asks for all.
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    relays: HashMap<NodeId, Option<String>>,
    until: Option<Instant>,
}

impl Places {
    pub(super) fn new(nodes: Arc<dyn Nodes>) -> Self {
        Self { nodes, list: Mutex::default() }
    }

    /// Where `node` lets others pull. A node that is gone keeps its address: it may only be cut off from the registry.
    pub(super) async fn relay_of(&self, node: &NodeId) -> Option<String> {
        let mut list = self.list.lock().await;
        if list.until.is_none_or(|until| until <= Instant::now()) {
            let asked = tokio::time::timeout(LOOKUP_TIMEOUT, self.nodes.nodes()).await;
            let stands = match asked {
                Ok(Ok(nodes)) => {
                    list.relays =
                        nodes.into_iter().map(|node| (node.card.node_id, node.card.relay)).collect();
                    LIST_STANDS
                }
                // The old list is better than none.
                Ok(Err(_)) | Err(_) => FAILURE_STANDS,
            };
            list.until = Some(Instant::now() + stands);
        }
        list.relays.get(node).cloned().flatten()
    }
}
