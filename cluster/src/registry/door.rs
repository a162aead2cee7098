//! The doorbell of a node, and its other end. A ring names a room whose lease wants looking at; what could not be kept, or may
//! have been missed, becomes one ring for everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

use crate::ids::RoomId;

/// Rings waiting per node. More than these are one ring for everything.
const RINGS_MAX: usize = 1_024;

/// What a doorbell says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ring {
    /// The lease of this room wants looking at: it has an order or a want, or has come free.
    Room(RoomId),
    /// Any lease may: rings may have been lost.
    All,
}

/// A new door and its bell.
pub fn door() -> (Door, Doorbell) {
    let (rings, rung) = mpsc::channel(RINGS_MAX);
    let missed = Arc::new(Missed::default());
    (Door { rings, missed: Arc::clone(&missed) }, Doorbell { rung, missed })
}

/// Where a registry rings.
#[derive(Clone, Debug)]
pub struct Door {
    rings: mpsc::Sender<RoomId>,
    missed: Arc<Missed>,
}

#[derive(Debug, Default)]
struct Missed {
    any: AtomicBool,
    news: Notify,
}

impl Door {
    /// Rings for one room.
    pub fn ring(&self, room: RoomId) {
        if let Err(TrySendError::Full(_)) = self.rings.try_send(room) {
            self.ring_for_all();
        }
    }

    /// Rings for everything.
    pub fn ring_for_all(&self) {
        self.missed.any.store(true, Ordering::Release);
        self.missed.news.notify_one();
    }
}

/// Where a node listens.
#[derive(Debug)]
pub struct Doorbell {
    rung: mpsc::Receiver<RoomId>,
    missed: Arc<Missed>,
}

impl Doorbell {
    /// The next ring; `None` once there will be none any more, because another bell was asked for. May be dropped at any time
    /// without losing one.
    pub async fn recv(&mut self) -> Option<Ring> {
        loop {
            if self.missed.any.swap(false, Ordering::AcqRel) {
                return Some(Ring::All);
            }
            tokio::select! {
                biased;
                room = self.rung.recv() => return room.map(Ring::Room),
                () = self.missed.news.notified() => {}
            }
        }
    }

    /// How many rings wait.
    pub fn len(&self) -> usize {
        self.rung.len() + usize::from(self.missed.any.load(Ordering::Acquire))
    }

    /// No ring waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A ring that waits.
    pub fn try_recv(&mut self) -> Option<Ring> {
        if self.missed.any.swap(false, Ordering::AcqRel) {
            return Some(Ring::All);
        }
        self.rung.try_recv().ok().map(Ring::Room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_kept_is_one_ring_for_everything() {
        let (door, mut bell) = door();
        let room = RoomId::parse("demo").unwrap();
        for _ in 0..RINGS_MAX + 5 {
            door.ring(room.clone());
        }
        assert_eq!(bell.recv().await, Some(Ring::All));
        for _ in 0..RINGS_MAX {
            assert_eq!(bell.recv().await, Some(Ring::Room(room.clone())));
        }
        assert_eq!(bell.try_recv(), None);
        door.ring_for_all();
        door.ring_for_all();
        assert_eq!(bell.recv().await, Some(Ring::All));
        drop(door);
        assert_eq!(bell.recv().await, None);
    }
}
