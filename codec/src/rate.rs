//! Rate: counts happenings in fixed spans of time, so that a bound "so many per second" is one comparison.

use std::time::{Duration, Instant};

/// At most `max` happenings per `span`. Spans follow one another from the first happening on, so a burst across a
/// border may reach twice the bound: good enough against floods, and it needs no history.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    max: u32,
    span: Duration,
    since: Option<Instant>,
    count: u32,
}

impl Rate {
    pub(crate) const fn new(max: u32, span: Duration) -> Self {
        Self { max, span, since: None, count: 0 }
    }

    /// Counts one happening; whether it is still within the bound.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= self.span) {
            self.since = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= self.max
    }
}
