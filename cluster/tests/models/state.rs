//! A moment of the world: what servers, nodes and the viewer know, what is on its way between them, and what has happened.

use crate::registry::{Answer, Data, Op, SessionId};

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: u8,
    pub(crate) servers: Vec<Server>,
    pub(crate) primary: usize,
    /// A primary of the past that still serves the first node.
    pub(crate) stale: Option<usize>,
    pub(crate) is_away: bool,
    pub(crate) nodes: [Node; 2],
    pub(crate) left: Left,
    /// Sessions that were ever believed in, as bits, and the highest of their epochs.
    pub(crate) believed: u16,
    pub(crate) epoch: u8,
    /// The highest epoch that the viewer has seen.
    pub(crate) seen: u8,
    pub(crate) told: Told,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) data: Data,
    /// How much it has written; replicas copy this with the data.
    pub(crate) offset: u8,
    pub(crate) is_up: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) started: u8,
    pub(crate) claiming: Option<SessionId>,
    pub(crate) session: Option<Session>,
    /// A session given back, until the registry has said so.
    pub(crate) ending: Option<(SessionId, u8)>,
    pub(crate) call: Option<Call>,
    /// A request that was given up and is still on its way.
    pub(crate) stray: Option<Op>,
    pub(crate) is_frozen: bool,
    pub(crate) is_wanted: bool,
    pub(crate) failures: u8,
    pub(crate) answered_at: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) epoch: u8,
    pub(crate) believe_until: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) op: Op,
    pub(crate) sent: u8,
    pub(crate) done: Option<Done>,
}

/// Executed, with the answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Done {
    pub(crate) answer: Answer,
    pub(crate) server: usize,
    pub(crate) offset: u8,
    pub(crate) is_confirmed: bool,
}

/// How often each fault may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) failovers: u8,
    pub(crate) partitions: u8,
    pub(crate) losses: u8,
    pub(crate) strays: u8,
    pub(crate) freezes: u8,
    pub(crate) crashes: u8,
    pub(crate) outages: u8,
    pub(crate) wipes: u8,
}

/// What happened that must not, or should be possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    pub(crate) epochs_fell: bool,
    pub(crate) viewer_went_back: bool,
    pub(crate) has_risen: bool,
    pub(crate) was_wronged: bool,
    pub(crate) has_adopted: bool,
    pub(crate) has_yielded: bool,
}
