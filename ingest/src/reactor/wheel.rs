//! Wheel: whose turn comes when, to five milliseconds. Near deadlines cost a push and a pop, however many there are.
//!
//! A hashed wheel of one round (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987), with a heap for what is further away:
//! of that there is little, since deadlines that move away are not armed again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// All deadlines fall on multiples of this, so that those of many connections share a wake-up without all of them falling on one.
const TICK: Duration = Duration::from_millis(5);
/// Ticks of one round: 640 ms.
const ROUND: u64 = 128;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// 64 bits of them last for centuries.
const fn nanos_of(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

fn nanos(at: Instant) -> u64 {
    nanos_of(at.saturating_duration_since(*BEGIN))
}

/// The first tick at or after `at`.
fn tick_after(at: Instant) -> u64 {
    nanos(at).div_ceil(nanos_of(TICK))
}

fn instant_of(tick: u64) -> Instant {
    *BEGIN + Duration::from_nanos(nanos_of(TICK) * tick)
}

/// The first point of the grid at or after `at`.
pub(crate) fn on_grid(at: Instant) -> Instant {
    instant_of(tick_after(at))
}

#[derive(Debug)]
pub(super) struct Wheel {
    /// All up to this tick are done.
    done: u64,
    round: Vec<Vec<usize>>,
    /// How many there are in the round.
    near: usize,
    far: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Wheel {
    pub(super) fn new() -> Self {
        let round = (0..ROUND).map(|_| Vec::new()).collect();
        Self { done: tick_after(Instant::now()), round, near: 0, far: BinaryHeap::new() }
    }

    /// Gives `place` a turn at `at`, or up to a tick later. Returns when that will be.
    pub(super) fn arm(&mut self, place: usize, at: Instant) -> Instant {
        let tick = tick_after(at).max(self.done + 1);
        if tick <= self.done + ROUND {
            self.near += 1;
            self.round[(tick % ROUND) as usize].push(place);
        } else {
            self.far.push(Reverse((tick, place)));
        }
        instant_of(tick)
    }

    /// When the next turn is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let is_filled = |tick: &u64| !self.round[(tick % ROUND) as usize].is_empty();
        let near = (self.near > 0).then(|| (self.done + 1..=self.done + ROUND).find(is_filled)).flatten();
        let far = self.far.peek().map(|Reverse((tick, _))| *tick);
        near.into_iter().chain(far).min().map(instant_of)
    }

    /// Adds to `turns` whose turn has come.
    pub(super) fn due(&mut self, now: Instant, turns: &mut Vec<usize>) {
        let now = nanos(now) / nanos_of(TICK);
        // A whole round at most: after a longer sleep all of it is due.
        for tick in self.done + 1..=now.min(self.done + ROUND) {
            let places = &mut self.round[(tick % ROUND) as usize];
            self.near -= places.len();
            turns.append(places);
        }
        while let Some(Reverse((tick, place))) = self.far.peek().copied()
            && tick <= now
        {
            self.far.pop();
            turns.push(place);
        }
        self.done = self.done.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_at_its_time_near_or_far() {
        let mut wheel = Wheel::new();
        let start = instant_of(wheel.done);
        let after = [3, 4, 40, 635, 640, 641, 2_000, 90_000].map(Duration::from_millis);
        let mut armed = Vec::new();
        for (place, after) in after.into_iter().enumerate() {
            let at = wheel.arm(place, start + after);
            assert!(at >= start + after && at < start + after + TICK);
            armed.push((at, place));
        }
        let (mut came, mut turns) = (Vec::new(), Vec::new());
        while let Some(next) = wheel.next() {
            wheel.due(next - Duration::from_nanos(1), &mut turns);
            assert!(turns.is_empty(), "early");
            wheel.due(next, &mut turns);
            came.extend(turns.drain(..).map(|place| (next, place)));
        }
        assert_eq!(came, armed);
    }

    #[test]
    fn a_deadline_that_has_passed_is_due_at_the_next_tick() {
        let mut wheel = Wheel::new();
        let start = instant_of(wheel.done);
        wheel.due(start + Duration::from_secs(9), &mut Vec::new());
        let at = wheel.arm(7, start);
        let mut turns = Vec::new();
        wheel.due(at, &mut turns);
        assert_eq!(turns, [7]);
    }
}
