//! The names of things: newtypes that are parsed once, where they enter, and trusted from then on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct IdError(&'static str);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, extra: $extra:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and alphabet.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let ok: fn(u8) -> bool = $ok;
                // "." and ".." mean something else in every URL and path.
                let is_dots = text.bytes().all(|b| b == b'.');
                if is_dots || text.len() > $max || !text.bytes().all(ok) {
                    let rule = concat!("a ", $what, " is 1 to ", $max, " characters of A-Z a-z 0-9 _ -", $extra);
                    return Err(IdError(rule));
                }
                Ok(Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

const fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

text_id! {
    /// A producer's channel, one per producer, lasting. What viewers address.
    RoomId, "room id", 64, extra: "", word
}
text_id! {
    /// A person or account that broadcasts, named by the platform.
    ProducerId, "producer id", 128, extra: " . : @ +", |b| word(b) || matches!(b, b'.' | b':' | b'@' | b'+')
}
text_id! {
    /// One Onair process; the pod's name on Kubernetes.
    NodeId, "node id", 128, extra: " .", |b| word(b) || b == b'.'
}
text_id! {
    /// The `jti` of a live key: the room's shard as two digits, then random characters. Safe to log.
    LiveKeyId, "live key id", 64, extra: "", word
}

impl RoomId {
    /// A new room id of 128 random bits, in Crockford-like lower-case base 32.
    pub fn random() -> Self {
        Self(random_text(26).into())
    }

    /// The shard this room lives in.
    pub fn shard(&self) -> Shard {
        Shard::of(self.as_str())
    }
}

impl LiveKeyId {
    /// A new id for a key of `room`: its shard, then 120 random bits.
    pub fn random(room: &RoomId) -> Self {
        Self(format!("{}{}", room.shard(), random_text(24)).into())
    }

    /// The shard written in the id, if it is one.
    pub fn shard(&self) -> Option<Shard> {
        self.as_str().get(..2).and_then(|digits| digits.parse().ok()).and_then(Shard::new)
    }
}

/// `len` characters of five random bits each.
fn random_text(len: usize) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut rng = rand::rng();
    (0..len).map(|_| char::from(ALPHABET[usize::from(rng.random::<u8>() & 31)])).collect()
}

/// One of the 64 partitions of the registry. A room's shard never changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Shard(u8);

impl Shard {
    /// How many there are, in every cluster.
    pub const COUNT: u8 = 64;

    /// The shard with this number, if there is one.
    pub const fn new(number: u8) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The shard of a room id: the 64-bit FNV-1a hash of its bytes, its high and low halves folded by XOR, modulo 64.
    /// Fixed for ever, since rooms live where it says; test vectors below.
    pub fn of(room: &str) -> Self {
        let hash = room
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
        Self(u8::try_from(folded % u64::from(Self::COUNT)).unwrap_or(0))
    }

    /// Its number, below [`Shard::COUNT`].
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its number as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All shards, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

impl TryFrom<u8> for Shard {
    type Error = &'static str;
    fn try_from(number: u8) -> Result<Self, &'static str> {
        Self::new(number).ok_or("a shard is 0 to 63")
    }
}
impl From<Shard> for u8 {
    fn from(shard: Shard) -> Self {
        shard.0
    }
}
impl fmt::Display for Shard {
    /// Two digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}
impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{:02}", self.0)
    }
}

/// One granted publish, for all time: 128 random bits made by the node. Its identity; [`Epoch`] is its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(pub u128);

impl SessionId {
    /// A new random id.
    pub fn random() -> Self {
        Self(rand::rng().random())
    }
}
impl fmt::Display for SessionId {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for SessionId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = IdError("a session id is 32 hexadecimal digits");
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| bad)
    }
}
impl TryFrom<String> for SessionId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}
impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.to_string()
    }
}

/// The fencing token of a room: rises with every grant and travels with every event, row and pull. Microseconds of the
/// registry's clock, or one more than the last, whichever is higher; so it stays below 2^53 and survives JSON and Lua.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rooms_shard_is_fixed_for_ever() {
        // Vectors: any implementation, in any language, must agree.
        for (room, shard) in SHARD_VECTORS {
            assert_eq!(Shard::of(room).number(), *shard, "{room}");
        }
    }

    const SHARD_VECTORS: &[(&str, u8)] =
        &[("", 1), ("a", 0), ("room-42", 34), ("demo", 49), ("0123456789abcdefghjkmnpqrs", 20)];

    #[test]
    fn rooms_spread_over_all_shards() {
        let mut counts = [0_u32; 64];
        for n in 0..64_000 {
            counts[Shard::of(&format!("room-{n}")).index()] += 1;
        }
        assert!(counts.iter().all(|c| (800..1200).contains(c)), "{counts:?}");
    }

    #[test]
    fn a_live_key_id_starts_with_its_rooms_shard() {
        let room = RoomId::random();
        let key = LiveKeyId::random(&room);
        assert_eq!(key.shard(), Some(room.shard()));
        assert_eq!(LiveKeyId::parse("99abc").ok().and_then(|k| k.shard()), None);
    }

    #[test]
    fn ids_refuse_what_could_break_a_path_or_a_key() {
        for bad in ["", "a/b", "a b", "..", "{s00}", "a\0", "é", &"x".repeat(65)] {
            assert!(RoomId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(RoomId::parse(&"x".repeat(64)).is_ok());
        assert!(ProducerId::parse("user:42@example.com").is_ok());
        for bad in ["", ".", "..", "a/b"] {
            assert!(ProducerId::parse(bad).is_err() && NodeId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            RoomId::parse("").map_err(|e| e.to_string()),
            Err("a room id is 1 to 64 characters of A-Z a-z 0-9 _ -".to_owned())
        );
        assert!("0f".parse::<SessionId>().is_err());
        assert!("+0000000000000000000000000000001".parse::<SessionId>().is_err());
        let id = SessionId::random();
        assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
    }
}
