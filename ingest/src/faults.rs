//! Faults, built in only with the feature `fault-injection`: a publisher that sends the data message `onairFault` makes
//! its own connection panic, in the pump or in the shipped handler of its actor, or the pulls of its room on other nodes.

use onair_codec::{Media, MediaKind};

use crate::connection::FactsChange;

/// Data message bodies that ask for a panic.
const IN_PUMP: &[u8] = b"onairFault:pump";
const IN_HANDLER: &[u8] = b"onairFault:handler";
const IN_PULL: &[u8] = b"onairFault:pull";
/// Facts that no room can have, and that the handler therefore takes for the order to panic.
const PLAYERS: u32 = u32::MAX;

/// Panics if the message says so, or gives what will make the actor's handler panic.
pub(crate) fn in_pump(media: &Media) -> Option<FactsChange> {
    assert!(!says(media, IN_PUMP), "injected fault: pump");
    says(media, IN_HANDLER).then_some(FactsChange { media: None, players: PLAYERS })
}

/// Panics if the message says so.
pub(crate) fn in_pull(media: &Media) {
    assert!(!says(media, IN_PULL), "injected fault: pull");
}

fn says(media: &Media, fault: &[u8]) -> bool {
    media.kind == MediaKind::Data && media.payload.windows(fault.len()).any(|w| w == fault)
}

/// Panics if the facts say so.
pub(crate) fn in_handler(change: &FactsChange) {
    assert!(change.players != PLAYERS, "injected fault: handler");
}
