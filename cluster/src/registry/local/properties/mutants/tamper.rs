//! How a shard's state is tampered with around a call, and put back.

use super::Mutant;
use crate::events::{EndReason, Event, EventKind};
use crate::ids::{LiveKeyId, RoomId};
use crate::registry::local::shard::ShardState;
use crate::registry::{KeyRecord, LeaseTimes};
use crate::time::UnixMs;

impl Mutant {
    /// Runs `call` on a state in which `room`'s tombstone is forgotten, unless `call` writes another.
    pub(super) fn without_tomb<T>(&mut self, room: &RoomId, call: impl FnOnce(&mut ShardState) -> T) -> T {
        let tomb = self.state.tombs.remove(room);
        let answer = call(&mut self.state);
        if let Some(tomb) = tomb {
            self.state.tombs.entry(room.clone()).or_insert(tomb);
        }
        answer
    }

    /// Runs `call` with a key's record changed by `change`.
    pub(super) fn with_key<T>(
        &mut self,
        id: &LiveKeyId,
        change: impl FnOnce(&mut KeyRecord),
        call: impl FnOnce(&mut ShardState) -> T,
    ) -> T {
        let before = self.state.keys.get(id).cloned();
        if let Some(key) = self.state.keys.get_mut(id) {
            change(key);
        }
        let answer = call(&mut self.state);
        if let Some(before) = before {
            self.state.keys.insert(id.clone(), before);
        }
        answer
    }

    pub(super) fn with_times<T>(&mut self, times: LeaseTimes, call: impl FnOnce(&mut ShardState) -> T) -> T {
        let before = std::mem::replace(&mut self.state.times, times);
        let answer = call(&mut self.state);
        self.state.times = before;
        answer
    }

    pub(super) fn no_grace(&self) -> LeaseTimes {
        LeaseTimes { grace: std::time::Duration::ZERO, ..self.state.times }
    }

    /// Puts a room's deadline back to where it was.
    pub(super) fn restore_deadline(&mut self, room: &RoomId, until: Option<UnixMs>) {
        if let (Some(lease), Some(until)) = (self.state.leases.get_mut(room), until) {
            self.state.deadlines.remove(&(lease.until, room.clone()));
            lease.until = until;
            self.state.deadlines.insert((until, room.clone()));
        }
    }

    /// Changes the newest event, if it is an end.
    pub(super) fn change_end(
        &mut self,
        n_before: u64,
        change: impl FnOnce(&mut EndReason, &mut UnixMs, UnixMs),
    ) {
        if self.state.last_n > n_before
            && let Some(Event { at, kind: EventKind::Ended { reason, ended_at }, .. }) =
                self.state.unread.back_mut()
        {
            change(reason, ended_at, *at);
        }
    }
}
