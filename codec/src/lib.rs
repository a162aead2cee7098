//! onair-codec: RTMP on paper. Bytes in, events out; no sockets, no clock, no randomness.

mod address;
mod amf;
pub mod amf0;
pub mod amf3;
pub mod chunk;
mod error;
pub mod flv;
pub mod handshake;
mod limits;
mod media;
pub mod message;
pub mod peer;
mod rate;
mod secret;
mod timestamp;

pub use address::{Query, StreamAddress};
pub use chunk::{ExtendedTimestamps, media_to_wire};
pub use error::{ChunkError, HandshakeError, PeerError};
pub use limits::Limits;
pub use media::{Media, MediaKind};
pub use peer::{
    Capabilities, ClientAction, ClientConfig, ClientEvent, ClientPeer, Close, ConnectInfo, Counters, Event,
    FourCcSupport, Input, NotPublishing, Output, PlayEnding, PlayRequest, PlayStart, PublishKind,
    PublishRequest, RequestError, RequestId, ServerConfig, ServerPeer, Status,
};
pub use secret::Secret;
pub use timestamp::Timestamp;
