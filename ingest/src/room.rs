//! Room: what one node knows of a producer's channel: its publisher, its last frames, its readers.
//!
//! Shared state, not an actor: media never passes through a mailbox. One lock per room, held for a push or for one
//! reader's batch; nothing awaits under it. A room exists on a node while somebody publishes to it or reads it.

mod fence;
mod frame;
mod headers;
mod reader;
mod ring;
mod source;
mod timeline;
mod together;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use onair_cluster::{Epoch, RoomId};
use parking_lot::{Mutex, RwLock};

use crate::reactor::bell::Bell;

pub(crate) use frame::{Frame, FrameKind, HeaderKey};
pub(crate) use reader::{Collected, Reader, Wants};
pub(crate) use source::{Pushed, Source};

use fence::Fence;
use headers::Headers;
use ring::Ring;
use timeline::Timeline;
use together::Together;

/// The rooms of this node.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    map: Arc<DashMap<RoomId, Arc<Room>>>,
    fence: Arc<Fence>,
    bytes_max: usize,
    gather: Duration,
}

/// Where a room's media comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a publisher of this node, which holds the room's lease.
    Here,
    /// From the node that holds it.
    Elsewhere,
}

/// Who watches a room here, and whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audience {
    /// Players. Other nodes that pull the room are none.
    pub(crate) players: u32,
    /// A publisher of this node is on air.
    pub(crate) is_published_here: bool,
    /// The highest epoch seen.
    pub(crate) highest: Epoch,
}

impl Rooms {
    /// No rooms; each will keep at most `bytes_max` bytes of media, and tell its readers of news once in `gather`.
    pub(crate) fn new(bytes_max: usize, gather: Duration) -> Self {
        Self { map: Arc::default(), fence: Arc::default(), bytes_max, gather }
    }

    /// Starts publishing into a room as `epoch`. `None` when the room has seen a higher one: the fence.
    pub(crate) fn publish(&self, id: &RoomId, epoch: Epoch, now: Instant) -> Option<Source> {
        Source::begin(self.enter(id), epoch, Origin::Here, now)
    }

    /// Starts passing on what another node publishes as `epoch`. `None` also while a publisher of this node has the room.
    pub(crate) fn relay(&self, id: &RoomId, epoch: Epoch, now: Instant) -> Option<Source> {
        Source::begin(self.enter(id), epoch, Origin::Elsewhere, now)
    }

    /// Starts reading a room, on air or not.
    pub(crate) fn read(&self, id: &RoomId, now: Instant) -> Reader {
        Reader::new(self.enter(id), now)
    }

    /// Starts reading one epoch of a room, which a publisher of this node has on air now; else `None`. Another epoch is
    /// never read, whatever comes.
    pub(crate) fn read_epoch(&self, id: &RoomId, epoch: Epoch, now: Instant) -> Option<Reader> {
        let known = self.map.get(id).is_some_and(|room| room.is_published_here_as(epoch));
        if !known {
            return None;
        }
        let ticket = self.enter(id);
        // It may have ended meanwhile, and the room with it.
        let is_on = ticket.room.is_published_here_as(epoch);
        is_on.then(|| Reader::of_epoch(ticket, epoch, now))
    }

    /// Who watches the room.
    pub(crate) fn audience(&self, id: &RoomId) -> Audience {
        let nobody = || Audience { players: 0, is_published_here: false, highest: self.fence.highest(id) };
        self.map.get(id).map_or_else(nobody, |room| room.audience())
    }

    /// The rooms that have players.
    pub(crate) fn watched(&self) -> Vec<RoomId> {
        self.map.iter().filter(|room| room.players() > 0).map(|room| room.id.clone()).collect()
    }

    /// Somebody has seen `epoch` of the room: from now on nothing older passes here.
    pub(crate) fn raise(&self, id: &RoomId, epoch: Epoch) {
        let ticket = self.enter(id);
        let mut state = ticket.room.state.write();
        state.highest = state.highest.max(epoch);
    }

    fn enter(&self, id: &RoomId) -> Ticket {
        let room = {
            let entry = self
                .map
                .entry(id.clone())
                .or_insert_with(|| Arc::new(Room::new(id.clone(), self, self.fence.highest(id))));
            // Under the entry's lock, and so atomic against the removal in `Ticket::drop`.
            entry.users.fetch_add(1, Ordering::AcqRel);
            entry.value().clone()
        };
        Ticket { room, rooms: self.map.clone(), fence: self.fence.clone() }
    }
}

#[derive(Debug)]
struct Room {
    id: RoomId,
    /// Publishers and readers; the room goes with the last.
    users: AtomicUsize,
    readers: AtomicU32,
    /// Those of the readers that are other nodes.
    relays: AtomicU32,
    state: RwLock<State>,
    /// What readers share; locked under `state`.
    together: Mutex<Together>,
    /// How long what is published here may wait for more, before readers are told.
    gather: Duration,
    /// Rings when there is something new to read.
    bell: Bell,
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
        origin: Origin,
    },
    /// The last publisher left; `for_good` when it was meant.
    Off {
        last_media: Instant,
        left: Instant,
        for_good: bool,
    },
}

impl Room {
    fn new(id: RoomId, rooms: &Rooms, highest: Epoch) -> Self {
        let state = State {
            ring: Ring::new(rooms.bytes_max),
            headers: Headers::default(),
            timeline: Timeline::default(),
            air: Air::Silent,
            highest,
        };
        Self {
            id,
            users: AtomicUsize::new(0),
            readers: AtomicU32::new(0),
            relays: AtomicU32::new(0),
            state: RwLock::new(state),
            together: Mutex::default(),
            gather: rooms.gather,
            bell: Bell::default(),
        }
    }

    fn players(&self) -> u32 {
        self.readers.load(Ordering::Relaxed).saturating_sub(self.relays.load(Ordering::Relaxed))
    }

    fn audience(&self) -> Audience {
        let state = self.state.read();
        let is_published_here = matches!(state.air, Air::On { origin: Origin::Here, .. });
        Audience { players: self.players(), is_published_here, highest: state.highest }
    }

    fn is_published_here_as(&self, epoch: Epoch) -> bool {
        let state = self.state.read();
        let is_on = matches!(state.air, Air::On { epoch: on, origin: Origin::Here } if on == epoch);
        is_on && state.highest == epoch
    }
}

/// A place in a room; the last one to leave takes the room away.
#[derive(Debug)]
struct Ticket {
    room: Arc<Room>,
    rooms: Arc<DashMap<RoomId, Arc<Room>>>,
    fence: Arc<Fence>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.room.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.rooms.remove_if(&self.room.id, |id, room| {
                let was_last = room.users.load(Ordering::Acquire) == 0;
                if was_last {
                    // Under the entry's lock: whoever enters next finds it.
                    self.fence.note(id, room.state.read().highest, Instant::now());
                }
                was_last
            });
        }
    }
}

#[cfg(test)]
mod tests;
