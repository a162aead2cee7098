//! What reconciling came to since the start, for whoever asks how the Manager fares.

use onair_cluster::UnixMs;
use parking_lot::Mutex;

use crate::reports::Repair;

/// Counts, and when it was last done.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

/// As of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// When a shard was last compared.
    pub(crate) at: Option<UnixMs>,
    /// When something was last repaired.
    pub(crate) repaired_at: Option<UnixMs>,
    /// Sessions ended as lost.
    pub(crate) lost: u64,
    /// Sessions that the Live DB had not heard of.
    pub(crate) granted: u64,
    /// Sessions of which it had not heard that they went live.
    pub(crate) live: u64,
    /// Sessions on air after their recorded end, told to end.
    pub(crate) over: u64,
}

impl Tally {
    pub(crate) fn note(&self, at: UnixMs, repairs: &[Repair]) {
        let mut counts = self.0.lock();
        counts.at = Some(at);
        for repair in repairs {
            counts.repaired_at = Some(at);
            match repair {
                Repair::Lost(_) => counts.lost += 1,
                Repair::Granted(_) => counts.granted += 1,
                Repair::Live(_) => counts.live += 1,
                Repair::Over(_) => counts.over += 1,
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.0.lock()
    }
}
