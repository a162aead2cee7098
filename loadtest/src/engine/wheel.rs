//! Wheel: one timer for each of many thousand clients, at a cost that does not depend on how many there are.
//!
//! A ring of slots of one millisecond. A deadline further away than the ring is long waits in its slot for another round.

use std::time::Duration;

/// Slots, hence milliseconds, of a round.
const SLOTS: usize = 4096;
/// How far ahead the next deadline is looked for; past that the wheel asks to be turned again.
const LOOK_AHEAD: u64 = 50;

/// A deadline and what it is for.
#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    due: u64,
    what: T,
}

/// Deadlines, in microseconds of one clock.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    slots: Vec<Vec<Entry<T>>>,
    /// The millisecond up to which, itself included, everything due has fired.
    turned: u64,
    len: usize,
    /// A slot's entries while they fire, kept for its memory.
    firing: Vec<Entry<T>>,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel at `now`.
    pub(crate) fn new(now: u64) -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self { slots, turned: now / 1000, len: 0, firing: Vec::new() }
    }

    /// Sets a timer. What is overdue fires at the next turn.
    pub(crate) fn set(&mut self, due: u64, what: T) {
        // A deadline inside a millisecond is due when that is over.
        let at = (due / 1000 + 1).max(self.turned + 1);
        self.slots[slot(at)].push(Entry { due: due.max(self.turned * 1000), what });
        self.len += 1;
    }

    /// How long one may sleep at `now`.
    pub(crate) fn idle(&self, now: u64) -> Duration {
        let next = (self.turned + 1..=self.turned + LOOK_AHEAD)
            .find(|at| self.len > 0 && !self.slots[slot(*at)].is_empty())
            .unwrap_or(self.turned + LOOK_AHEAD);
        Duration::from_micros((next * 1000).saturating_sub(now))
    }

    /// Takes out what is due at `now`, with its deadline, in the order of milliseconds.
    pub(crate) fn turn(&mut self, now: u64, due: &mut Vec<(u64, T)>) {
        let until = now / 1000;
        // Later than a whole round: every slot has its turn once.
        let from = (self.turned + 1).max((until + 1).saturating_sub(SLOTS as u64));
        for at in from..=until {
            let slot = slot(at);
            if self.slots[slot].is_empty() {
                continue;
            }
            std::mem::swap(&mut self.firing, &mut self.slots[slot]);
            for entry in self.firing.drain(..) {
                if entry.due / 1000 < until {
                    due.push((entry.due, entry.what));
                    self.len -= 1;
                } else {
                    self.slots[slot].push(entry);
                }
            }
        }
        self.turned = self.turned.max(until);
    }
}

fn slot(at: u64) -> usize {
    usize::try_from(at % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_fires_once_in_its_millisecond_however_far_away_it_is() {
        let start = 5_000_123;
        let mut wheel = Wheel::new(start);
        let delays = [0_u64, 1, 999, 1000, 33_333, 4_095_000, 4_096_000, 4_097_500, 20_000_000];
        for (n, delay) in delays.iter().enumerate() {
            wheel.set(start + delay, n);
        }
        let mut fired = vec![None; delays.len()];
        let mut now = start;
        let mut due = Vec::new();
        while fired.iter().any(Option::is_none) {
            now += 700;
            wheel.turn(now, &mut due);
            for (_, n) in due.drain(..) {
                assert_eq!(fired[n].replace(now), None, "timer {n} fired twice");
            }
            assert!(now < start + 30_000_000, "{fired:?}");
        }
        for (delay, at) in delays.iter().zip(fired) {
            let late = at.unwrap() - (start + delay);
            assert!(late <= 2000, "{delay}: {late} late");
        }
    }

    #[test]
    fn a_wheel_that_stood_still_for_long_forgets_nothing() {
        let mut wheel = Wheel::new(0);
        for n in 0..10_000_u64 {
            wheel.set(n * 1000, n);
        }
        let mut due = Vec::new();
        wheel.turn(60_000_000, &mut due);
        assert_eq!(due.len(), 10_000);
        assert_eq!(wheel.len, 0);
    }

    #[test]
    fn a_sleep_ends_at_the_next_deadline() {
        let mut wheel = Wheel::new(0);
        wheel.set(7_300, ());
        assert_eq!(wheel.idle(0), Duration::from_millis(8));
        assert_eq!(wheel.idle(7_900), Duration::from_micros(100));
        assert!(Wheel::<()>::new(0).idle(0) <= Duration::from_millis(LOOK_AHEAD));
    }
}
