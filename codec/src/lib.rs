//! onair-codec: RTMP on paper. Bytes in, events out; no sockets, no clock, no randomness.
//!
//! The crate holds what two RTMP peers say to each other, and nothing of how the bytes travel. A [`ServerPeer`] is fed
//! with bytes and the time, and is asked what to send, what happened, and when it wants to be woken; a [`ClientPeer`]
//! is the other end. Below them lie, each of use by itself: [`handshake`], [`chunk`] (bytes to messages and back),
//! [`message`] (commands, control, data), [`amf0`] and [`amf3`] (values), [`flv`] (what an audio or video message
//! holds, without decoding it).
//!
//! **One mutation, then drain**: after every call that changes a peer, call `poll_output` until it returns `None`.
//!
//! # A publish, told from both ends
//!
//! ```
//! use onair_codec::{
//!     ClientAction, ClientConfig, ClientPeer, Event, Input, Media, MediaKind, Output, ServerConfig, ServerPeer, Timestamp,
//! };
//! # use std::time::Instant;
//!
//! let now = Instant::now();
//! let action = ClientAction::Publish { name: "live-key".into() };
//! let mut client = ClientPeer::new(ClientConfig::new("room", "rtmp://localhost/room", action), [1; 32], now);
//! let mut server = ServerPeer::new(ServerConfig::default(), [2; 32], now);
//! let frame = Media { kind: MediaKind::Video, timestamp: Timestamp(40), payload: vec![0x17, 1, 0, 0, 0].into() };
//!
//! let (mut received, mut published) = (None, false);
//! while received.is_none() {
//!     while let Some(output) = client.poll_output() {
//!         if let Output::Transmit(bytes) = output {
//!             server.handle(now, Input::Bytes(&bytes))?; // in real life: socket, network, socket
//!         }
//!     }
//!     while let Some(output) = server.poll_output() {
//!         match output {
//!             Output::Transmit(bytes) => client.handle(now, Input::Bytes(&bytes))?,
//!             Output::Event(Event::PublishRequested(asked)) if asked.address.name.expose() == b"live-key" => {
//!                 server.accept(asked.request)?; // or `reject`, with a reason that people will read
//!             }
//!             Output::Event(Event::Media(media)) => received = Some(media),
//!             Output::Event(_) | Output::Close(_) => {}
//!         }
//!     }
//!     if !published {
//!         published = client.send_media(&frame).is_ok(); // refused until the server has granted the publish
//!     }
//! }
//! assert_eq!(received, Some(frame));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! - Bad input ends a connection with a [`PeerError`], or is ignored and counted. A panic would be our bug.
//! - Every bound is in [`Limits`] and is checked before memory is reserved. Memory follows the bytes that arrived, never
//!   those that were announced.
//! - Names, addresses and what may hold them are [`Secret`]: no `Debug`, `Display` or error text shows a live key.

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
