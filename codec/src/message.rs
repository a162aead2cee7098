//! Messages: what the chunk layer carries, and the vocabulary of each family of them (RTMP 1.0 §5.4, §6, §7).

pub mod aggregate;
pub mod command;
pub mod control;
pub mod data;
pub mod user_control;

use bytes::Bytes;

use crate::timestamp::Timestamp;

/// Message type ids (RTMP 1.0 §5.4, §6.1, §7.1).
pub mod type_id {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort: drop the partial message of a chunk stream.
    pub const ABORT: u8 = 2;
    /// Acknowledgement of bytes received.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User control events.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio: the data part of an FLV audio tag.
    pub const AUDIO: u8 = 8;
    /// Video: the data part of an FLV video tag.
    pub const VIDEO: u8 = 9;
    /// Data message, AMF3 form.
    pub const DATA_AMF3: u8 = 15;
    /// Command, AMF3 form.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data message in AMF0.
    pub const DATA_AMF0: u8 = 18;
    /// Command in AMF0.
    pub const COMMAND_AMF0: u8 = 20;
    /// Several media messages in one.
    pub const AGGREGATE: u8 = 22;
}

/// One whole message as the chunk layer delivers it.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Chunk stream it came on; means nothing above the chunk layer.
    pub chunk_stream_id: u32,
    /// Message type id, see [`type_id`].
    pub type_id: u8,
    /// Message stream it belongs to; 0 is the connection itself.
    pub message_stream_id: u32,
    /// When, on the sender's timeline.
    pub timestamp: Timestamp,
    /// The body.
    pub payload: Bytes,
}

/// Shows the header and the length; a command's body may hold a live key.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("chunk_stream_id", &self.chunk_stream_id)
            .field("type_id", &self.type_id)
            .field("message_stream_id", &self.message_stream_id)
            .field("timestamp", &self.timestamp)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}
