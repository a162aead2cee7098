//! Timeline: maps the timestamps of one publisher after another onto the one clock of a room.
//!
//! Inside a session time passes through unchanged, small steps backwards included (OBS puts audio and video on one chunk
//! stream, so its deltas do go back). Three things do not pass: a new session starts where the last one stopped, the wrap
//! that FLV muxers make at 2^31 goes on rising, and a jump of more than ten seconds is closed to one frame.

use std::time::Duration;

/// A step longer than this is no step but a jump.
const JUMP_MS: i32 = 10_000;
/// Where FLV muxers begin anew.
const WRAP: u32 = 1 << 31;
/// What a closed jump counts for: one frame at 25 per second.
const STEP_MS: u32 = 40;
/// The longest pause between two sessions that a player is made to wait out on its own clock.
const PAUSE_MS_MAX: u32 = 10_000;

/// The clock of a room, in milliseconds, wrapping at 2^32.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    last_out: Option<u32>,
    session: Option<Session>,
    resume_at: u32,
}

#[derive(Debug)]
struct Session {
    last_in: u32,
    last_out: u32,
}

impl Timeline {
    /// A new publisher begins, `pause` after the last media of the one before.
    pub(super) fn begin_session(&mut self, pause: Duration) {
        self.session = None;
        if let Some(last) = self.last_out {
            let pause = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX).clamp(STEP_MS, PAUSE_MS_MAX);
            self.resume_at = last.wrapping_add(pause);
        }
    }

    /// Where a coded message of the publisher's time `timestamp` stands in the room.
    pub(super) fn coded(&mut self, timestamp: u32) -> u32 {
        let out = match &self.session {
            None if self.last_out.is_none() => timestamp,
            None => self.resume_at,
            Some(session) => session.last_out.wrapping_add(step(session.last_in, timestamp)),
        };
        self.session = Some(Session { last_in: timestamp, last_out: out });
        self.last_out = Some(out);
        out
    }

    /// Where headers and metadata stand: they carry 0 or any other time, and must not go back in the room.
    pub(super) fn header(&self, timestamp: u32) -> u32 {
        match (&self.session, self.last_out) {
            (Some(session), _) => session.last_out,
            (None, Some(_)) => self.resume_at,
            (None, None) => timestamp,
        }
    }
}

/// From one timestamp of a session to the next, as a wrapping difference.
fn step(from: u32, to: u32) -> u32 {
    let delta = to.wrapping_sub(from);
    let signed = delta.cast_signed();
    if signed.unsigned_abs() <= JUMP_MS.unsigned_abs() {
        return delta;
    }
    // FLV muxers wrap at 2^31: from just below it to a small number.
    let near_the_wrap = (WRAP - JUMP_MS.unsigned_abs()..WRAP).contains(&from);
    let across = delta.wrapping_add(WRAP);
    if near_the_wrap && across <= JUMP_MS.unsigned_abs() { across } else { STEP_MS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_session_passes_through_unchanged() {
        let mut t = Timeline::default();
        assert_eq!(t.header(0), 0);
        assert_eq!(
            [1_000_000, 1_000_033, 1_000_021].map(|ts| t.coded(ts)),
            [1_000_000, 1_000_033, 1_000_021]
        );
    }

    #[test]
    fn a_second_session_goes_on_where_the_first_stopped() {
        let mut t = Timeline::default();
        t.coded(5_000);
        t.begin_session(Duration::from_millis(700));
        assert_eq!(t.header(0), 5_700);
        assert_eq!([0, 33].map(|ts| t.coded(ts)), [5_700, 5_733]);
        t.begin_session(Duration::from_secs(3600));
        assert_eq!(t.coded(77), 15_733);
    }

    #[test]
    fn the_wrap_of_flv_muxers_goes_on_rising() {
        let mut t = Timeline::default();
        assert_eq!([2_147_483_635, 10].map(|ts| t.coded(ts)), [2_147_483_635, 2_147_483_658]);
        let mut t = Timeline::default();
        assert_eq!([0xffff_fff0, 0x10].map(|ts| t.coded(ts)), [0xffff_fff0, 0x10]);
    }

    #[test]
    fn a_jump_by_half_of_all_time_is_a_jump_like_any_other() {
        let mut t = Timeline::default();
        assert_eq!([7, 7 + (1 << 31), 40 + (1 << 31)].map(|ts| t.coded(ts)), [7, 47, 80]);
    }

    #[test]
    fn a_jump_is_closed_to_one_frame() {
        let mut t = Timeline::default();
        assert_eq!([100, 50_000, 50_033, 0].map(|ts| t.coded(ts)), [100, 140, 173, 213]);
    }
}
