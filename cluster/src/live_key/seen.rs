//! Seen: tokens whose signature was found good before. When everybody comes back at once, most of a check's cost is saved.
//!
//! Remembered is the SHA-256 of the whole token, signature included: another token, or another signature, is another entry. Only
//! the signature is believed; what the token says is held against the clock and the room each time. Failures are not remembered,
//! so that guessing fills nothing.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;

/// Tokens of one generation. Two are kept: 64 KiB each at most, and some for the table.
const GENERATION: usize = 2_048;

type Digest = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    newer: HashSet<Digest>,
    older: HashSet<Digest>,
}

impl Seen {
    /// Whether the token is known to be good, or else `check` says so.
    pub(super) fn is_good<E>(
        &self,
        token: &[u8],
        check: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        let Ok(key) = Digest::try_from(digest(&SHA256, token).as_ref()) else { return check() };
        if self.0.lock().has(&key) {
            return Ok(true);
        }
        let is_good = check()?;
        if is_good {
            self.0.lock().note(key);
        }
        Ok(is_good)
    }
}

impl Generations {
    /// Whoever is asked for stays for another generation.
    fn has(&mut self, key: &Digest) -> bool {
        if self.newer.contains(key) {
            return true;
        }
        let is_old = self.older.contains(key);
        if is_old {
            self.note(*key);
        }
        is_old
    }

    fn note(&mut self, key: Digest) {
        if self.newer.len() >= GENERATION {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(seen: &Seen, token: usize) -> bool {
        seen.is_good::<()>(&token.to_le_bytes(), || Ok(false)).unwrap()
    }

    fn learn(seen: &Seen, token: usize) {
        assert!(seen.is_good::<()>(&token.to_le_bytes(), || Ok(true)).unwrap());
    }

    #[test]
    fn what_was_good_is_known_and_what_was_not_is_asked_again() {
        let seen = Seen::default();
        assert_eq!(seen.is_good(b"x", || Err("malformed")), Err("malformed"));
        assert!(!is_known(&seen, 1));
        learn(&seen, 1);
        assert!(is_known(&seen, 1) && !is_known(&seen, 2));
    }

    #[test]
    fn memory_is_bounded_and_who_comes_often_stays() {
        let seen = Seen::default();
        for token in 0..10 * GENERATION {
            learn(&seen, token);
            assert!(is_known(&seen, 0));
        }
        let kept = seen.0.lock();
        assert!(kept.newer.len() <= GENERATION && kept.older.len() <= GENERATION);
        drop(kept);
        assert!(!is_known(&seen, 1) && is_known(&seen, 10 * GENERATION - 1));
    }
}
