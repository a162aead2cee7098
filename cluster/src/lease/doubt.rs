//! Doubt: what a lease makes of a registry that does not vouch for it. Whether media may pass meanwhile, and when it is enough.
//!
//! A failed call proves that the registry is away only if the process was awake all the while, and one failure alone may
//! merely be a connection that died unnoticed. So media rides on a *run* of failures: at least two, a moment apart and none
//! long ago. Whoever was frozen starts a new run, and passes nothing until it has one.

use std::time::Duration;

use rand::Rng;

use crate::keeper::OnRegistryLoss;
use crate::time::BootTime;

/// How long media rides on one failed call. The next attempt is made a second after, give or take a tenth, and may wait for a
/// call in flight: it has failed, too, within two.
const RIDE_FOR: Duration = Duration::from_secs(3);
/// The two calls of the shortest run that proves anything are at least this far apart.
const RUN_MIN: Duration = Duration::from_millis(500);
/// After this long without any answer a session ends; each at a moment of its own, so that encoders do not all come back at once.
const RIDE_MAX: std::ops::Range<Duration> = Duration::from_secs(5 * 60)..Duration::from_secs(10 * 60);

/// A call that brought no answer for a lease.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) sent: BootTime,
    /// It took no longer than calls take: the process was not frozen meanwhile.
    pub(crate) was_awake: bool,
}

/// Why media rides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Unreachable,
    Unreplicated,
}

#[derive(Default)]
pub(super) struct Doubt {
    /// The last answer was not confirmed.
    unreplicated: bool,
    /// There was none since.
    absence: Option<Absence>,
}

struct Absence {
    /// The longest that it may be ridden out.
    ends_at: BootTime,
    /// When the first and the last call of the current run were sent.
    run: (BootTime, BootTime),
}

impl Doubt {
    /// The registry answered. True if that was confirmed and the answer before was not, or the other way round.
    pub(super) fn on_answer(&mut self, confirmed: bool) -> bool {
        self.absence = None;
        let before = std::mem::replace(&mut self.unreplicated, !confirmed);
        before != self.unreplicated
    }

    /// It did not. Until when media may pass on the strength of that, if at all.
    pub(super) fn on_failure(&mut self, failure: Failure, policy: OnRegistryLoss) -> Option<BootTime> {
        if !failure.was_awake {
            return None;
        }
        let sent = failure.sent;
        let absence = self.absence.get_or_insert_with(|| Absence {
            ends_at: sent.plus(rand::rng().random_range(RIDE_MAX)),
            run: (sent, sent),
        });
        let (first, last) = absence.run;
        let first = if sent.since(last) > RIDE_FOR { sent } else { first };
        absence.run = (first, sent);
        let is_proven = sent.since(first) >= RUN_MIN;
        (is_proven && policy == OnRegistryLoss::RideOut).then(|| sent.plus(RIDE_FOR))
    }

    /// When the session is to end for want of an answer. `deadline` is when its media is withheld.
    pub(super) fn ends_at(&self, deadline: BootTime, policy: OnRegistryLoss) -> Option<BootTime> {
        let absence = self.absence.as_ref()?;
        Some(match policy {
            OnRegistryLoss::RideOut => absence.ends_at,
            OnRegistryLoss::Strict => deadline,
        })
    }

    pub(super) const fn cause(&self) -> Cause {
        if self.absence.is_some() { Cause::Unreachable } else { Cause::Unreplicated }
    }

    pub(super) const fn is_unreplicated(&self) -> bool {
        self.unreplicated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIDE: OnRegistryLoss = OnRegistryLoss::RideOut;

    fn at(ms: u64) -> BootTime {
        BootTime(ms * 1_000_000)
    }

    fn awake(ms: u64) -> Failure {
        Failure { sent: at(ms), was_awake: true }
    }

    #[test]
    fn media_rides_from_the_second_failure_on_and_never_for_long() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.on_failure(awake(0), RIDE), None);
        assert_eq!(doubt.on_failure(awake(400), RIDE), None);
        for ms in [1_000, 2_000, 4_900] {
            assert_eq!(doubt.on_failure(awake(ms), RIDE), Some(at(ms + 3_000)));
        }
        doubt.on_answer(true);
        assert_eq!(doubt.on_failure(awake(5_500), RIDE), None);
    }

    #[test]
    fn a_freeze_proves_nothing_and_breaks_the_run() {
        let mut doubt = Doubt::default();
        doubt.on_failure(awake(0), RIDE);
        assert!(doubt.on_failure(awake(1_000), RIDE).is_some());
        // Frozen in the middle of a call, or between two.
        assert_eq!(doubt.on_failure(Failure { sent: at(2_000), was_awake: false }, RIDE), None);
        assert_eq!(doubt.on_failure(awake(17_000), RIDE), None);
        assert!(doubt.on_failure(awake(18_000), RIDE).is_some());
        // The end counts from the first failure all the same.
        assert!(doubt.ends_at(at(0), RIDE).is_some_and(|end| (at(300_000)..at(600_000)).contains(&end)));
    }

    #[test]
    fn strict_never_rides_and_ends_at_the_deadline() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.ends_at(at(9_500), OnRegistryLoss::Strict), None);
        for ms in [3_000, 4_000, 5_000] {
            assert_eq!(doubt.on_failure(awake(ms), OnRegistryLoss::Strict), None);
        }
        assert_eq!(doubt.ends_at(at(9_500), OnRegistryLoss::Strict), Some(at(9_500)));
        doubt.on_answer(false);
        assert_eq!(doubt.ends_at(at(9_500), OnRegistryLoss::Strict), None, "it answers");
    }
}
