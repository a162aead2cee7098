//! Filter: which events a client of the feed wants.

use onair_cluster::{NodeId, ProducerId, RoomId};

use super::told::Told;

/// Wants what fits everything it names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) room: Option<RoomId>,
    pub(crate) producer: Option<ProducerId>,
    pub(crate) node: Option<NodeId>,
    pub(crate) kind: Option<&'static str>,
}

/// The types of events, and their short names.
const KINDS: [(&str, &str); 2] =
    [("onair.broadcast.started.v1", "broadcast.started"), ("onair.broadcast.ended.v1", "broadcast.ended")];

/// A type of event, by its full or its short name.
pub(crate) fn kind(name: &str) -> Option<&'static str> {
    KINDS.iter().find(|(full, short)| name == *full || name == *short).map(|(full, _)| *full)
}

impl Filter {
    pub(crate) fn wants(&self, told: &Told) -> bool {
        self.room.as_ref().is_none_or(|room| *room == told.room)
            && self.producer.as_ref().is_none_or(|producer| producer.as_str() == told.producer)
            && self.node.as_ref().is_none_or(|node| node.as_str() == told.node)
            && self.kind.is_none_or(|kind| kind == told.kind)
    }
}
