//! Positions: how far the feed has been read, one number per shard; its text is the id of an event.
//!
//! A vector, since each shard numbers its messages for itself and no order between shards is promised. The text is base64url
//! (RFC 4648 §5, unpadded) of a version byte and 64 LEB128 numbers: `CHARS_MIN` to [`CHARS_MAX`] characters. It means the
//! same to every Manager of the cluster.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onair_cluster::Shard;

const SHARDS: usize = Shard::COUNT as usize;
const VERSION: u8 = 1;
/// SQL's integers are signed.
const SEQ_MAX: u64 = i64::MAX as u64;
/// Seven bits a byte.
const SEQ_BYTES_MAX: usize = 9;
const BYTES_MAX: usize = 1 + SHARDS * SEQ_BYTES_MAX;
/// The shortest id: 65 bytes.
#[cfg(test)]
const CHARS_MIN: usize = chars_of(1 + SHARDS);
/// The longest id: 577 bytes. After a million events in each shard it has 258 characters.
const CHARS_MAX: usize = chars_of(BYTES_MAX);

const fn chars_of(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The number of the last message read, of each shard; 0 before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Positions([u64; SHARDS]);

impl Positions {
    /// Before everything.
    pub(crate) const START: Self = Self([0; SHARDS]);

    pub(crate) fn of(&self, shard: Shard) -> u64 {
        self.0[shard.index()]
    }

    /// The message numbered `seq` has been read. Numbers beyond SQL's are no message's.
    pub(crate) fn advance(&mut self, shard: Shard, seq: u64) {
        self.0[shard.index()] = seq.min(SEQ_MAX);
    }

    /// The shards in which these are behind `others`.
    pub(crate) fn behind<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = Shard> + 'a {
        Shard::all().filter(|shard| self.of(*shard) < others.of(*shard))
    }

    /// The id that stands for them.
    pub(crate) fn to_id(&self) -> String {
        let mut bytes = Vec::with_capacity(BYTES_MAX);
        bytes.push(VERSION);
        for mut seq in self.0 {
            while seq > 0x7f {
                bytes.push(seq.to_le_bytes()[0] | 0x80);
                seq >>= 7;
            }
            bytes.push(seq.to_le_bytes()[0]);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What an id stands for, if [`Self::to_id`] could have made it.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        if id.len() > CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let mut rest = bytes.as_slice().strip_prefix(&[VERSION])?;
        let mut positions = Self::START;
        for place in &mut positions.0 {
            *place = take_seq(&mut rest)?;
        }
        rest.is_empty().then_some(positions)
    }
}

/// The next number, in its only and shortest form.
fn take_seq(bytes: &mut &[u8]) -> Option<u64> {
    let mut seq = 0;
    for place in 0..SEQ_BYTES_MAX {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        seq |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let is_shortest = *byte != 0 || place == 0;
            return is_shortest.then_some(seq);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shard(number: u8) -> Shard {
        Shard::new(number).unwrap()
    }

    #[test]
    fn ids_are_as_long_as_they_are_said_to_be() {
        assert_eq!(Positions::START.to_id().len(), CHARS_MIN);
        assert_eq!(Positions([SEQ_MAX; SHARDS]).to_id().len(), CHARS_MAX);
        assert_eq!(Positions([1_000_000; SHARDS]).to_id().len(), 258);
        assert_eq!((CHARS_MIN, CHARS_MAX), (87, 770));
    }

    /// Consumers keep ids for days, over upgrades: the form never changes without a new version byte.
    #[test]
    fn the_form_is_fixed() {
        let mut positions = Positions::START;
        positions.advance(shard(0), 1);
        positions.advance(shard(1), 300);
        positions.advance(shard(63), 127);
        let id = format!("AQGsAg{}B_", "A".repeat(80));
        assert_eq!(positions.to_id(), id);
        assert_eq!(Positions::parse(&id), Some(positions));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let good = Positions::START.to_id();
        let of = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut bytes = [0; 1 + SHARDS];
        bytes[0] = VERSION;
        assert_eq!(of(&bytes), good);
        let mut later = bytes;
        later[0] = 2;
        let mut longer = bytes.to_vec();
        longer.push(0);
        let mut overlong = bytes.to_vec();
        overlong.splice(1..2, [0x80, 0x00]);
        let mut too_large = bytes.to_vec();
        too_large.splice(1..2, [0xff; 9].into_iter().chain([0x01]));
        let mut unended = bytes.to_vec();
        unended[SHARDS] = 0x80;
        for bad in [&later[..], &bytes[..SHARDS], &longer, &overlong, &too_large, &unended, &[]] {
            assert_eq!(Positions::parse(&of(bad)), None, "{bad:?}");
        }
        for bad in
            ["", " ", "42", "é", "AQ==", &format!("{good}="), &format!(" {good}"), &"A".repeat(100_000)]
        {
            assert_eq!(Positions::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn behind_is_shard_by_shard() {
        let (mut a, mut b) = (Positions::START, Positions::START);
        a.advance(shard(3), 5);
        b.advance(shard(4), 1);
        assert_eq!(a.behind(&b).collect::<Vec<_>>(), [shard(4)]);
        assert_eq!(b.behind(&a).collect::<Vec<_>>(), [shard(3)]);
        assert_eq!(a.behind(&a).count(), 0);
    }

    proptest! {
        #[test]
        fn every_position_survives_its_id(seqs in proptest::collection::vec(0..=SEQ_MAX, SHARDS)) {
            let positions = Positions(seqs.try_into().unwrap());
            prop_assert_eq!(Positions::parse(&positions.to_id()), Some(positions));
        }

        #[test]
        fn no_text_panics_and_each_position_has_one_id(text in ".{0,800}") {
            if let Some(positions) = Positions::parse(&text) {
                prop_assert_eq!(positions.to_id(), text);
            }
        }

        #[test]
        fn no_bytes_panic_and_each_position_has_one_id(mut bytes in proptest::collection::vec(any::<u8>(), 1..600)) {
            bytes[0] = VERSION;
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            if let Some(positions) = Positions::parse(&text) {
                prop_assert_eq!(positions.to_id(), text);
            }
        }

        #[test]
        fn one_changed_character_is_refused_or_another_position(place in 0_usize..CHARS_MIN, with in "[A-Za-z0-9_-]") {
            let good = Positions::START.to_id();
            let mut bad = good.clone();
            bad.replace_range(place..=place, &with);
            if let Some(positions) = Positions::parse(&bad) {
                prop_assert_eq!(positions.to_id(), bad);
            }
        }
    }
}
