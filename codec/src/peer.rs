//! Peers: the two ends of an RTMP connection as state machines without sockets, clocks or randomness.
//!
//! **One mutation, then drain.** After `new` and after every call that takes `&mut self` (`handle`, `accept`,
//! `send_media`, …) call `poll_output` until it returns `None`, before the next mutation. Then ask `poll_timeout`
//! when to call `handle` with [`Input::Timeout`], should no bytes arrive before.
//!
//! Outputs come in this order: what to transmit, in one piece; events; [`Output::Close`] last. After a `Close`, or
//! after `handle` returned an error, the peer takes no more input, and nothing comes out but what was left to drain.
//!
//! *Now* is what the caller passes in. It must not go backwards; a peer never asks a clock.

mod capabilities;
pub(crate) mod client;
mod events;
mod link;
pub(crate) mod server;
mod state;
mod status;

use std::fmt;

use bytes::Bytes;

pub use capabilities::{Capabilities, FourCcSupport};
pub use client::{ClientAction, ClientConfig, ClientEvent, ClientPeer, NotPublishing};
pub use events::{
    AGENT_BYTES_MAX, ConnectInfo, Event, PlayRequest, PlayStart, PublishKind, PublishRequest, RequestId,
};
pub use server::{Counters, PlayEnding, RequestError, ServerConfig, ServerPeer};
pub use status::Status;

/// All that can happen to a peer from outside. `Debug` shows the number of bytes only: they may hold a live key.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// These bytes arrived. They are consumed as a whole.
    Bytes(&'a [u8]),
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// All that a peer wants done. `Debug` shows the number of bytes only: they may hold a live key.
#[derive(Clone, PartialEq)]
pub enum Output<E = Event> {
    /// Send these bytes.
    Transmit(Bytes),
    /// Something happened that the application must know.
    Event(E),
    /// We are done with the other side. Flush what was transmitted, then close our half and leave the other side a
    /// second or two to read it: a reset would destroy a status that it has not read yet.
    Close(Close),
}

/// Why a peer is done, where nobody broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Close {
    /// The handshake was not finished in time.
    HandshakeTimeout,
    /// No publish or play was requested (by a client) or granted (to us) in time.
    RequestTimeout,
    /// We refused the connection, the publish or the play, and have said why.
    Rejected,
    /// The other side refused us.
    Refused,
    /// The other side said that it closes.
    PeerClosed,
    /// A play came to its end.
    PlayEnded,
    /// We unpublished, and have said so.
    Unpublished,
}

impl Close {
    /// A label from a closed set, for metrics.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::HandshakeTimeout => "handshake_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::PeerClosed => "peer_closed",
            Self::PlayEnded => "play_ended",
            Self::Unpublished => "unpublished",
        }
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Timeout => f.write_str("Timeout"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Output<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transmit(bytes) => write!(f, "Transmit({} bytes)", bytes.len()),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
            Self::Close(close) => f.debug_tuple("Close").field(close).finish(),
        }
    }
}
