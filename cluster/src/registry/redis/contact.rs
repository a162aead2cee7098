//! How long this process has been in touch with a primary, by that primary's own clock.
//!
//! The steward asks each primary for the time once a second. Two answers that are further apart than [`Caller::GAP`], or run
//! backwards, end the stretch: the primary stood still, or we did, or its clock was set.

use parking_lot::Mutex;

use super::call::{Caller, Contact};
use crate::time::UnixMs;

/// One stretch of answers.
#[derive(Default)]
pub(super) struct Touch(Mutex<Option<Contact>>);

impl Touch {
    /// The primary told its time.
    pub(super) fn on_time(&self, at: UnixMs) {
        let gap = u64::try_from(Caller::GAP.as_millis()).unwrap_or(u64::MAX);
        let mut contact = self.0.lock();
        let goes_on = contact.filter(|contact| contact.to <= at && at.since(contact.to) <= gap);
        *contact = Some(Contact { from: goes_on.map_or(at, |contact| contact.from), to: at });
    }

    /// The stretch that is not known to have ended.
    pub(super) fn contact(&self) -> Option<Contact> {
        *self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_ends_with_a_gap_or_a_clock_that_was_set_back() {
        let touch = Touch::default();
        let told = |at| {
            touch.on_time(UnixMs(at));
            touch.contact().map(|contact| (contact.from.0, contact.to.0))
        };
        assert_eq!(touch.contact(), None);
        assert_eq!(told(10_000), Some((10_000, 10_000)));
        assert_eq!(told(13_000), Some((10_000, 13_000)));
        assert_eq!(told(16_001), Some((16_001, 16_001)), "it stood still for more than 3 s");
        assert_eq!(told(16_000), Some((16_000, 16_000)), "its clock was set");
    }
}
