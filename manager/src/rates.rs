//! How often somebody may ask: a bucket of requests for each of many, refilled at a steady rate. Bounded in memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Who is remembered at once. A newcomer beyond it takes the place of another, who then begins anew with a full bucket:
/// forgetting is too kind to one, refusing would lock all others out.
const KNOWN_MAX: usize = 10_000;
/// Between two searches for buckets that are full again and need not be remembered.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// A bucket holds what comes in in so many seconds.
const BURST_SECONDS: f64 = 2.0;

/// Buckets of one kind.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    /// Requests that flow in, per second; none for "as often as they like".
    rate: Option<f64>,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    known: HashMap<K, Bucket>,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn left(&self, rate: f64, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        since.mul_add(rate, self.left).min(full(rate))
    }
}

fn full(rate: f64) -> f64 {
    (rate * BURST_SECONDS).max(1.0)
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    /// `per_second` requests of each, and twice that at once; 0 for no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        let rate = (per_second > 0).then(|| f64::from(per_second));
        Self { rate, state: Mutex::new(State { known: HashMap::new(), swept_at: None }) }
    }

    /// Takes a request out of the bucket of `who`.
    ///
    /// # Errors
    /// How long to wait for the next one, if there is none.
    pub(crate) fn take(&self, who: &K, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut state = self.state.lock();
        if !state.known.contains_key(who) {
            state.make_place(rate, now);
        }
        let bucket = state.known.entry(who.clone()).or_insert_with(|| Bucket { left: full(rate), at: now });
        let left = bucket.left(rate, now);
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / rate));
        }
        *bucket = Bucket { left: left - 1.0, at: now };
        Ok(())
    }

    /// Whether [`Self::take`] would find one. Takes none.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn look(&self, who: &K, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let left = self.state.lock().known.get(who).map_or(1.0, |bucket| bucket.left(rate, now));
        if left < 1.0 { Err(Duration::from_secs_f64((1.0 - left) / rate)) } else { Ok(()) }
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn make_place(&mut self, rate: f64, now: Instant) {
        if self.known.len() < KNOWN_MAX {
            return;
        }
        if self.swept_at.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_EVERY) {
            self.swept_at = Some(now);
            self.known.retain(|_, bucket| bucket.left(rate, now) < full(rate));
        }
        if self.known.len() >= KNOWN_MAX
            && let Some(other) = self.known.keys().next().cloned()
        {
            self.known.remove(&other);
        }
    }
}

/// Whose bucket a peer without credentials takes from. One subscriber of IPv6 has at least a /64 (RFC 6177).
pub(crate) fn household(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_refills_and_is_its_owners_alone() {
        let buckets = Buckets::new(2);
        let t0 = Instant::now();
        for _ in 0..4 {
            assert_eq!(buckets.take(&"a", t0), Ok(()));
        }
        assert_eq!(buckets.look(&"a", t0), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take(&"a", t0), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take(&"b", t0), Ok(()));
        let later = t0 + Duration::from_millis(500);
        assert_eq!(buckets.look(&"a", later), Ok(()));
        assert_eq!(buckets.take(&"a", later), Ok(()));
        assert!(buckets.take(&"a", later).is_err());
    }

    #[test]
    fn zero_is_no_limit() {
        let buckets = Buckets::new(0);
        let t0 = Instant::now();
        assert!((0..10_000).all(|_| buckets.take(&1, t0).is_ok()));
        assert!(buckets.state.lock().known.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_nobody_is_locked_out_for_want_of_it() {
        let buckets = Buckets::new(1);
        let t0 = Instant::now();
        for n in 0..3 * KNOWN_MAX {
            assert_eq!(buckets.take(&n, t0), Ok(()));
            assert!(buckets.state.lock().known.len() <= KNOWN_MAX);
        }
        // Long after, all are full again and forgotten together.
        assert_eq!(buckets.take(&usize::MAX, t0 + Duration::from_secs(60)), Ok(()));
        assert_eq!(buckets.state.lock().known.len(), 1);
    }

    #[test]
    fn neighbours_of_a_slash_64_are_one() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
