//! What this process remembers of a shard: how far it was when that was confirmed, and which events it handed out.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::call::Position;
use super::decode::Told;
use crate::events::Event;

#[derive(Default)]
pub(super) struct ShardNotes(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    /// The highest position that was confirmed to us. A primary that knows less has forgotten something.
    known: Position,
    /// The life of the shard at its last tick.
    life: u64,
    /// Digests of the events of the last reading, by their numbers. After a failover a number may be given anew.
    digests: BTreeMap<u64, String>,
}

impl ShardNotes {
    pub(super) fn known(&self) -> Position {
        self.0.lock().known
    }

    pub(super) fn on_confirmed(&self, position: Position) {
        let mut notes = self.0.lock();
        notes.known = notes.known.max(position);
    }

    pub(super) fn on_ticked(&self, position: Position) {
        self.0.lock().life = position.life;
    }

    pub(super) fn life_at_tick(&self) -> u64 {
        self.0.lock().life
    }

    /// Remembers the digests of what is handed out.
    pub(super) fn on_told(&self, told: Vec<Told>) -> Vec<Event> {
        let mut digests = BTreeMap::new();
        let mut events = Vec::with_capacity(told.len());
        for told in told {
            digests.insert(told.event.n, told.digest);
            events.push(told.event);
        }
        self.0.lock().digests = digests;
        events
    }

    pub(super) fn digest(&self, n: u64) -> Option<String> {
        self.0.lock().digests.get(&n).cloned()
    }

    /// The events up to `n` are gone, or they were others.
    pub(super) fn on_acknowledged(&self, n: u64, is_read: bool) {
        let mut notes = self.0.lock();
        if is_read {
            notes.digests = notes.digests.split_off(&n.saturating_add(1));
        } else {
            notes.digests.clear();
        }
    }
}
