//! Waiting for events: polling with a deadline, the one way in which tests wait.

use std::thread;
use std::time::{Duration, Instant};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(20);

pub use onair_testkit::wait::eventually;

/// Asks `look` over and over for the whole of `duration`; fails the test as soon as it is false.
pub fn holds(what: &str, duration: Duration, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + duration;
    while Instant::now() < deadline {
        assert!(look(), "this did not hold: {what}");
        thread::sleep(EVERY);
    }
}
