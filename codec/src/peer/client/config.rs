//! What a [`ClientPeer`](crate::ClientPeer) is told to do, and what it tells of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::limits::Limits;
use crate::media::Media;
use crate::secret::Secret;

/// What a [`ClientPeer`](crate::ClientPeer) wants of a server, and how. `Debug` shows no part of the address.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Bounds on the server.
    pub limits: Arc<Limits>,
    /// The app to connect to.
    pub app: String,
    /// The address without the stream name, `rtmp://host[:port]/app`.
    pub tc_url: String,
    /// Our agent.
    pub flash_version: String,
    /// What to do once connected.
    pub action: ClientAction,
    /// Payload bytes of the chunks we send, 1 to 0xFFFFFF. Announced before `connect`.
    pub chunk_size: u32,
    /// After how many bytes we, as a player, want acknowledgements.
    pub window_ack_size: u32,
    /// Time for the whole handshake, from the connection on.
    pub handshake_timeout: Duration,
    /// Time until the publish or play is granted, from the connection on.
    pub request_timeout: Duration,
}

/// What to do once connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAction {
    /// Publish live.
    Publish {
        /// The stream name, which for a broadcast address is the live key.
        name: Secret,
    },
    /// Play live.
    Play {
        /// The stream name.
        name: Secret,
    },
}

impl ClientConfig {
    /// A configuration with default bounds and times.
    pub fn new(app: impl Into<String>, tc_url: impl Into<String>, action: ClientAction) -> Self {
        Self {
            limits: Arc::default(),
            app: app.into(),
            tc_url: tc_url.into(),
            flash_version: "FMLE/3.0 (compatible; Onair)".to_owned(),
            action,
            chunk_size: 60_000,
            window_ack_size: 2_500_000,
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("limits", &self.limits)
            .field("app_bytes", &self.app.len())
            .field("tc_url_bytes", &self.tc_url.len())
            .field("flash_version", &self.flash_version)
            .field("action", &self.action)
            .field("chunk_size", &self.chunk_size)
            .field("window_ack_size", &self.window_ack_size)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

/// What a [`ClientPeer`](crate::ClientPeer) tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server accepted our `connect`.
    Connected,
    /// Publishing or playing has begun.
    Started,
    /// The server refused us; [`Output::Close`](crate::Output::Close) follows.
    Refused {
        /// Its code, for instance `NetStream.Publish.BadName`; empty when it gave none.
        code: String,
        /// Its words.
        description: String,
    },
    /// A media message of what we play.
    Media(Media),
    /// The server says that what we publish or play is over. It may go on to close, or stay.
    Ended {
        /// Its code, for instance `NetStream.Play.UnpublishNotify`.
        code: String,
    },
}

/// Media was sent before the server granted the publish, or after its end. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not publishing")]
pub struct NotPublishing;
