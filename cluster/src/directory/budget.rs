//! Budget: so many a second and no more. A token bucket that holds one second's worth.

use parking_lot::Mutex;
use tokio::time::Instant;

pub(super) struct Budget {
    per_second: f64,
    state: Mutex<State>,
}

struct State {
    left: f64,
    at: Option<Instant>,
}

impl Budget {
    /// Full.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, state: Mutex::new(State { left: per_second, at: None }) }
    }

    /// Takes one. False when there is none.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let since = state.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        state.at = Some(state.at.map_or(now, |at| at.max(now)));
        state.left = (state.left + since * self.per_second).min(self.per_second);
        let is_left = state.left >= 1.0;
        if is_left {
            state.left -= 1.0;
        }
        is_left
    }

    /// One that was taken in vain.
    pub(super) fn give_back(&self) {
        let mut state = self.state.lock();
        state.left = (state.left + 1.0).min(self.per_second);
    }
}
