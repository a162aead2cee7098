//! Why a connection stops: the hinge between what happened on a socket and what streamer, Live DB, log and metric are told.

use onair_cluster::events::EndReason;
use onair_codec::{PeerError, Status};

/// Why a connection stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The peer closed or reset the socket.
    PeerClosed,
    /// It said all it had to say: it unpublished, or stopped playing, and closed.
    Finished,
    /// No complete handshake in time.
    HandshakeTimeout,
    /// Neither publish nor play in time.
    RequestTimeout,
    /// Granted, but no media came.
    FirstMediaTimeout,
    /// Media stopped coming.
    IdleTimeout,
    /// The peer does not read what we write.
    WriteTimeout,
    /// It broke the protocol.
    Protocol(PeerError),
    /// What it asked for was refused.
    Refused(&'static str),
    /// Somebody with the right to told the session to end.
    Ordered(EndReason),
    /// A newer session has the room.
    Superseded,
    /// The registry gave the lease to someone else, or ended it.
    Lost,
    /// The registry was away for longer than a session is ridden out.
    Unconfirmed,
    /// The session was as long as its key allows.
    MaxDuration,
    /// The session sent more than its key allows.
    MaxBitrate,
    /// What it played is over.
    PlayEnded,
    /// What it wanted to play never came.
    PlayNotFound,
    /// The node shuts down.
    Drain,
    /// Our own fault.
    Crash,
}

impl StopReason {
    /// What a session that ends with its connection is recorded as.
    pub(crate) const fn end_reason(&self) -> EndReason {
        match self {
            Self::Finished => EndReason::Unpublished,
            Self::PeerClosed | Self::HandshakeTimeout | Self::RequestTimeout | Self::Refused(_) => {
                EndReason::Disconnected
            }
            Self::FirstMediaTimeout | Self::IdleTimeout | Self::WriteTimeout => EndReason::Timeout,
            Self::Protocol(_) => EndReason::ProtocolError,
            Self::Ordered(reason) => *reason,
            Self::Superseded => EndReason::Superseded,
            Self::Lost => EndReason::Lost,
            Self::Unconfirmed => EndReason::Unconfirmed,
            Self::MaxDuration | Self::MaxBitrate | Self::PlayEnded | Self::PlayNotFound => EndReason::Policy,
            Self::Drain => EndReason::Drain,
            Self::Crash => EndReason::Crash,
        }
    }

    /// A label from a closed set, for metrics and logs.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::Finished => "finished",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::FirstMediaTimeout => "first_media_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Protocol(_) => "protocol_error",
            Self::Refused(_) => "refused",
            Self::Ordered(_) => "ordered",
            Self::Superseded => "superseded",
            Self::Lost => "lost",
            Self::Unconfirmed => "unconfirmed",
            Self::MaxDuration => "max_duration",
            Self::MaxBitrate => "max_bitrate",
            Self::PlayEnded => "play_ended",
            Self::PlayNotFound => "play_not_found",
            Self::Drain => "drain",
            Self::Crash => "crash",
        }
    }

    /// What a publisher is told before the socket is closed. OBS shows nothing after its start, FFmpeg prints the text.
    pub(crate) const fn status(&self) -> Status {
        match self {
            Self::Superseded | Self::Lost => Status::PublishBadName,
            // With the same settings it would only be cut again.
            Self::Ordered(_) | Self::MaxBitrate => Status::PublishDenied,
            _ => Status::PublishRejected,
        }
    }

    /// Whether the room's players need not wait for the publisher to come back.
    pub(crate) const fn is_for_good(&self) -> bool {
        matches!(self, Self::Finished | Self::Ordered(_) | Self::MaxDuration)
    }
}
