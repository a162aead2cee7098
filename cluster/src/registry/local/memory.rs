//! What a shard of a shared registry remembers of itself, so that nobody is dead because the registry was.
//!
//! Off in a registry that lives and dies with its node. On, every transition is preceded by [`ShardState::wake`], with what
//! its caller knows: a shard that nobody reached for a while, that another process serves, or that has forgotten what a
//! caller had confirmed, sets a floor. Before it no lease counts as dead, since no holder could have renewed; and where memory
//! was lost, rooms without a lease stay closed until then, so that incumbents come back first.

use std::time::Duration;

use super::shard::ShardState;
use crate::ids::Shard;
use crate::registry::{LeaseTimes, Tick};
use crate::time::UnixMs;

/// How far a shard has come: its life, which begins anew when its memory is lost, and the number of its newest event. A shard
/// that is behind what was confirmed to a caller has forgotten something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position {
    /// Microseconds of the clock when this life began; above all before it.
    pub life: u64,
    /// The number of the newest event.
    pub n: u64,
}

/// From when to when, by the registry's own clock, a caller has been in touch with the process that serves a shard, never
/// longer apart than the gap. Tells a shard in which nobody had business from one that nobody could reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The first time that it told in one stretch.
    pub from: UnixMs,
    /// The last.
    pub to: UnixMs,
}

/// What a caller knows of the registry it calls.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Known {
    /// The process that serves it; empty if not known.
    pub run_id: String,
    /// The highest position of the shard that was confirmed to the caller; zeros if it knows none.
    pub position: Position,
    /// How long it has been in touch.
    pub contact: Option<Contact>,
}

/// What the shard remembers.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    gap: Duration,
    /// 0 before the first call.
    life: u64,
    /// When somebody last called.
    pub(super) seen: UnixMs,
    run_id: String,
    pub(super) floor: UnixMs,
    /// Keys and holds are back.
    pub(super) is_loaded: bool,
    /// Until the floor, rooms without a lease are closed.
    pub(super) is_blank: bool,
}

impl ShardState {
    /// An empty shard of a shared registry, which was away when nobody called for longer than `gap`.
    pub fn shared(number: Shard, times: LeaseTimes, unread_max: usize, gap: Duration) -> Self {
        let memory = Memory {
            gap,
            life: 0,
            seen: UnixMs(0),
            run_id: String::new(),
            floor: UnixMs(0),
            is_loaded: false,
            is_blank: false,
        };
        Self { memory: Some(memory), ..Self::new(number, times, unread_max) }
    }

    /// Someone calls: to be told before every transition. Without effect in a registry that is not shared.
    pub fn wake(&mut self, now: UnixMs, caller: &Known) {
        let here = self.position();
        let floor = now.plus(self.times.ttl).plus(self.times.grace);
        let Some(memory) = &mut self.memory else { return };
        if memory.life == 0 || caller.position > here {
            // A new life, so that those who come later with the old numbers do not find the same loss again.
            memory.life = (now.0.saturating_mul(1_000)).max(caller.position.life + 1);
            memory.is_loaded = false;
            memory.is_blank = true;
            memory.floor = floor;
        } else {
            let gap = u64::try_from(memory.gap.as_millis()).unwrap_or(u64::MAX);
            let contact = caller.contact.filter(|contact| contact.from.since(memory.seen) <= gap);
            let seen = contact.map_or(memory.seen, |contact| memory.seen.max(contact.to));
            let is_away = now.since(seen) > gap;
            let is_known = !caller.run_id.is_empty() && !memory.run_id.is_empty();
            let is_restarted = is_known && caller.run_id != memory.run_id;
            if is_away || is_restarted {
                memory.is_blank &= now < memory.floor;
                memory.floor = floor;
            }
        }
        if !caller.run_id.is_empty() {
            memory.run_id.clone_from(&caller.run_id);
        }
        memory.seen = now;
    }

    /// How far the shard has come.
    pub fn position(&self) -> Position {
        Position { life: self.memory.as_ref().map_or(0, |memory| memory.life), n: self.last_n }
    }

    /// All keys and holds are back. With `is_new` there never was a session, so nobody is waited for. Does nothing, and says
    /// so, when the shard has begun another life since the caller looked: it lacks them again.
    pub fn recovered(&mut self, is_new: bool, life: u64) -> bool {
        let Some(memory) = self.memory.as_mut().filter(|memory| memory.life == life) else { return false };
        memory.is_loaded = true;
        if is_new {
            memory.is_blank = false;
            memory.floor = UnixMs(0);
        }
        true
    }

    /// Looks after the shard: [`Self::reap`], and what the shard is missing.
    pub fn tick(&mut self, now: UnixMs, limit: usize) -> Tick {
        let reaped = self.reap(now, limit);
        Tick { reaped, n: self.last_n(), is_loaded: self.is_loaded(), floor: self.floor(now) }
    }

    /// The floor, unless it is past.
    pub(super) fn floor(&self, now: UnixMs) -> Option<UnixMs> {
        self.memory.as_ref().map(|memory| memory.floor).filter(|floor| now < *floor)
    }

    /// Everybody alive has had time to renew.
    pub(super) fn is_past_floor(&self, now: UnixMs) -> bool {
        self.memory.as_ref().is_none_or(|memory| memory.floor <= now)
    }

    /// Rooms without a lease are closed: someone may be on air there.
    pub(super) fn is_closed(&self, now: UnixMs) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.is_blank) && !self.is_past_floor(now)
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.memory.as_ref().is_none_or(|memory| memory.is_loaded)
    }
}
