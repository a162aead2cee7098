//! Bitrate: whether a session sends more than its key allows, as a mean over some seconds.
//!
//! A bucket that leaks at the allowed rate and holds [`WINDOW`] of it. Encoders come in bursts: a keyframe, a start with all that
//! was buffered, a network that stood still and then delivers. Only who sends more for longer fills it: in any time `t` a session
//! may send what its rate gives in `t` and ten seconds, so that one at twice its rate is found out after ten seconds.

use std::time::{Duration, Instant};

/// How much of the allowed rate may come at once.
const WINDOW: Duration = Duration::from_secs(10);

/// What a session may send. No clock of its own, no memory but two numbers.
#[derive(Debug)]
pub(crate) struct BitrateLimit {
    /// Bits per second.
    allowed: u64,
    /// Bits in the bucket, as of `at`.
    level: f64,
    at: Instant,
}

impl BitrateLimit {
    pub(crate) fn new(allowed: u64, now: Instant) -> Self {
        Self { allowed, level: 0.0, at: now }
    }

    /// Takes note of so many bytes received at `now`.
    pub(crate) fn count(&mut self, bytes: u64, now: Instant) {
        let leaked = now.saturating_duration_since(self.at).as_secs_f64() * self.rate();
        self.at = self.at.max(now);
        // Exact up to 2^53 bits, a thousand terabytes.
        self.level = (self.level - leaked).max(0.0) + bytes as f64 * 8.0;
    }

    /// More has come than may.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.level > self.rate() * WINDOW.as_secs_f64()
    }

    /// What the streamer is told.
    pub(crate) fn text(&self) -> String {
        let kbps = self.allowed / 1_000;
        format!("this live key allows {kbps} kbit/s, and the broadcast has more: lower the encoder's bitrate")
    }

    fn rate(&self) -> f64 {
        self.allowed as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: u64 = 1_000_000;

    /// Whether so many bits per second, sent every 40 ms for a time, are too much; and when.
    fn exceeded_after(bits_per_second: u64, seconds: u64) -> Option<u64> {
        let start = Instant::now();
        let mut limit = BitrateLimit::new(ALLOWED, start);
        (0..seconds * 25).find_map(|frame| {
            let at = Duration::from_millis(frame * 40);
            limit.count(bits_per_second / 8 / 25, start + at);
            limit.is_exceeded().then_some(at.as_secs())
        })
    }

    #[test]
    fn a_session_at_its_rate_goes_on_for_ever_and_one_at_twice_the_rate_for_ten_seconds() {
        assert_eq!(exceeded_after(ALLOWED, 3_600), None);
        assert_eq!(exceeded_after(2 * ALLOWED, 60), Some(9));
        assert_eq!(exceeded_after(ALLOWED * 11 / 10, 600), Some(99));
    }

    #[test]
    fn what_a_network_held_back_may_come_at_once() {
        let start = Instant::now();
        let mut limit = BitrateLimit::new(ALLOWED, start);
        for stall in 1..20 {
            // Nine seconds of nothing, then all of it.
            limit.count(ALLOWED / 8 * 9, start + Duration::from_secs(9 * stall));
            assert!(!limit.is_exceeded());
        }
        limit.count(ALLOWED / 8 * 2, start + Duration::from_secs(9 * 19));
        assert!(limit.is_exceeded());
        assert!(limit.text().contains("1000 kbit/s"), "{}", limit.text());
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_nothing_away() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut limit = BitrateLimit::new(ALLOWED, start);
        limit.count(ALLOWED, start);
        limit.count(ALLOWED, start - Duration::from_secs(30));
        assert!(limit.is_exceeded());
    }
}
