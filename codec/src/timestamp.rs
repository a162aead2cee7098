//! Timestamp: milliseconds of a live timeline in 32 bits, which wrap after 49 days and still compare rightly.

use std::cmp::Ordering;
use std::fmt;

/// A point on a peer's timeline, in milliseconds, modulo 2^32 (RTMP 1.0 §5.1).
///
/// There is no `Ord`: an order on a circle is not total. [`Timestamp::serial_cmp`] is the comparison of RFC 1982.
///
/// ```
/// use onair_codec::Timestamp;
/// let before_the_wrap = Timestamp(0xFFFF_FFF0);
/// let after_the_wrap = before_the_wrap + 32;
/// assert_eq!(after_the_wrap, Timestamp(16));
/// assert!(after_the_wrap.is_after(before_the_wrap));
/// assert_eq!(after_the_wrap.since(before_the_wrap), 32);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Timestamp(pub u32);

/// How far a sender may be beyond its 31-bit wrap for the step to count as a wrap, in milliseconds.
const WRAP_STEP_MAX: i64 = 10_000;

impl Timestamp {
    /// The shortest signed distance from `earlier` to `self`, in milliseconds.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// Like [`Timestamp::since`], but knows that FLV muxers count in 31 bits: a step from just below 2^31 to a
    /// small value goes forward over their wrap, not 24 days back.
    pub const fn step_from(self, previous: Self) -> i64 {
        let step = self.since(previous) as i64;
        let over_the_wrap = step + (1 << 31);
        if previous.0 < 1 << 31 && step < 0 && over_the_wrap <= WRAP_STEP_MAX { over_the_wrap } else { step }
    }

    /// Serial number comparison (RFC 1982 §3.2); `None` when the two are exactly half a circle apart.
    pub const fn serial_cmp(self, other: Self) -> Option<Ordering> {
        match self.since(other) {
            0 => Some(Ordering::Equal),
            i32::MIN => None,
            distance if distance > 0 => Some(Ordering::Greater),
            _ => Some(Ordering::Less),
        }
    }

    /// Whether `self` is later than `other`, by at most half a circle.
    pub const fn is_after(self, other: Self) -> bool {
        matches!(self.serial_cmp(other), Some(Ordering::Greater))
    }

    /// Whether `self` is earlier than `other`, by at most half a circle.
    pub const fn is_before(self, other: Self) -> bool {
        matches!(self.serial_cmp(other), Some(Ordering::Less))
    }
}

/// Adds milliseconds, modulo 2^32. A delta of `0xFFFF_FFFB` goes back by 5, as some encoders do on purpose.
impl std::ops::Add<u32> for Timestamp {
    type Output = Self;

    fn add(self, milliseconds: u32) -> Self {
        Self(self.0.wrapping_add(milliseconds))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_time_is_after_an_earlier_one_across_the_wrap() {
        assert!(Timestamp(5).is_after(Timestamp(u32::MAX)));
        assert!(Timestamp(u32::MAX).is_before(Timestamp(5)));
        assert_eq!(Timestamp(7).serial_cmp(Timestamp(7)), Some(Ordering::Equal));
    }

    #[test]
    fn opposite_points_of_the_circle_have_no_order() {
        assert_eq!(Timestamp(0).serial_cmp(Timestamp(1 << 31)), None);
        assert!(!Timestamp(0).is_after(Timestamp(1 << 31)));
        assert!(!Timestamp(1 << 31).is_after(Timestamp(0)));
    }

    #[test]
    fn a_large_unsigned_delta_goes_back() {
        assert_eq!(Timestamp(1000) + 0xFFFF_FFFB, Timestamp(995));
    }

    #[test]
    fn the_31_bit_wrap_of_flv_muxers_is_a_small_step_forward() {
        assert_eq!(Timestamp(10).step_from(Timestamp(2_147_483_635)), 23);
        assert_eq!(Timestamp(52).step_from(Timestamp(2_147_483_633)), 67);
        assert_eq!(Timestamp(0x10).step_from(Timestamp(0xFFFF_FFF0)), 32);
    }

    #[test]
    fn ordinary_steps_are_not_taken_for_a_wrap() {
        assert_eq!(Timestamp(995).step_from(Timestamp(1000)), -5);
        assert_eq!(Timestamp(0).step_from(Timestamp(3_600_000)), -3_600_000);
        assert_eq!(Timestamp(1033).step_from(Timestamp(1000)), 33);
    }
}
