//! What a batch adds to the row of each shard: the same sums for every store.

use std::collections::BTreeMap;

use onair_cluster::Shard;

use super::Totals;
use super::rules::Changes;

/// What a batch adds to a shard's row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// The event stored last, if any event of the batch has a number.
    pub(super) position: Option<u64>,
    /// Messages for the outbox.
    pub(super) messages: u64,
    /// What its rooms have broadcast.
    pub(super) totals: Totals,
}

/// Of each shard that the batch touches.
pub(super) fn by_shard(changes: &Changes) -> BTreeMap<Shard, Count> {
    let mut counts: BTreeMap<Shard, Count> = BTreeMap::new();
    for (shard, n) in &changes.positions {
        counts.entry(*shard).or_default().position = Some(*n);
    }
    for outgoing in &changes.messages {
        counts.entry(outgoing.room_id.shard()).or_default().messages += 1;
    }
    for (room, (_, totals)) in &changes.totals {
        counts.entry(room.shard()).or_default().totals.add(totals);
    }
    counts
}
