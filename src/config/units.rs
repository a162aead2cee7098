//! Durations and sizes as people write them: `10s`, `4MiB`. A bare number is refused, since its unit would be a guess.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time, written as a whole number and one unit: `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Period(pub(crate) Duration);

/// A number of bytes, written as a whole number and one unit: `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Size(pub(crate) u64);

/// Largest first, so that printing takes the largest that divides.
const PERIOD_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

const PERIOD_EXPECTED: &str = "a duration with its unit, such as \"10s\" (ms, s, m, h, d)";
const SIZE_EXPECTED: &str = "a size with its unit, such as \"4MiB\" (B, KiB, MiB, GiB)";

impl Period {
    /// So many seconds.
    pub(crate) const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many days.
    pub(crate) const fn days(days: u64) -> Self {
        Self::secs(days * 86_400)
    }
}

impl Size {
    /// The size of so many bytes in memory.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// As a length in memory; what does not fit is the most that does.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A whole number followed by one of `units`, as a multiple of the smallest.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that leaves a whole number.
fn write(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = units.iter().find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor));
    let (name, factor) = fits.or_else(|| units.last()).copied().unwrap_or(("", 1));
    write!(f, "{}{name}", amount / factor)
}

impl FromStr for Period {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, &PERIOD_UNITS).map(|ms| Self(Duration::from_millis(ms))).ok_or(PERIOD_EXPECTED)
    }
}

impl FromStr for Size {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, &SIZE_UNITS).map(Self).ok_or(SIZE_EXPECTED)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &PERIOD_UNITS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZE_UNITS)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(TextOf { expected: PERIOD_EXPECTED, read: str::parse })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(TextOf { expected: SIZE_EXPECTED, read: str::parse })
    }
}

/// Reads a text and says, of anything else, what was expected.
struct TextOf<T> {
    expected: &'static str,
    read: fn(&str) -> Result<T, &'static str>,
}

impl<T> Visitor<'_> for TextOf<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        for text in ["10s", "1500ms", "90s", "5m", "24h", "30d", "0ms"] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string().parse(), Ok(period), "{text}");
        }
        for text in ["0B", "1000B", "64KiB", "4MiB", "2GiB"] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.to_string(), text);
        }
        assert_eq!(Period::secs(86_400).to_string(), "1d");
    }

    #[test]
    fn a_number_without_its_unit_is_refused() {
        for text in ["10", "", "s", "1.5s", "-1s", "10 parsecs", "10sec", "99999999999999999999d"] {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
        for text in ["4096", "4MB", "4mib", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }
}
