//! The bells of the local registry: one doorbell per node, one bell for all readers of events, one for readers of what became of
//! them. Lossy: a bell only says "look".

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::shard::Rings;
use crate::ids::{NodeId, Shard};
use crate::registry::{Door, Doorbell, ShardRings, door};

pub(super) struct Bells {
    doors: Mutex<HashMap<NodeId, Door>>,
    news: watch::Sender<ShardRings>,
    /// The same for those who do not ask where.
    any: watch::Sender<u64>,
    stored: watch::Sender<u64>,
}

impl Bells {
    pub(super) fn new() -> Self {
        Self {
            doors: Mutex::new(HashMap::new()),
            news: watch::Sender::new(ShardRings::default()),
            any: watch::Sender::new(0),
            stored: watch::Sender::new(0),
        }
    }

    pub(super) fn ring(&self, rings: Rings) {
        if rings.is_empty() {
            return;
        }
        let doors = self.doors.lock();
        for (node, room) in rings {
            if let Some(door) = doors.get(&node) {
                door.ring(room);
            }
        }
    }

    pub(super) fn announce(&self, shard: Shard) {
        self.news.send_modify(|rings| rings.ring(shard));
        self.any.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn announce_stored(&self) {
        self.stored.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ShardRings> {
        self.news.subscribe()
    }

    pub(super) fn subscribe_any(&self) -> watch::Receiver<u64> {
        self.any.subscribe()
    }

    pub(super) fn subscribe_stored(&self) -> watch::Receiver<u64> {
        self.stored.subscribe()
    }

    pub(super) fn doorbell(&self, node: &NodeId) -> Doorbell {
        let (door, doorbell) = door();
        self.doors.lock().insert(node.clone(), door);
        doorbell
    }
}
