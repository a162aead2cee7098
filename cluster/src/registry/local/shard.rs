//! One shard of the registry as a pure state machine: every transition takes `now` and returns its answer. No clock, no
//! lock, no I/O: the same sequence of calls always gives the same answers and events, here and in any other implementation.
//!
//! What always holds: a room has at most one lease; every epoch granted is above all that were granted or adopted
//! before; whatever changes a lease appends its event in the same call; event numbers have no gaps.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use super::memory::Memory;
use super::tombstone::Tombstone;
use crate::events::{EndReason, Event, EventKind, Facts, SessionCard};
use crate::ids::{Epoch, LiveKeyId, NodeId, RoomId, Shard};
use crate::registry::{Hold, KeyRecord, LeaseTimes, LeaseView, Order, ShardSnapshot, Want};
use crate::time::UnixMs;

/// Bells to ring once the shard's lock is gone: whose, and about which room.
pub type Rings = Vec<(NodeId, RoomId)>;

/// Everything the registry knows of one shard.
#[derive(Clone, Debug)]
pub struct ShardState {
    pub(super) number: Shard,
    pub(super) times: LeaseTimes,
    /// More unread events than this, and nobody is granted anything new.
    pub(super) unread_max: usize,
    pub(super) epoch_high: Epoch,
    pub(super) leases: BTreeMap<RoomId, LeaseState>,
    /// The leases by deadline, for [`Self::reap`].
    pub(super) deadlines: BTreeSet<(UnixMs, RoomId)>,
    pub(super) tombs: HashMap<RoomId, Tombstone>,
    pub(super) keys: HashMap<LiveKeyId, KeyRecord>,
    pub(super) holds: HashMap<RoomId, Hold>,
    /// The number of the newest event, read or not; 0 before the first.
    pub(super) last_n: u64,
    pub(super) unread: VecDeque<Event>,
    pub(super) rings: Rings,
    pub(super) swept_at: UnixMs,
    /// Only in a shared registry.
    pub(super) memory: Option<Memory>,
}

/// A lease as its shard keeps it. `live` is told by `facts.live_at`.
#[derive(Clone, Debug)]
pub(super) struct LeaseState {
    pub(super) card: SessionCard,
    pub(super) max_duration: Option<Duration>,
    /// In bits per second.
    pub(super) max_bitrate: Option<u64>,
    pub(super) facts: Facts,
    /// Deadline without grace.
    pub(super) until: UnixMs,
    pub(super) order: Option<Order>,
    pub(super) want: Option<Want>,
}

/// How often [`ShardState::reap`] also looks for records that may be forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

impl ShardState {
    /// An empty shard that grants nothing new while more than `unread_max` events are unread.
    pub fn new(number: Shard, times: LeaseTimes, unread_max: usize) -> Self {
        Self {
            number,
            times,
            unread_max,
            epoch_high: Epoch(0),
            leases: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            tombs: HashMap::new(),
            keys: HashMap::new(),
            holds: HashMap::new(),
            last_n: 0,
            unread: VecDeque::new(),
            rings: Rings::new(),
            swept_at: UnixMs(0),
            memory: None,
        }
    }

    /// The bells to ring for what happened since the last call.
    pub fn take_rings(&mut self) -> Rings {
        std::mem::take(&mut self.rings)
    }

    /// From now on grants only epochs above `epoch`, whatever the clock says.
    pub fn raise_epochs(&mut self, epoch: Epoch) {
        self.epoch_high = self.epoch_high.max(epoch);
    }

    /// Moves all deadlines of leases and wishes by `by_ms`, since the clock that `now` comes from was set by that much.
    pub fn shift_deadlines(&mut self, by_ms: i64) {
        let shifted = |at: UnixMs| UnixMs(at.0.saturating_add_signed(by_ms));
        self.deadlines.clear();
        for (room, lease) in &mut self.leases {
            lease.until = shifted(lease.until);
            if let Some(want) = &mut lease.want {
                want.until = shifted(want.until);
            }
            self.deadlines.insert((lease.until, room.clone()));
        }
    }

    // === leases ===

    /// Ends the leases whose deadline and grace are past, at most `limit`, as [`EndReason::Lost`]; returns their rooms.
    /// Once a minute it also forgets keys, holds and tombstones whose time is over.
    pub fn reap(&mut self, now: UnixMs, limit: usize) -> Vec<RoomId> {
        let grace = self.times.grace;
        let may_die = self.is_past_floor(now);
        let dead: Vec<RoomId> = self
            .deadlines
            .iter()
            .take_while(|(until, _)| may_die && until.plus(grace) <= now)
            .take(limit)
            .map(|(_, room)| room.clone())
            .collect();
        for room in &dead {
            self.end_lost(now, room);
        }
        if now >= self.swept_at.plus(SWEEP_EVERY) {
            self.swept_at = now;
            self.keys.retain(|_, key| now < key.expires_at);
            self.holds.retain(|_, hold| now < hold.until);
            self.tombs.retain(|_, tomb| tomb.stands(now));
        }
        dead
    }

    /// Ends, as [`EndReason::Lost`], the leases that `node` holds; returns their rooms. No floor protects them: the node has
    /// just started, and knows of none.
    pub fn free_node(&mut self, now: UnixMs, node: &NodeId) -> Vec<RoomId> {
        let held = self.leases.values().filter(|lease| lease.card.node_id == *node);
        let rooms: Vec<RoomId> = held.map(|lease| lease.card.room_id.clone()).collect();
        for room in &rooms {
            self.end_lost(now, room);
        }
        rooms
    }

    /// Tells the holder of `room` to end. The first order stands: it is what the session will end with. `None` when nobody
    /// holds the room; a dead lease is ended as lost on the way.
    pub fn order(&mut self, now: UnixMs, room: &RoomId, order: &Order) -> Option<LeaseView> {
        if self.is_dead(now, room) {
            self.end_lost(now, room);
        }
        let lease = self.leases.get_mut(room)?;
        lease.order.get_or_insert_with(|| order.clone());
        self.rings.push((lease.card.node_id.clone(), room.clone()));
        Some(lease.view())
    }

    /// Who holds `room`. A dead lease counts as none.
    pub fn lease(&self, now: UnixMs, room: &RoomId) -> Option<LeaseView> {
        self.leases.get(room).filter(|_| !self.is_dead(now, room)).map(LeaseState::view)
    }

    /// The leases of rooms after `after`, in order of room, at most `limit`, without the dead.
    pub fn leases(&self, now: UnixMs, after: Option<&RoomId>, limit: usize) -> Vec<LeaseView> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.leases
            .range::<RoomId, _>((from, Bound::Unbounded))
            .filter(|(room, _)| !self.is_dead(now, room))
            .take(limit)
            .map(|(_, lease)| lease.view())
            .collect()
    }

    /// The leases of rooms after `after`, in order of room, at most `limit`, the dead too, and how far the shard has come.
    pub fn snapshot(&self, now: UnixMs, after: Option<&RoomId>, limit: usize) -> ShardSnapshot {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = self.leases.range::<RoomId, _>((from, Bound::Unbounded)).take(limit);
        ShardSnapshot {
            n: self.last_n,
            leases: page.map(|(_, lease)| lease.view()).collect(),
            floor: self.floor(now),
            is_loaded: self.is_loaded(),
        }
    }

    // === keys ===

    /// Writes a key's record. A record that is revoked stays so, whatever `record` says; one that comes in as revoked
    /// orders its live session to end.
    pub fn put_key(&mut self, now: UnixMs, record: &KeyRecord) {
        let was_revoked = self.key(now, &record.live_key_id).is_some_and(|known| known.revoked);
        let record = KeyRecord { revoked: record.revoked || was_revoked, ..record.clone() };
        let revoked = record.revoked;
        let id = record.live_key_id.clone();
        self.keys.insert(id.clone(), record);
        if revoked {
            self.order_holder_of(now, &id);
        }
    }

    /// The key's record, until it expires.
    pub fn key(&self, now: UnixMs, id: &LiveKeyId) -> Option<&KeyRecord> {
        self.keys.get(id).filter(|key| now < key.expires_at)
    }

    /// Revokes a key and, in the same step, orders its live session to end. False when there is no such key.
    pub fn revoke(&mut self, now: UnixMs, id: &LiveKeyId) -> bool {
        if self.key(now, id).is_none() {
            return false;
        }
        if let Some(key) = self.keys.get_mut(id) {
            key.revoked = true;
        }
        self.order_holder_of(now, id);
        true
    }

    fn order_holder_of(&mut self, now: UnixMs, id: &LiveKeyId) {
        let Some(room) = self.keys.get(id).map(|key| key.room_id.clone()) else { return };
        if self.leases.get(&room).is_some_and(|lease| lease.card.live_key_id == *id) {
            self.order(now, &room, &Self::revoked_order());
        }
    }

    pub(super) fn revoked_order() -> Order {
        Order { reason: EndReason::Revoked, note: String::new() }
    }

    // === holds ===

    /// Refuses publishers of `room` until the hold ends. An earlier hold is replaced, be it longer or shorter.
    pub fn put_hold(&mut self, room: &RoomId, hold: &Hold) {
        self.holds.insert(room.clone(), hold.clone());
    }

    /// Lifts the hold. False when none was in force.
    pub fn lift_hold(&mut self, now: UnixMs, room: &RoomId) -> bool {
        self.holds.remove(room).is_some_and(|hold| now < hold.until)
    }

    /// The hold in force.
    pub fn hold(&self, now: UnixMs, room: &RoomId) -> Option<&Hold> {
        self.holds.get(room).filter(|hold| now < hold.until)
    }

    // === events ===

    /// The oldest unacknowledged events, in order, at most `limit`.
    pub fn events(&self, limit: usize) -> Vec<Event> {
        self.unread.iter().take(limit).cloned().collect()
    }

    /// Forgets the events up to and including `n`.
    pub fn acknowledge(&mut self, n: u64) {
        while self.unread.front().is_some_and(|event| event.n <= n) {
            self.unread.pop_front();
        }
        if self.unread.is_empty() {
            // The places of a rush would stay for good.
            self.unread = VecDeque::new();
        }
    }

    /// The number of the newest event, read or not.
    pub fn last_n(&self) -> u64 {
        self.last_n
    }

    pub(super) fn append(&mut self, at: UnixMs, kind: EventKind, session: &SessionCard, facts: &Facts) {
        self.last_n += 1;
        self.unread.push_back(Event {
            n: self.last_n,
            shard: self.number,
            at,
            kind,
            session: session.clone(),
            facts: facts.clone(),
        });
    }

    // === what the rules share ===

    pub(super) fn is_dead(&self, now: UnixMs, room: &RoomId) -> bool {
        self.is_past_floor(now)
            && self.leases.get(room).is_some_and(|lease| lease.until.plus(self.times.grace) <= now)
    }

    /// Puts the deadline of the room's lease to `ttl` from now.
    pub(super) fn extend(&mut self, now: UnixMs, room: &RoomId) {
        let until = now.plus(self.times.ttl);
        if let Some(lease) = self.leases.get_mut(room) {
            let before = std::mem::replace(&mut lease.until, until);
            if before != until {
                self.deadlines.remove(&(before, room.clone()));
                self.deadlines.insert((until, room.clone()));
            }
        }
    }

    pub(super) fn insert_lease(&mut self, lease: LeaseState) {
        let room = lease.card.room_id.clone();
        self.deadlines.insert((lease.until, room.clone()));
        self.leases.insert(room, lease);
    }
}

impl LeaseState {
    fn view(&self) -> LeaseView {
        LeaseView {
            card: self.card.clone(),
            facts: self.facts.clone(),
            until: self.until,
            confirmed: !self.facts.unreplicated,
            order: self.order.clone(),
        }
    }
}
