//! Mutants: a shard that breaks one rule, by tampering with its state around the call. The rules themselves hold no switches.

mod mutation;
mod tamper;

pub(in crate::registry) use self::mutation::Mutation;
use super::Machine;
use super::world::{GAP, UNREAD_MAX, World};
use crate::events::{EndReason, Event};
use crate::ids::{Epoch, LiveKeyId, NodeId, RoomId};
use crate::registry::local::memory::{Known, Position};
use crate::registry::local::shard::{Rings, ShardState};
use crate::registry::{
    Acquired, Claim, Hold, KeyRecord, LeaseTimes, LeaseView, Order, Release, Released, Renewal, Renewed,
    ShardSnapshot, Takeover, Tick,
};
use crate::time::UnixMs;

/// A shard with at most one rule broken.
pub(in crate::registry) struct Mutant {
    state: ShardState,
    broken: Option<Mutation>,
    caller: Known,
    copied: Option<ShardState>,
}

impl Mutant {
    pub(in crate::registry) fn sound() -> Self {
        let state = ShardState::new(World::<Self>::shard(), LeaseTimes::default(), UNREAD_MAX);
        Self { state, broken: None, caller: Known::default(), copied: None }
    }

    pub(in crate::registry) fn shared() -> Self {
        let state = ShardState::shared(World::<Self>::shard(), LeaseTimes::default(), UNREAD_MAX, GAP);
        Self { state, ..Self::sound() }
    }

    pub(in crate::registry) fn with(mutation: &Mutation) -> Self {
        Self { broken: Some(*mutation), ..Self::sound() }
    }

    pub(in crate::registry) fn shared_with(mutation: &Mutation) -> Self {
        Self { broken: Some(*mutation), ..Self::shared() }
    }

    /// Somebody calls.
    fn wake(&mut self, now: UnixMs) {
        let mut caller = self.caller.clone();
        match self.broken {
            Some(Mutation::RestartUnseen) => caller.run_id.clear(),
            Some(Mutation::RewindUnseen) => caller.position = Position::default(),
            Some(Mutation::GapUnseen) => self.attended(now),
            _ => {}
        }
        self.state.wake(now, &caller);
        if let Some(memory) = &mut self.state.memory {
            match self.broken {
                Some(Mutation::FloorIgnored) => memory.floor = UnixMs(0),
                Some(Mutation::NotClosed) => memory.is_blank = false,
                Some(Mutation::DeniedBeforeLoaded) => memory.is_loaded = true,
                _ => {}
            }
        }
    }

    /// Reads as if called, without leaving a trace.
    fn look<T>(&mut self, now: UnixMs, read: impl FnOnce(&ShardState) -> T) -> T {
        let before = self.state.memory.clone();
        self.wake(now);
        let found = read(&self.state);
        self.state.memory = before;
        found
    }

    fn breaks(&self, mutation: Mutation) -> bool {
        self.broken == Some(mutation)
    }
}

impl Machine for Mutant {
    fn acquire(&mut self, now: UnixMs, claim: &Claim) -> Acquired {
        self.wake(now);
        let (room, key) = (claim.room_id.clone(), claim.live_key_id.clone());
        match self.broken {
            Some(Mutation::ClaimAfterEnd) => self.without_tomb(&room, |s| s.acquire(now, claim)),
            Some(Mutation::EpochNotRaised) => {
                self.state.epoch_high = Epoch(0);
                self.state.acquire(now, claim)
            }
            Some(Mutation::GrantBeforeGrace) => {
                let times = self.no_grace();
                self.with_times(times, |s| s.acquire(now, claim))
            }
            Some(Mutation::GrantOverHolder) => {
                self.restore_deadline(&room, Some(UnixMs(0)));
                self.state.acquire(now, claim)
            }
            Some(Mutation::AgainWithoutDeadline) => {
                let again = self.state.leases.get(&room).filter(|l| l.card.session_id == claim.session_id);
                let until = again.map(|lease| lease.until);
                let answer = self.state.acquire(now, claim);
                self.restore_deadline(&room, until);
                answer
            }
            Some(Mutation::HoldIgnored) => {
                let hold = self.state.holds.remove(&room);
                let answer = self.state.acquire(now, claim);
                self.state.holds.extend(hold.map(|hold| (room, hold)));
                answer
            }
            Some(Mutation::RevocationIgnored) => {
                self.with_key(&key, |k| k.revoked = false, |s| s.acquire(now, claim))
            }
            Some(Mutation::RoomIgnored) => {
                self.with_key(&key, |k| k.room_id = room, |s| s.acquire(now, claim))
            }
            Some(Mutation::KeyExpiryIgnored) => {
                self.with_key(&key, |k| k.expires_at = UnixMs(u64::MAX), |s| s.acquire(now, claim))
            }
            Some(Mutation::NeverIsAsked) => {
                self.with_key(&key, |k| k.takeover = Takeover::Idle, |s| s.acquire(now, claim))
            }
            Some(Mutation::BacklogIgnored) => {
                self.state.unread_max = usize::MAX;
                self.state.acquire(now, claim)
            }
            Some(Mutation::TakeoverWithoutRest) => {
                if let Some(tomb) = self.state.tombs.get_mut(&room) {
                    tomb.superseded_at = None;
                }
                self.state.acquire(now, claim)
            }
            Some(Mutation::WantReplaced) => {
                if let Some(lease) = self.state.leases.get_mut(&room) {
                    lease.want = lease.want.take().filter(|want| want.session_id == claim.session_id);
                }
                self.state.acquire(now, claim)
            }
            Some(Mutation::NoRingWhenWanted) => {
                let answer = self.state.acquire(now, claim);
                self.state.rings.clear();
                answer
            }
            Some(Mutation::IssuedOverRecord) if claim.issued.is_some() => {
                self.state.keys.remove(&key);
                self.state.acquire(now, claim)
            }
            Some(Mutation::NumbersWithGaps) => {
                let answer = self.state.acquire(now, claim);
                self.state.last_n += u64::from(matches!(answer, Acquired::Granted(_)));
                answer
            }
            _ => self.state.acquire(now, claim),
        }
    }

    fn renew(&mut self, now: UnixMs, renewal: &Renewal) -> Renewed {
        self.wake(now);
        let room = renewal.card.room_id.clone();
        let until = self.state.leases.get(&room).map(|lease| lease.until);
        match self.broken {
            Some(Mutation::RenewAfterEnd) => self.without_tomb(&room, |s| s.renew(now, renewal)),
            Some(Mutation::AdoptedEpochForgotten) => {
                let high = self.state.epoch_high;
                let answer = self.state.renew(now, renewal);
                self.state.epoch_high = high;
                answer
            }
            Some(Mutation::LiveTwice) => {
                if let Some(lease) = self.state.leases.get_mut(&room) {
                    lease.facts.live_at = None;
                }
                self.state.renew(now, renewal)
            }
            Some(Mutation::LiveAtOverwritten) => {
                let mut renewal = renewal.clone();
                renewal.facts.live_at = renewal.facts.live_at.map(|_| now);
                if let Some(lease) = self.state.leases.get_mut(&room).filter(|l| l.facts.live_at.is_some()) {
                    lease.facts.live_at = Some(now);
                }
                self.state.renew(now, &renewal)
            }
            Some(Mutation::RenewSteals) => {
                if let Some(lease) = self.state.leases.get_mut(&room) {
                    lease.card = renewal.card.clone();
                }
                self.state.renew(now, renewal)
            }
            Some(Mutation::OlderLeaseStays) => match self.state.leases.get(&room) {
                Some(lease) if lease.card.session_id != renewal.card.session_id => {
                    Renewed::Lost { by: Some(lease.card.epoch) }
                }
                _ => self.state.renew(now, renewal),
            },
            Some(Mutation::RenewWithoutDeadline) => {
                let answer = self.state.renew(now, renewal);
                self.restore_deadline(&room, until);
                answer
            }
            Some(Mutation::NoAdoption) if until.is_none() => Renewed::Lost { by: None },
            Some(Mutation::AdoptedUnrevoked) if until.is_none() => {
                let key = renewal.card.live_key_id.clone();
                self.with_key(&key, |k| k.revoked = false, |s| s.renew(now, renewal))
            }
            Some(Mutation::OrderOnce) => {
                let answer = self.state.renew(now, renewal);
                if let Some(lease) = self.state.leases.get_mut(&room) {
                    lease.order = None;
                }
                answer
            }
            Some(Mutation::WantForEver) => {
                if let Some(want) = self.state.leases.get_mut(&room).and_then(|lease| lease.want.as_mut()) {
                    want.until = UnixMs(u64::MAX);
                }
                self.state.renew(now, renewal)
            }
            _ => self.state.renew(now, renewal),
        }
    }

    fn release(&mut self, now: UnixMs, release: &Release) -> Released {
        self.wake(now);
        let room = release.card.room_id.clone();
        let n = self.state.last_n;
        let answer = match self.broken {
            Some(Mutation::ReleaseAfterEnd) => self.without_tomb(&room, |s| s.release(now, release)),
            Some(Mutation::ShortMemory) => {
                // As if each end began the room's memory anew.
                let superseded_at = self.state.tombs.remove(&room).filter(|tomb| {
                    self.state.leases.contains_key(&room) || tomb.session != release.card.session_id
                });
                let answer = if self.state.leases.contains_key(&room) {
                    self.state.release(now, release)
                } else {
                    self.state.tombs.extend(superseded_at.clone().map(|tomb| (room.clone(), tomb)));
                    self.state.release(now, release)
                };
                if let (Some(tomb), Some(before)) = (self.state.tombs.get_mut(&room), superseded_at) {
                    tomb.superseded_at = tomb.superseded_at.or(before.superseded_at);
                }
                answer
            }
            Some(Mutation::LiveOnTheWayForgotten) => {
                if let Some(lease) = self.state.leases.get_mut(&room) {
                    lease.facts.live_at = lease.facts.live_at.or(release.facts.live_at);
                }
                self.state.release(now, release)
            }
            _ => self.state.release(now, release),
        };
        if self.breaks(Mutation::ReasonForgotten) {
            self.change_end(n, |reason, _, _| *reason = EndReason::Disconnected);
        }
        if self.breaks(Mutation::NoRingWhenFree) {
            self.state.rings.clear();
        }
        answer
    }

    fn tick(&mut self, now: UnixMs, limit: usize) -> Tick {
        self.wake(now);
        let n = self.state.last_n;
        let tick = match self.broken {
            Some(Mutation::ReapBeforeGrace) => {
                let times = self.no_grace();
                self.with_times(times, |s| s.tick(now, limit))
            }
            Some(Mutation::ReapUnlimited) => self.state.tick(now, usize::MAX),
            _ => self.state.tick(now, limit),
        };
        if self.breaks(Mutation::LostWhenFound) {
            self.change_end(n, |_, ended_at, at| *ended_at = at);
        }
        tick
    }

    fn free_node(&mut self, now: UnixMs, node: &NodeId) -> Vec<RoomId> {
        self.wake(now);
        if self.breaks(Mutation::NodeNotFreed) {
            return Vec::new();
        }
        self.state.free_node(now, node)
    }

    fn order(&mut self, now: UnixMs, room: &RoomId, order: &Order) -> Option<LeaseView> {
        self.wake(now);
        if self.breaks(Mutation::OrderReplaced)
            && let Some(lease) = self.state.leases.get_mut(room)
        {
            lease.order = None;
        }
        self.state.order(now, room, order)
    }

    fn lease(&mut self, now: UnixMs, room: &RoomId) -> Option<LeaseView> {
        self.look(now, |state| state.lease(now, room))
    }

    fn leases(&mut self, now: UnixMs, after: Option<&RoomId>, limit: usize) -> Vec<LeaseView> {
        self.look(now, |state| state.leases(now, after, limit))
    }

    fn snapshot(&mut self, now: UnixMs, after: Option<&RoomId>, limit: usize) -> ShardSnapshot {
        self.look(now, |state| state.snapshot(now, after, limit))
    }

    fn put_key(&mut self, now: UnixMs, record: &KeyRecord) {
        self.wake(now);
        if self.breaks(Mutation::PutUnrevokes) {
            self.state.keys.remove(&record.live_key_id);
        }
        self.state.put_key(now, record);
    }

    fn key(&mut self, now: UnixMs, id: &LiveKeyId) -> Option<KeyRecord> {
        self.state.key(now, id).cloned()
    }

    fn revoke(&mut self, now: UnixMs, id: &LiveKeyId) -> bool {
        self.wake(now);
        let known = self.state.revoke(now, id);
        if self.breaks(Mutation::RevokeWithoutOrder) {
            self.state.leases.values_mut().for_each(|lease| lease.order = None);
        }
        known
    }

    fn put_hold(&mut self, now: UnixMs, room: &RoomId, hold: &Hold) {
        self.wake(now);
        self.state.put_hold(room, hold);
    }

    fn lift_hold(&mut self, now: UnixMs, room: &RoomId) -> bool {
        self.wake(now);
        self.state.lift_hold(now, room)
    }

    fn hold(&mut self, now: UnixMs, room: &RoomId) -> Option<Hold> {
        self.state.hold(now, room).cloned()
    }

    fn events(&mut self) -> Vec<Event> {
        self.state.events(usize::MAX)
    }

    fn acknowledge(&mut self, now: UnixMs, n: u64) {
        self.wake(now);
        self.state.acknowledge(n + u64::from(self.breaks(Mutation::AcknowledgeTooMuch)));
    }

    fn take_rings(&mut self) -> Rings {
        self.state.take_rings()
    }

    fn raise_epochs(&mut self, epoch: Epoch) {
        self.state.raise_epochs(epoch);
    }

    fn wipe(&mut self) {
        self.state = if self.state.memory.is_some() { Self::shared() } else { Self::sound() }.state;
    }

    fn meet(&mut self, caller: &Known) {
        self.caller.clone_from(caller);
    }

    fn recovered(&mut self, now: UnixMs, is_new: bool, life: u64) -> bool {
        self.wake(now);
        let here = self.state.position().life;
        self.state.recovered(is_new, if self.breaks(Mutation::RecoveredOfOldLife) { here } else { life })
    }

    fn position(&mut self) -> Position {
        self.state.position()
    }

    fn attended(&mut self, now: UnixMs) {
        if let Some(memory) = &mut self.state.memory {
            memory.seen = now;
        }
    }

    fn copy(&mut self) {
        self.copied = Some(self.state.clone());
    }

    fn rewind(&mut self) {
        if let Some(copied) = &self.copied {
            self.state = copied.clone();
        }
    }
}
