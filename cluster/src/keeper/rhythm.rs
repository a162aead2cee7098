//! The node's rhythm of renewals. With each beat all leases are due, and they are renewed in slices, one per call, so that a
//! publisher's claim never waits for more than one slice: a Redis renews 10 000 leases in about 100 ms, and a newcomer shall not
//! feel that. What is in a hurry never waits for its slice.
//!
//! Slices are for a registry that answers. While it does not, every call may take its whole time limit, so all that is due
//! goes into one: what is on air lives by hearing at least every second that nobody answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use crate::ids::SessionId;
use crate::lease::Held;
use crate::time::BootTime;

/// Leases renewed in one call for no other reason than the rhythm: about 3 ms of a Redis. 40 000 leases need 160 calls of at
/// most 18 ms within a beat.
const SLICE: usize = 256;

/// When leases are due, and which of them come next.
pub(super) struct Rhythm {
    every: Duration,
    /// Each beat is a little early or late, so that nodes started together drift apart.
    next: BootTime,
    /// The last beat: what was renewed before it is due.
    beat: BootTime,
    /// Those that are due since the beat and not renewed yet, by shard, since a shard's renewals are one script call.
    queue: VecDeque<SessionId>,
    /// The last call had all its answers.
    is_answered: bool,
}

impl Rhythm {
    pub(super) fn new(now: BootTime, every: Duration) -> Self {
        let next = now.plus(every.mul_f64(rand::rng().random_range(0.1..1.0)));
        Self { every, next, beat: BootTime(0), queue: VecDeque::new(), is_answered: true }
    }

    /// When the next beat is due.
    pub(super) const fn next(&self) -> BootTime {
        self.next
    }

    /// Whether a beat is due; if so, sets the next.
    pub(super) fn beats(&mut self, now: BootTime) -> bool {
        let due = self.next <= now;
        if due {
            self.beat_now(now);
            self.next = now.plus(self.every.mul_f64(rand::rng().random_range(0.9..1.1)));
        }
        due
    }

    /// All leases are due now, whatever the rhythm.
    pub(super) fn beat_now(&mut self, now: BootTime) {
        self.beat = now;
        // Built anew, with those in it that were renewed since the last beat.
        self.queue.clear();
    }

    /// A call is over.
    pub(super) fn on_call(&mut self, is_answered: bool) {
        self.is_answered = is_answered;
    }

    /// Whether a lease last renewed at `renewed_at` is due.
    pub(super) fn is_due(&self, renewed_at: BootTime) -> bool {
        renewed_at < self.beat
    }

    /// Whether it has been due for so long that it cannot wait for its slice: calls take too long to come round in time.
    pub(super) fn is_late(&self, renewed_at: BootTime, now: BootTime) -> bool {
        now.since(renewed_at) >= 2 * self.every
    }

    /// Whether [`Self::line_up`] is wanted: nobody is waiting in line.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// These are due.
    pub(super) fn line_up(&mut self, due: &[Arc<Held>]) {
        let mut line: Vec<_> =
            due.iter().map(|held| (held.card.room_id.shard(), held.card.session_id)).collect();
        line.sort_unstable();
        self.queue = line.into_iter().map(|(_, session)| session).collect();
    }

    /// Adds the next slice to what is `chosen` for the next call: from the line, and then from `news`, which come again in the
    /// next round if they are left out.
    pub(super) fn slice(
        &mut self,
        leases: &HashMap<SessionId, Arc<Held>>,
        news: Vec<Arc<Held>>,
        chosen: &mut HashMap<SessionId, Arc<Held>>,
    ) {
        let mut room = if self.is_answered { SLICE } else { usize::MAX };
        while room > 0
            && let Some(session) = self.queue.pop_front()
        {
            // Gone, or renewed since for another reason.
            let Some(held) = leases.get(&session).filter(|held| self.is_due(held.renewed_at())) else {
                continue;
            };
            if chosen.insert(session, Arc::clone(held)).is_none() {
                room -= 1;
            }
        }
        chosen.extend(news.into_iter().take(room).map(|held| (held.card.session_id, held)));
    }
}
