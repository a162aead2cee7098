//! What a peer can do wrong: one enum per layer, each variant named for the deed, none of them with peer's text.
//!
//! Every error here ends the connection. What does not end it (an unparsable command, a message of an unknown
//! type) is ignored and counted in [`Counters`](crate::Counters).

use thiserror::Error;

/// A handshake that is not RTMP (RTMP 1.0 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The first byte is that of a TLS record: the client speaks TLS to a plain port.
    #[error("the client speaks TLS on a plain RTMP port")]
    Tls,
    /// The first byte is one that RTMP never uses; text protocols such as HTTP and SSH begin like this.
    #[error("not RTMP: the first byte is {first_byte:#04x}")]
    NotRtmp {
        /// The byte in place of the version.
        first_byte: u8,
    },
}

/// A chunk that breaks the protocol or a bound (RTMP 1.0 §5.3, §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A header that inherits length and type, on a chunk stream that has none yet.
    #[error("chunk stream {chunk_stream_id} begins with a header of format {format}")]
    NothingToInherit {
        /// The chunk stream.
        chunk_stream_id: u32,
        /// 2 or 3.
        format: u8,
    },
    /// Set Chunk Size with 0 or with the top bit set (RTMP 1.0 §5.4.1).
    #[error("chunk size {announced} is not allowed")]
    ChunkSizeInvalid {
        /// The value as sent.
        announced: u32,
    },
    /// More Set Chunk Size messages per minute than allowed.
    #[error("more than {limit} changes of chunk size in a minute")]
    ChunkSizeFlapping {
        /// The bound.
        limit: u32,
    },
    /// A message announces more bytes than its type may have.
    #[error("a message of type {type_id} announces {announced} bytes, {limit} are allowed")]
    MessageTooLong {
        /// Message type id.
        type_id: u8,
        /// Announced length.
        announced: u32,
        /// The bound for this type.
        limit: u32,
    },
    /// The messages in assembly announce more bytes together than allowed.
    #[error("messages in assembly announce {announced} bytes, {limit} are allowed")]
    PartialBytes {
        /// Sum of announced lengths, with the new message.
        announced: u64,
        /// The bound.
        limit: u64,
    },
    /// More messages in assembly at once than allowed.
    #[error("more than {limit} messages in assembly")]
    TooManyPartialMessages {
        /// The bound.
        limit: usize,
    },
    /// More distinct chunk streams than allowed.
    #[error("more than {limit} chunk streams")]
    TooManyChunkStreams {
        /// The bound.
        limit: usize,
    },
    /// A message stayed in assembly for too long.
    #[error("a message stayed unfinished for too long")]
    PartialTooOld,
}

/// Why a peer's connection must end: it broke the protocol or passed a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The handshake is not RTMP.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunk layer is broken, or a bound on it was passed.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// More commands per second than allowed.
    #[error("more than {limit} commands in a second")]
    CommandFlood {
        /// The bound.
        limit: u32,
    },
    /// Too many bytes while nothing was accepted.
    #[error("more than {limit} bytes before a publish or play was accepted")]
    BytesBeforeAccept {
        /// The bound.
        limit: u64,
    },
}

impl PeerError {
    /// A label from a closed set, for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Handshake(HandshakeError::Tls) => "tls_on_plain_port",
            Self::Handshake(HandshakeError::NotRtmp { .. }) => "not_rtmp",
            Self::Chunk(error) => match error {
                ChunkError::NothingToInherit { .. } => "nothing_to_inherit",
                ChunkError::ChunkSizeInvalid { .. } => "chunk_size_invalid",
                ChunkError::ChunkSizeFlapping { .. } => "chunk_size_flapping",
                ChunkError::MessageTooLong { .. } => "message_too_long",
                ChunkError::PartialBytes { .. } => "partial_bytes",
                ChunkError::TooManyPartialMessages { .. } => "too_many_partial_messages",
                ChunkError::TooManyChunkStreams { .. } => "too_many_chunk_streams",
                ChunkError::PartialTooOld => "partial_too_old",
            },
            Self::CommandFlood { .. } => "command_flood",
            Self::BytesBeforeAccept { .. } => "bytes_before_accept",
        }
    }
}
