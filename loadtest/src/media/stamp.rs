//! Stamps: what a picture says of itself, in supplemental information that every decoder skips and every server passes on.
//!
//! ```text
//! FLV video tag 5 · length u32 · 06 05 33 · magic 16 · room 5 · source 10 · number 10 · sent 10 · 80
//! ```
//! Numbers are written in sevens of bits with the top bit set, so that no byte is ever zero: escaping would move them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The user data identifier of our stamps (H.264 §D.1.7).
const MAGIC: [u8; 16] = *b"onair-load-stamp";
/// Where the magic stands in the payload of a stamped video message.
const MAGIC_AT: usize = 5 + 4 + 3;
const NUMBERS_AT: usize = MAGIC_AT + MAGIC.len();
/// How much of a payload must be seen to read its stamp.
pub(crate) const STAMP_END: usize = NUMBERS_AT + 5 + 10 + 10 + 10;

/// What a picture says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// For which room it was meant, as the sender counts them; 35 bits.
    pub room: u64,
    /// Which publish it is of. Of two of one room, the later one is greater.
    pub source: u64,
    /// The number of the picture in its publish, without gaps.
    pub number: u64,
    /// Microseconds on the machine's monotonic clock when it was sent. Means nothing on another machine.
    pub sent: u64,
}

impl Stamp {
    /// How long the picture was under way until `now`.
    pub const fn age(&self, now: u64) -> Duration {
        Duration::from_micros(now.saturating_sub(self.sent))
    }

    /// The stamp at the beginning of a video payload, if there is one.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let payload = payload.get(..STAMP_END)?;
        if payload[MAGIC_AT..NUMBERS_AT] != MAGIC {
            return None;
        }
        let mut at = NUMBERS_AT;
        let mut take = |count: usize| {
            let digits = &payload[at..at + count];
            at += count;
            digits.iter().fold(0, |value: u64, digit| value << 7 | u64::from(digit & 0x7f))
        };
        Some(Self { room: take(5), source: take(10), number: take(10), sent: take(10) })
    }

    /// Writes itself into a payload that was made with room for it, see [`unit()`].
    pub(crate) fn write(&self, payload: &mut [u8]) {
        let Some(numbers) = payload.get_mut(NUMBERS_AT..STAMP_END) else { return };
        let mut digits = numbers.iter_mut();
        for (value, count) in [(self.room, 5), (self.source, 10), (self.number, 10), (self.sent, 10)] {
            for at in (0..count).rev() {
                if let Some(digit) = digits.next() {
                    // Masked: seven bits fit.
                    *digit = 0x80 | u8::try_from(value >> (7 * at) & 0x7f).unwrap_or(0);
                }
            }
        }
    }
}

/// The NAL unit of an empty stamp.
pub(super) fn unit() -> Vec<u8> {
    let numbers = STAMP_END - NUMBERS_AT;
    let size = u8::try_from(MAGIC.len() + numbers).unwrap_or(u8::MAX);
    [&[super::h264::SEI, 5, size][..], &MAGIC, &vec![0x80; numbers], &[0x80]].concat()
}

/// Microseconds on the monotonic clock, which all processes of a machine share.
pub fn now_micros() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec.wrapping_mul(1_000_000).wrapping_add(now.tv_nsec / 1000);
    u64::try_from(micros).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_as_it_was_written_and_holds_no_zero() {
        let mut payload = [&[0x27, 1, 0, 0, 0][..], &[1, 1, 1, 1], &unit()].concat();
        let stamps = [
            Stamp::default(),
            Stamp { room: (1 << 35) - 1, source: u64::MAX, number: 1 << 63, sent: now_micros() },
            Stamp { room: 128, source: 1, number: 16_384, sent: 0 },
        ];
        for stamp in stamps {
            stamp.write(&mut payload);
            assert_eq!(Stamp::read(&payload), Some(stamp));
            assert!(payload[5..].iter().all(|byte| *byte != 0));
        }
        assert_eq!(Stamp::read(&payload[..STAMP_END - 1]), None, "cut short");
        payload[MAGIC_AT] ^= 1;
        assert_eq!(Stamp::read(&payload), None, "somebody else's");
    }
}
