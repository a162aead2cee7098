//! Room: what one node knows of a producer's channel: its publisher, its last frames, its readers.
//!
//! Shared state, not an actor: media never passes through a mailbox. One lock per room, held for a push or for one
//! reader's batch; nothing awaits under it. A room exists on a node while somebody publishes to it or reads it.

mod frame;
mod headers;
mod reader;
mod ring;
mod source;
mod timeline;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use onair_cluster::{Epoch, RoomId};
use parking_lot::RwLock;
use tokio::sync::watch;

pub(crate) use frame::{Frame, FrameKind, HeaderKey};
pub(crate) use reader::{Collected, Reader, Wants};
pub(crate) use source::{Pushed, Source};

use headers::Headers;
use ring::Ring;
use timeline::Timeline;

/// The rooms of this node.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    map: Arc<DashMap<RoomId, Arc<Room>>>,
    bytes_max: usize,
}

impl Rooms {
    /// No rooms; each will keep at most `bytes_max` bytes of media.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { map: Arc::default(), bytes_max }
    }

    /// Starts publishing into a room as `epoch`. `None` when the room has seen a higher one: the fence.
    pub(crate) fn publish(&self, id: &RoomId, epoch: Epoch, now: Instant) -> Option<Source> {
        Source::begin(self.enter(id), epoch, now)
    }

    /// Starts reading a room, on air or not.
    pub(crate) fn read(&self, id: &RoomId, now: Instant) -> Reader {
        Reader::new(self.enter(id), now)
    }

    fn enter(&self, id: &RoomId) -> Ticket {
        let room = {
            let entry =
                self.map.entry(id.clone()).or_insert_with(|| Arc::new(Room::new(id.clone(), self.bytes_max)));
            // Under the entry's lock, and so atomic against the removal in `Ticket::drop`.
            entry.users.fetch_add(1, Ordering::AcqRel);
            entry.value().clone()
        };
        Ticket { room, rooms: self.map.clone() }
    }
}

#[derive(Debug)]
struct Room {
    id: RoomId,
    /// Publishers and readers; the room goes with the last.
    users: AtomicUsize,
    readers: AtomicU32,
    state: RwLock<State>,
    /// Changes whenever there is something new to read.
    bell: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    headers: Headers,
    timeline: Timeline,
    air: Air,
    /// The highest epoch seen. A lower one is refused, whoever brings it.
    highest: Epoch,
}

/// Whether a room is on air here.
#[derive(Clone, Copy, Debug)]
enum Air {
    /// Nobody has published yet.
    Silent,
    On {
        epoch: Epoch,
    },
    /// The last publisher left; `for_good` when it was meant.
    Off {
        last_media: Instant,
        left: Instant,
        for_good: bool,
    },
}

impl Room {
    fn new(id: RoomId, bytes_max: usize) -> Self {
        let state = State {
            ring: Ring::new(bytes_max),
            headers: Headers::default(),
            timeline: Timeline::default(),
            air: Air::Silent,
            highest: Epoch(0),
        };
        Self {
            id,
            users: AtomicUsize::new(0),
            readers: AtomicU32::new(0),
            state: RwLock::new(state),
            bell: watch::Sender::new(0),
        }
    }

    fn ring_bell(&self) {
        self.bell.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// A place in a room; the last one to leave takes the room away.
#[derive(Debug)]
struct Ticket {
    room: Arc<Room>,
    rooms: Arc<DashMap<RoomId, Arc<Room>>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.room.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.rooms.remove_if(&self.room.id, |_, room| room.users.load(Ordering::Acquire) == 0);
        }
    }
}

#[cfg(test)]
mod tests;
