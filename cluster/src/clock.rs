//! Where the cluster crate reads the time: one small trait, so that tests can turn the hands.

use crate::time::{BootTime, UnixMs};

/// Both clocks of a node. Implementations must never run backwards in [`Clock::boot`].
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time, for people, events and the registry's deadlines.
    fn unix(&self) -> UnixMs;
    /// Time since boot, for what a holder may believe.
    fn boot(&self) -> BootTime;
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix(&self) -> UnixMs {
        UnixMs::now()
    }
    fn boot(&self) -> BootTime {
        BootTime::now()
    }
}
