//! The record of beliefs: from when to when this node held which room to be its own, for tests that look for two believers.
//!
//! One line at level `debug` on target `onair_cluster::belief` for every grant, extension and end; nothing is computed unless
//! somebody listens. Times are nanoseconds since boot, the same for all processes of a machine. A belief that is not extended
//! ends at its `until_ns`, whatever becomes of the process.

use tracing::debug;

use crate::events::SessionCard;
use crate::time::BootTime;

/// A line of the record.
macro_rules! record {
    ($card:expr, $($fields:tt)*) => {
        debug!(
            target: "onair_cluster::belief",
            session_id = %$card.session_id, room_id = %$card.room_id, epoch = $card.epoch.0, node_id = %$card.node_id,
            $($fields)*
        )
    };
}

/// From `from`, when a confirmed answer was applied, the holder believes until `until`.
pub(super) fn believes(card: &SessionCard, from: BootTime, until: BootTime) {
    record!(card, from_ns = from.0, until_ns = until.0, "believes");
}

/// It was fenced, `at` or a moment before: it believes nothing any more.
pub(super) fn stops(card: &SessionCard, at: BootTime) {
    record!(card, at_ns = at.0, "stops believing");
}
