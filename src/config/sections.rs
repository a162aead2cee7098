//! The sections of the configuration and their defaults. docs/onair.toml describes every key; a test keeps the two equal.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use onair_cluster::{NodeId, ProducerId};
use onair_ingest::{IngestConfig, PlayAccess};
use onair_manager::config::HttpLimits;
use serde::{Deserialize, Serialize};

use super::units::{Period, Size};

/// `[node]`: this process and where it keeps things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    /// Who we are in the cluster; the host's name unless set.
    pub(crate) id: Option<NodeId>,
    /// Database, keys and token.
    pub(crate) data_dir: PathBuf,
    /// `host[:port]` in the addresses that producers get; the RTMP listener's unless set.
    pub(crate) media_domain: Option<String>,
    /// `host[:port]` where encoders and players reach this very node; shown to operators.
    pub(crate) advertise: Option<String>,
    /// The producer whose address is printed at start; empty for none.
    pub(crate) demo_producer: String,
    /// Threads that move media, and as many for the rest; as many as processors unless set.
    pub(crate) threads: Option<usize>,
    /// How long a drain may take.
    pub(crate) drain_timeout: Period,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            id: None,
            data_dir: PathBuf::from("./onair-data"),
            media_domain: None,
            advertise: None,
            demo_producer: "demo".to_owned(),
            threads: None,
            drain_timeout: Period::secs(10),
        }
    }
}

impl Node {
    /// The demo producer, if there is to be one.
    pub(crate) fn demo(&self) -> Result<Option<ProducerId>, String> {
        if self.demo_producer.is_empty() {
            return Ok(None);
        }
        ProducerId::parse(&self.demo_producer).map(Some).map_err(|e| e.to_string())
    }
}

/// `[rtmp]`: the sockets of publishers and players, and their bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rtmp {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// From accept to the last byte of the handshake.
    pub(crate) handshake_timeout: Period,
    /// From the handshake to a publish or play request.
    pub(crate) request_timeout: Period,
    /// From the grant to the first media message.
    pub(crate) first_media_timeout: Period,
    /// The longest silence of a publisher that has sent media.
    pub(crate) idle_timeout: Period,
    /// The longest a peer may refuse to read what we write.
    pub(crate) write_timeout: Period,
    /// How long a player waits for a room that is not on air.
    pub(crate) play_wait: Period,
    /// How long players stay when a broadcast fell off air without a goodbye.
    pub(crate) rejoin_wait: Period,
    /// Payload bytes per chunk that we send.
    pub(crate) chunk_size: u32,
    /// All connections of this node.
    pub(crate) connections_max: usize,
    /// Connections of one client address that have not yet been let in.
    pub(crate) pending_per_address_max: usize,
    /// How long what a publisher sends may wait to be read.
    pub(crate) gather_reads: Period,
    /// How long it may wait until it is sent on.
    pub(crate) gather_writes: Period,
    /// Media that one room may keep for its players.
    pub(crate) room_bytes_max: Size,
    /// Who may play.
    pub(crate) play: Play,
}

/// Who may play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Play {
    /// Everyone who knows the room's id.
    #[default]
    Public,
    /// Who shows a token for the room.
    Token,
}

impl Default for Rtmp {
    fn default() -> Self {
        let ingest = IngestConfig::default();
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1935),
            handshake_timeout: Period(ingest.handshake_timeout),
            request_timeout: Period(ingest.request_timeout),
            first_media_timeout: Period(ingest.first_media_timeout),
            idle_timeout: Period(ingest.idle_timeout),
            write_timeout: Period(ingest.write_timeout),
            play_wait: Period(ingest.play_wait),
            rejoin_wait: Period(ingest.rejoin_wait),
            chunk_size: ingest.chunk_size,
            connections_max: ingest.connections_max,
            pending_per_address_max: ingest.pending_per_address_max,
            gather_reads: Period(ingest.gather_reads),
            gather_writes: Period(ingest.gather_writes),
            room_bytes_max: Size::of(ingest.room_bytes_max),
            play: Play::default(),
        }
    }
}

impl Rtmp {
    /// What ingest is told. The protocol's own bounds are not for users to set.
    pub(crate) fn ingest(&self) -> IngestConfig {
        IngestConfig {
            handshake_timeout: self.handshake_timeout.0,
            request_timeout: self.request_timeout.0,
            first_media_timeout: self.first_media_timeout.0,
            idle_timeout: self.idle_timeout.0,
            write_timeout: self.write_timeout.0,
            play_wait: self.play_wait.0,
            rejoin_wait: self.rejoin_wait.0,
            chunk_size: self.chunk_size,
            connections_max: self.connections_max,
            pending_per_address_max: self.pending_per_address_max,
            gather_reads: self.gather_reads.0,
            gather_writes: self.gather_writes.0,
            room_bytes_max: self.room_bytes_max.bytes(),
            play: match self.play {
                Play::Public => PlayAccess::Public,
                Play::Token => PlayAccess::Token,
            },
            ..IngestConfig::default()
        }
    }
}

/// `[http]`: the API's listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The token that may do everything, instead of the data directory's.
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Requests per second of one token.
    pub(crate) requests_per_second: u32,
    /// Requests per second of one address without a good token.
    pub(crate) strangers_per_second: u32,
}

impl Http {
    /// What the Manager is told. The other bounds are not for users to set.
    pub(crate) fn limits(&self) -> HttpLimits {
        HttpLimits {
            requests_per_second: self.requests_per_second,
            strangers_per_second: self.strangers_per_second,
            ..HttpLimits::default()
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        let limits = HttpLimits::default();
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            admin_token_file: None,
            requests_per_second: limits.requests_per_second,
            strangers_per_second: limits.strangers_per_second,
        }
    }
}

/// `[live_keys]`: the addresses that producers get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LiveKeys {
    /// How long a new key opens its room.
    pub(crate) lifetime: Period,
    /// The longest that a request may ask for.
    pub(crate) lifetime_max: Period,
    /// Valid keys a room may have at once.
    pub(crate) per_room_max: usize,
    /// Ed25519 keys whose live keys are good, beside the data directory's.
    pub(crate) public_keys: Vec<String>,
    /// A file with more of them, as a JSON Web Key Set.
    pub(crate) jwks_file: Option<PathBuf>,
    /// The key that signs, instead of the data directory's.
    pub(crate) signing_key_file: Option<PathBuf>,
}

impl Default for LiveKeys {
    fn default() -> Self {
        Self {
            lifetime: Period::days(30),
            lifetime_max: Period::days(366),
            per_room_max: 8,
            public_keys: Vec::new(),
            jwks_file: None,
            signing_key_file: None,
        }
    }
}

/// `[retention]`: how long the database remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    /// Ended sessions and broadcasts.
    pub(crate) history: Period,
    /// Messages of the outbox.
    pub(crate) outbox: Period,
    /// Live keys past their expiry.
    pub(crate) expired_keys: Period,
}

impl Retention {
    /// What the Manager is told.
    pub(crate) fn manager(&self) -> onair_manager::config::Retention {
        onair_manager::config::Retention {
            history: self.history.0,
            outbox: self.outbox.0,
            outbox_is_shipped: false,
            expired_keys: self.expired_keys.0,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        let manager = onair_manager::config::Retention::default();
        Self {
            history: Period(manager.history),
            outbox: Period(manager.outbox),
            expired_keys: Period(manager.expired_keys),
        }
    }
}

/// `[log]`: what is told, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// A level, or directives such as `onair_ingest=debug,info`.
    pub(crate) level: String,
    /// The form of a line.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info,actix_server=warn,ractor=warn".to_owned(), format: LogFormat::Auto }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Text if stderr is a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
