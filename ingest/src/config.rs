//! What an operator may set about ingest: every bound and timeout, with its reason and a safe default.

use std::sync::Arc;
use std::time::Duration;

use onair_codec::Limits;

use crate::relay::Network;

/// Who may play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlayAccess {
    /// Everyone who knows the room's id.
    #[default]
    Public,
    /// Who shows a token for the room.
    Token,
}

/// Settings of one ingest node. Plain data: the program parses and validates it before anything is bound.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestConfig {
    /// C0 to C2. An absolute deadline, not one per read: a peer that drips bytes gains nothing. 10 s.
    pub handshake_timeout: Duration,
    /// From the handshake's end to the first publish or play. 15 s.
    pub request_timeout: Duration,
    /// From `NetStream.Publish.Start` to the first media message. 20 s, as long as an encoder may need to warm up.
    pub first_media_timeout: Duration,
    /// The longest silence of a publisher that has sent media. 15 s.
    pub idle_timeout: Duration,
    /// The longest a peer may refuse to read what we write. 15 s: as long as OBS gives us.
    pub write_timeout: Duration,
    /// How long a player waits for a room that is not on air. 20 s.
    pub play_wait: Duration,
    /// How long players stay when a broadcast fell off air without a goodbye. 30 s: encoders are back within 16.
    pub rejoin_wait: Duration,
    /// Payload bytes per chunk that we send. 60 000: nearly every message is one chunk, and FFmpeg adopts it for its own.
    pub chunk_size: u32,
    /// Threads that move media. As many as there are processors.
    pub threads: usize,
    /// Connections in all. 10 000.
    pub connections_max: usize,
    /// Connections of one address that have not been granted a publish, or wait for a room that is not on air. 1 024: a load
    /// balancer may hide many behind one address.
    pub pending_per_address_max: usize,
    /// How long what a publisher sends may wait in the kernel before it is read, and before it is sent on: 20 ms and 45 ms. Each
    /// wake-up then serves several messages. At zero every message is read and sent on when it comes.
    pub gather_reads: Duration,
    /// See [`IngestConfig::gather_reads`]. Counts from one write until the last player was written to after the next, so that it
    /// contains the wait for the read, and is the longest that anything waits here.
    pub gather_writes: Duration,
    /// What one room may keep in memory for its players. 16 MiB: ten seconds of 6 Mb/s, kept as media and as chunks.
    pub room_bytes_max: usize,
    /// Who may play. Everyone.
    pub play: PlayAccess,
    /// Where other nodes may be that rooms are pulled from. Loopback and private networks.
    pub relay_networks: Vec<Network>,
    /// How long a pull goes on when its last player has left. 5 s: some come straight back.
    pub relay_linger: Duration,
    /// The longest silence of a pull before the room is looked for anew. 5 s.
    pub relay_silence: Duration,
    /// Bounds of the protocol itself, shared by all connections.
    pub limits: Arc<Limits>,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            first_media_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(15),
            play_wait: Duration::from_secs(20),
            rejoin_wait: Duration::from_secs(30),
            chunk_size: 60_000,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            connections_max: 10_000,
            pending_per_address_max: 1_024,
            gather_reads: Duration::from_millis(20),
            gather_writes: Duration::from_millis(45),
            room_bytes_max: 16 << 20,
            play: PlayAccess::default(),
            relay_networks: Network::private(),
            relay_linger: Duration::from_secs(5),
            relay_silence: Duration::from_secs(5),
            limits: Arc::default(),
        }
    }
}
