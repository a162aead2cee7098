//! Which slot of a Redis Cluster a hash tag falls into. All keys of a shard share the tag `{sNN}`, so a shard lives on one
//! primary; without a Cluster there is one primary for all.

use crate::ids::Shard;

/// Slots of a Redis Cluster.
pub(super) const SLOTS: u16 = 16_384;

/// What of ours lives together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// Keys, leases, holds and events of a shard: `{sNN}`.
    Shard(Shard),
    /// The nodes: `{nodes}`.
    Nodes,
    /// Whose Redis this is: `{onair}`.
    Onair,
}

impl Tag {
    pub(super) const COUNT: usize = Shard::COUNT as usize + 2;

    pub(super) fn all() -> impl Iterator<Item = Self> {
        Shard::all().map(Self::Shard).chain([Self::Nodes, Self::Onair])
    }

    /// Below [`Tag::COUNT`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Shard(shard) => shard.index(),
            Self::Nodes => Self::COUNT - 2,
            Self::Onair => Self::COUNT - 1,
        }
    }

    /// The slot of the keys with this tag. Redis Cluster specification, "Hash tags".
    pub(super) fn slot(self) -> u16 {
        let tag = match self {
            Self::Shard(shard) => format!("s{shard}"),
            Self::Nodes => "nodes".to_owned(),
            Self::Onair => "onair".to_owned(),
        };
        crc16(tag.as_bytes()) % SLOTS
    }
}

/// CRC16-CCITT (XMODEM): polynomial 0x1021, from zero. Redis Cluster specification, appendix A.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The specification's own vector, then what `CLUSTER KEYSLOT` says.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b"foo") % SLOTS, 12_182);
        assert_eq!(crc16(b"somekey") % SLOTS, 11_058);
    }

    #[test]
    fn every_tag_has_an_index_of_its_own() {
        let indices: Vec<_> = Tag::all().map(Tag::index).collect();
        assert_eq!(indices, (0..Tag::COUNT).collect::<Vec<_>>());
    }
}
