//! The work of shards: read their events from the registry ([`reader`]), store them in order ([`lane`]).
//!
//! A *lane* is a set of shards that one task works through in order. With SQLite there is one lane for all 64, since there
//! is one writer: what waits in any shard goes into the same transaction.

pub(crate) mod lane;
pub(crate) mod reader;

use onair_cluster::Shard;

/// Which shards each lane has.
pub(crate) fn lanes() -> Vec<Vec<Shard>> {
    vec![Shard::all().collect()]
}
