//! Events: what a [`ServerPeer`](crate::ServerPeer) tells its application.

use super::Capabilities;
use crate::address::StreamAddress;
use crate::media::Media;
use crate::secret::Secret;

/// Something a client did that the application must know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The client connected to an app, and was told that it may.
    Connected(Box<ConnectInfo>),
    /// The client asks to publish. Answer with `accept` or `reject`; until then its media is dropped.
    PublishRequested(Box<PublishRequest>),
    /// The client asks to play. Answer with `accept` or `reject`.
    PlayRequested(Box<PlayRequest>),
    /// A media message of the accepted publish.
    Media(Media),
    /// The publisher said goodbye (or withdrew a request that was not answered yet). The connection stays.
    Unpublished(RequestId),
    /// The player stopped (or withdrew a request that was not answered yet). The connection stays.
    PlayStopped(RequestId),
    /// The player paused or went on, and was told that it did.
    Paused {
        /// Which play.
        request: RequestId,
        /// True when it paused.
        paused: bool,
    },
    /// The player wants audio, or wants none.
    ReceiveAudio {
        /// Which play.
        request: RequestId,
        /// True when it wants it.
        wanted: bool,
    },
    /// The player wants video, or wants none.
    ReceiveVideo {
        /// Which play.
        request: RequestId,
        /// True when it wants it.
        wanted: bool,
    },
}

/// Names one publish or play request of one connection. Never used twice on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub(super) u32);

/// What a client says of itself in `connect`.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectInfo {
    /// The app as sent, query included.
    pub app: Secret,
    /// The address the client was given; empty when it did not say.
    pub tc_url: Secret,
    /// The client's agent, lossy UTF-8, at most [`AGENT_BYTES_MAX`] bytes.
    pub flash_version: String,
    /// AMF version that the client asked for: 0 or 3. We always answer 0.
    pub object_encoding: u8,
    /// What the client can do of Enhanced RTMP.
    pub capabilities: Capabilities,
}

/// An agent is a label for people; what is beyond this many bytes is cut.
pub const AGENT_BYTES_MAX: usize = 256;

/// A wish to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// To be named in the answer.
    pub request: RequestId,
    /// The message stream it was sent on.
    pub message_stream_id: u32,
    /// What it wants to publish to. The name may be empty.
    pub address: StreamAddress,
    /// How it wants to publish.
    pub kind: PublishKind,
}

/// The type argument of `publish` (RTMP 1.0 §7.2.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishKind {
    /// Live; also anything that is not one of the others.
    Live,
    /// Live and recorded anew.
    Record,
    /// Live and appended to the recording.
    Append,
}

/// A wish to play.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayRequest {
    /// To be named in the answer.
    pub request: RequestId,
    /// The message stream it was sent on, and on which it wants media.
    pub message_stream_id: u32,
    /// What it wants to play. The name may be empty.
    pub address: StreamAddress,
    /// Where to begin.
    pub start: PlayStart,
    /// Whether an earlier play on this message stream is to be flushed; then the client is told of the reset.
    pub reset: bool,
}

/// The start argument of `play` (RTMP 1.0 §7.2.2.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PlayStart {
    /// Live: missing, or any negative number. The specification says −2 and −1, players send −2000 and −1000.
    Live,
    /// This many seconds into a recording. Finite.
    Seconds(f64),
}
