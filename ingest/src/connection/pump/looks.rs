//! Looks: when to look into a publisher's socket that nobody watches.
//!
//! An encoder sends some seventy messages a second. Woken for each, a node spends most of its time on waking up; looking once in a
//! while it finds several, and all broadcasts whose time has come are served in one wake-up. A publisher that pauses is watched
//! again, so that silence costs nothing.

use std::time::{Duration, Instant};

use crate::reactor::on_grid;

/// Looks in vain before the socket is watched again.
const VAIN_MAX: u32 = 4;

#[derive(Debug)]
pub(super) struct Looks {
    /// From one look to the next. Zero: never, the socket is always watched.
    every: Duration,
    next: Instant,
    /// When something was last found.
    found: Instant,
    vain: u32,
    is_steady: bool,
}

impl Looks {
    pub(super) fn new(every: Duration) -> Self {
        let now = Instant::now();
        Self { every, next: now, found: now, vain: 0, is_steady: false }
    }

    /// The socket is left alone from now on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.next = on_grid(now + self.every / 2);
        self.vain = 0;
    }

    /// When to look next.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next <= now
    }

    /// Whether so much comes that looking is cheaper than being woken.
    pub(super) const fn is_steady(&self) -> bool {
        self.is_steady
    }

    /// What a look found, or a read of a watched socket.
    pub(super) fn looked(&mut self, now: Instant, found_any: bool) {
        if self.every.is_zero() {
            return;
        }
        // At even distances, unless time has run away, or somebody looked before it was time.
        self.next = on_grid((self.next.min(now) + self.every).max(now + self.every / 2));
        if found_any {
            let between = now.saturating_duration_since(self.found);
            (self.found, self.vain) = (now, 0);
            self.is_steady |= between <= self.every * 2;
        } else {
            self.vain += 1;
            self.is_steady &= self.vain < VAIN_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(15);

    #[test]
    fn who_sends_often_is_looked_at_and_who_pauses_is_watched() {
        let mut looks = Looks::new(EVERY);
        let start = Instant::now() + Duration::from_secs(9);
        looks.looked(start, true);
        assert!(!looks.is_steady(), "the first for long");
        looks.looked(start + EVERY, true);
        assert!(looks.is_steady());
        looks.begin(start + EVERY);
        for n in 2..=VAIN_MAX + 1 {
            assert!(
                looks.is_steady()
                    && looks.is_due(start + EVERY * n)
                    && !looks.is_due(start + EVERY * n - EVERY / 2)
            );
            looks.looked(start + EVERY * n, false);
        }
        assert!(!looks.is_steady());
    }

    #[test]
    fn without_a_rhythm_a_socket_is_always_watched() {
        let mut looks = Looks::new(Duration::ZERO);
        let now = Instant::now();
        looks.looked(now, true);
        looks.looked(now, true);
        assert!(!looks.is_steady());
    }
}
