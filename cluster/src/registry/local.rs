//! The registry within one process: one mutex per shard around a [`shard::ShardState`]. Lives and dies with its one node,
//! so it knows no replicas and no loss of memory: every answer is confirmed. Keys and holds are put back at start by whoever
//! stores them.

mod acquire;
mod bells;
pub mod memory;
mod release;
mod renew;
pub mod shard;
mod tombstone;

#[cfg(test)]
pub(super) mod properties;

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use self::bells::Bells;
use self::shard::ShardState;
use super::{
    Batch, BatchReply, Confirmed, Doorbell, Hold, KeyRecord, LeaseTimes, LeaseView, Order, Registry,
    RegistryError, RoomBell, ShardRings, ShardSnapshot, Tick,
};
use crate::clock::{Clock, SystemClock};
use crate::events::Event;
use crate::ids::{Epoch, LiveKeyId, NodeId, RoomId, Shard};
use crate::time::UnixMs;

/// The in-process registry.
pub struct LocalRegistry {
    times: LeaseTimes,
    clock: Arc<dyn Clock>,
    /// One per shard, by its number.
    shards: Box<[Mutex<Kept>]>,
    bells: Bells,
}

/// A shard under its lock.
struct Kept {
    state: ShardState,
    /// By how much wall time was ahead of boot time at the last transition, in ms.
    wall_ahead: i64,
}

impl LocalRegistry {
    /// Unread events of one shard before it grants nothing new. An event takes about 600 bytes, so all shards together
    /// keep at most some 150 MB for a reader that does not read; ends are recorded beyond that.
    pub const UNREAD_MAX: usize = 4_096;

    const REAP_EVERY: Duration = Duration::from_secs(1);

    /// A registry with nothing in it, on the machine's clock. Nobody reaps by itself; see [`LocalRegistry::start`].
    pub fn new(times: LeaseTimes) -> Self {
        Self::with_clock(times, Arc::new(SystemClock))
    }

    /// The same on another clock, for tests.
    pub fn with_clock(times: LeaseTimes, clock: Arc<dyn Clock>) -> Self {
        let wall_ahead = wall_ahead(&*clock);
        let kept = |shard| Kept { state: ShardState::new(shard, times, Self::UNREAD_MAX), wall_ahead };
        let shards = Shard::all().map(|shard| Mutex::new(kept(shard))).collect();
        Self { times, clock, shards, bells: Bells::new() }
    }

    /// A registry that reaps by itself: a task looks over all shards once a second for as long as the registry is in use.
    /// Must be called within a tokio runtime. Reaping is for prompt `lost` events only: a claim ends a dead lease too.
    pub fn start(times: LeaseTimes) -> Arc<Self> {
        let registry = Arc::new(Self::new(times));
        tokio::spawn(reap_while_in_use(Arc::downgrade(&registry)));
        registry
    }

    /// From now on the shard of `room` grants only epochs above `epoch`. To be told at start, of every room's newest known
    /// session: a machine without a battery clock may start in the past.
    pub fn raise_epochs(&self, room: &RoomId, epoch: Epoch) {
        self.with(room.shard(), |_, shard| shard.raise_epochs(epoch));
    }

    /// Runs one transition under the shard's lock, and rings the bells for it after.
    fn with<T>(&self, shard: Shard, transition: impl FnOnce(UnixMs, &mut ShardState) -> T) -> T {
        let (answer, rings, is_news) = {
            let mut kept = self.shards[shard.index()].lock();
            kept.follow(wall_ahead(&*self.clock));
            let state = &mut kept.state;
            let before = state.last_n();
            // Read under the lock, so that the times of a shard's events rise like their numbers.
            let answer = transition(self.clock.unix(), state);
            (answer, state.take_rings(), state.last_n() != before)
        };
        self.bells.ring(rings);
        if is_news {
            self.bells.announce(shard);
        }
        answer
    }

    fn with_room<T>(
        &self,
        room: &RoomId,
        transition: impl FnOnce(UnixMs, &mut ShardState) -> T,
    ) -> Result<Confirmed<T>, RegistryError> {
        Ok(Confirmed { answer: self.with(room.shard(), transition), confirmed: true })
    }

    fn reap_all(&self) {
        for shard in Shard::all() {
            let _ = self.with(shard, |now, state| state.reap(now, usize::MAX));
        }
    }
}

impl Kept {
    /// When the machine's wall clock is set, the deadlines move along: nobody is dead because the time of day was wrong.
    fn follow(&mut self, wall_ahead: i64) {
        let step = wall_ahead.saturating_sub(self.wall_ahead);
        // Less is the slewing of NTP and the resolution of the clocks.
        if step.abs() >= 250 {
            self.state.shift_deadlines(step);
            self.wall_ahead = wall_ahead;
        }
    }
}

fn wall_ahead(clock: &dyn Clock) -> i64 {
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    ms(clock.unix().0).saturating_sub(ms(clock.boot().0 / 1_000_000))
}

async fn reap_while_in_use(registry: Weak<LocalRegistry>) {
    let mut tick = tokio::time::interval(LocalRegistry::REAP_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        registry.reap_all();
    }
}

#[async_trait]
impl Registry for LocalRegistry {
    fn times(&self) -> LeaseTimes {
        self.times
    }

    async fn commit(&self, batch: &Batch) -> BatchReply {
        let releases = batch.releases.iter();
        let renewals = batch.renewals.iter();
        let claims = batch.claims.iter();
        BatchReply {
            // Written in this order: fields of a struct expression are evaluated as they stand here.
            releases: releases
                .map(|release| self.with_room(&release.card.room_id, |now, s| s.release(now, release)))
                .collect(),
            renewals: renewals
                .map(|renewal| self.with_room(&renewal.card.room_id, |now, s| s.renew(now, renewal)))
                .collect(),
            claims: claims
                .map(|claim| self.with_room(&claim.room_id, |now, s| s.acquire(now, claim)))
                .collect(),
        }
    }

    async fn tick(&self, shard: Shard, limit: usize) -> Result<Tick, RegistryError> {
        Ok(self.with(shard, |now, state| state.tick(now, limit)))
    }

    async fn recovered(&self, _shard: Shard, _is_new: bool) -> Result<(), RegistryError> {
        // This registry forgets only by ending.
        Ok(())
    }

    async fn free_node(&self, shard: Shard, node: &NodeId) -> Result<Vec<RoomId>, RegistryError> {
        Ok(self.with(shard, |now, state| state.free_node(now, node)))
    }

    async fn order(&self, room: &RoomId, order: &Order) -> Result<Option<LeaseView>, RegistryError> {
        Ok(self.with(room.shard(), |now, state| state.order(now, room, order)))
    }

    async fn put_key(&self, record: &KeyRecord) -> Result<(), RegistryError> {
        let shard = record.room_id.shard();
        if record.live_key_id.shard() != Some(shard) {
            return Err(RegistryError::Broken(
                "the live key id names another shard than its room's".to_owned(),
            ));
        }
        self.with(shard, |now, state| state.put_key(now, record));
        Ok(())
    }

    async fn key(&self, id: &LiveKeyId) -> Result<Option<KeyRecord>, RegistryError> {
        let Some(shard) = id.shard() else { return Ok(None) };
        Ok(self.with(shard, |now, state| state.key(now, id).cloned()))
    }

    async fn revoke(&self, id: &LiveKeyId) -> Result<bool, RegistryError> {
        let Some(shard) = id.shard() else { return Ok(false) };
        Ok(self.with(shard, |now, state| state.revoke(now, id)))
    }

    async fn put_hold(&self, room: &RoomId, hold: &Hold) -> Result<(), RegistryError> {
        self.with(room.shard(), |_, state| state.put_hold(room, hold));
        Ok(())
    }

    async fn lift_hold(&self, room: &RoomId) -> Result<bool, RegistryError> {
        Ok(self.with(room.shard(), |now, state| state.lift_hold(now, room)))
    }

    async fn hold(&self, room: &RoomId) -> Result<Option<Hold>, RegistryError> {
        Ok(self.with(room.shard(), |now, state| state.hold(now, room).cloned()))
    }

    async fn lease(&self, room: &RoomId) -> Result<Option<LeaseView>, RegistryError> {
        Ok(self.with(room.shard(), |now, state| state.lease(now, room)))
    }

    async fn leases(
        &self,
        shard: Shard,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<LeaseView>, RegistryError> {
        Ok(self.with(shard, |now, state| state.leases(now, after, limit)))
    }

    async fn snapshot(&self, shard: Shard) -> Result<ShardSnapshot, RegistryError> {
        // 20 000 leases are copied in some 10 ms; the one node that waits meanwhile has as many encoders in one shard.
        Ok(self.with(shard, |now, state| state.snapshot(now, None, usize::MAX)))
    }

    async fn events(&self, shard: Shard, limit: usize) -> Result<Vec<Event>, RegistryError> {
        Ok(self.with(shard, |_, state| state.events(limit)))
    }

    async fn acknowledge(&self, shard: Shard, n: u64) -> Result<(), RegistryError> {
        self.with(shard, |_, state| state.acknowledge(n));
        self.bells.announce_stored();
        Ok(())
    }

    fn event_bell(&self) -> watch::Receiver<ShardRings> {
        self.bells.subscribe()
    }

    fn stored_bell(&self) -> watch::Receiver<u64> {
        self.bells.subscribe_stored()
    }

    fn doorbell(&self, node: &NodeId) -> Doorbell {
        self.bells.doorbell(node)
    }

    fn room_bell(&self, _room: &RoomId) -> RoomBell {
        // One node only: whoever shows a room here also hears of it here. Any event will do.
        RoomBell { rung: self.bells.subscribe_any(), guard: Box::new(()) }
    }
}
