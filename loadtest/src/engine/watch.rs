//! Watch: what one player has seen of its room, and what is wrong with it.

use crate::measure::Tally;
use crate::media::Stamp;

/// A player's memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// When `play` was asked for, in microseconds.
    requested: u64,
    has_picture: bool,
    source: u64,
    number: u64,
}

impl Watch {
    /// Of a player that asks at `now`.
    pub(super) fn since(now: u64) -> Self {
        Self { requested: now, ..Self::default() }
    }

    /// Notes a picture that arrived at `now`, in the room that the player asked for.
    pub(super) fn picture(&mut self, stamp: Option<Stamp>, room: u64, now: u64, tally: &mut Tally) {
        if !self.has_picture {
            tally.first_picture.note(now.saturating_sub(self.requested));
            tally.counts.watched += 1;
        }
        let is_first = !std::mem::replace(&mut self.has_picture, true);
        let Some(stamp) = stamp else {
            tally.counts.strange_pictures += 1;
            return;
        };
        tally.counts.pictures += 1;
        if stamp.room != room {
            tally.counts.mixed_up += 1;
            return;
        }
        // What was sent before we came lay in the server's cache: its age is no latency.
        if stamp.sent >= self.requested {
            tally.latency.note(now.saturating_sub(stamp.sent));
        }
        let is_new_source = is_first || self.source == 0 || stamp.source > self.source;
        if is_new_source {
            (self.source, self.number) = (stamp.source, stamp.number);
        } else if stamp.source < self.source {
            // The one before is still let through, behind the back of the one after.
            tally.counts.two_publishers += 1;
        } else if stamp.number <= self.number {
            tally.counts.repeated += 1;
        } else {
            let missing = stamp.number - self.number - 1;
            tally.counts.lost += missing;
            tally.counts.gaps += u64::from(missing > 0);
            self.number = stamp.number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(pictures: &[(u64, u64, u64)]) -> Tally {
        let mut tally = Tally::default();
        let mut watch = Watch::since(1000);
        for (room, source, number) in pictures {
            let stamp = Stamp { room: *room, source: *source, number: *number, sent: 900 + number * 10 };
            watch.picture(Some(stamp), 1, 5000, &mut tally);
        }
        tally
    }

    #[test]
    fn holes_repetitions_and_strangers_are_told_apart() {
        let counts = see(&[(1, 7, 10), (1, 7, 11), (1, 7, 14), (1, 7, 14), (1, 7, 20), (2, 7, 21)]).counts;
        assert_eq!((counts.lost, counts.gaps, counts.repeated, counts.mixed_up), (2 + 5, 2, 1, 1));
        assert_eq!((counts.watched, counts.pictures, counts.two_publishers), (1, 6, 0));
    }

    #[test]
    fn a_new_publisher_may_begin_anywhere_but_the_old_one_may_not_come_back() {
        let counts = see(&[(1, 7, 10), (1, 8, 0), (1, 8, 1), (1, 7, 11), (1, 8, 2)]).counts;
        assert_eq!((counts.lost, counts.repeated, counts.two_publishers), (0, 0, 1));
    }

    #[test]
    fn what_lay_in_a_cache_counts_as_first_picture_but_not_as_latency() {
        let tally = see(&[(1, 7, 8), (1, 7, 9), (1, 7, 10), (1, 7, 11)]);
        assert_eq!((tally.first_picture.count(), tally.latency.count()), (1, 2));
    }
}
