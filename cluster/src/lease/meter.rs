//! Bitrate, from samples of a byte count taken whenever a renewal is made: the mean over about the last two seconds.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::BootTime;

/// What the mean spans, if there are samples that close together.
const WINDOW: Duration = Duration::from_secs(2);
/// Less time than this between two samples says nothing: frames come in bursts.
const SPAN_MIN: Duration = Duration::from_millis(250);
/// Bound on what is remembered; extra renewals are paced, so no window holds as many.
const SAMPLES_MAX: usize = 16;

#[derive(Default)]
pub(super) struct Meter {
    /// Oldest first; at most one is older than the window.
    samples: VecDeque<(BootTime, u64)>,
    kbps: u32,
}

impl Meter {
    pub(super) fn is_running(&self) -> bool {
        !self.samples.is_empty()
    }

    /// Counts from here: what came before the first frame is no measure of the media.
    pub(super) fn start(&mut self, now: BootTime, bytes: u64) {
        self.samples.push_back((now, bytes));
    }

    /// Takes a sample and gives the bitrate in kbit/s; 0 until there is one.
    pub(super) fn read(&mut self, now: BootTime, bytes: u64) -> u32 {
        let Some(&(newest, _)) = self.samples.back() else { return 0 };
        if now.since(newest) < SPAN_MIN {
            return self.kbps;
        }
        let in_window = |at: BootTime| now.since(at) < WINDOW;
        while (self.samples.len() > 1 && !in_window(self.samples[1].0)) || self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        let Some(&(at, before)) = self.samples.front() else { return 0 };
        let millis = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX).max(1);
        self.kbps =
            u32::try_from(bytes.saturating_sub(before).saturating_mul(8) / millis).unwrap_or(u32::MAX);
        self.samples.push_back((now, bytes));
        self.kbps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootTime {
        BootTime(ms * 1_000_000)
    }

    #[test]
    fn a_steady_rate_is_right_from_the_first_look_on() {
        let mut meter = Meter::default();
        assert_eq!(meter.read(at(0), 5_000), 0);
        meter.start(at(0), 5_000);
        for ms in [450, 900, 3_000, 3_100, 6_000] {
            assert_eq!(meter.read(at(ms), 5_000 + ms * 125), 1_000, "after {ms} ms");
        }
    }

    #[test]
    fn silence_reads_as_zero_and_a_new_rate_replaces_the_old_one() {
        let mut meter = Meter::default();
        meter.start(at(0), 0);
        assert_eq!(meter.read(at(3_000), 3_000 * 125), 1_000);
        assert_eq!(meter.read(at(6_000), 3_000 * 125), 0);
        assert_eq!(meter.read(at(9_000), 3_000 * 125 + 3_000 * 250), 2_000);
    }

    #[test]
    fn samples_close_together_repeat_the_last_answer() {
        let mut meter = Meter::default();
        meter.start(at(0), 0);
        assert_eq!(meter.read(at(100), 1_000_000), 0);
        assert_eq!(meter.read(at(1_000), 125_000), 1_000);
        assert_eq!(meter.read(at(1_001), 999_999), 1_000);
        for ms in 1_001..9_000 {
            meter.read(at(ms), ms);
        }
        assert!(meter.samples.len() <= SAMPLES_MAX);
    }
}
