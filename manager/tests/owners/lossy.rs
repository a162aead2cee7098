//! A registry that loses events: what it should have told is acknowledged unread.

use std::sync::Arc;

use onair_cluster::registry::Registry;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::{Event, Shard};

/// Forgets what `is_lost` of all that is unread now, and all that came before it in its shard.
pub(crate) async fn lose(registry: &Arc<LocalRegistry>, is_lost: impl Fn(&Event) -> bool) {
    for shard in Shard::all() {
        let events = registry.events(shard, usize::MAX).await.unwrap();
        if let Some(last) = events.iter().rev().find(|event| is_lost(event)) {
            registry.acknowledge(shard, last.n).await.unwrap();
        }
    }
}
