//! Writing chunks: [`ChunkWriter`] with memory per chunk stream, [`media_to_wire`] without any.
//!
//! Senders of the field disagree about what readers must infer, so we write only what everyone reads alike: type 0
//! for the first message, type 1 for later ones, type 3 for continuations only, and the extended timestamp wherever
//! RTMP 1.0 §5.3.1.3 puts it.

use bytes::Bytes;

use super::{CHUNK_SIZE_DEFAULT, EXTENDED, Format, MESSAGE_BYTES_MAX, write_basic_header};
use crate::media::MediaKind;
use crate::timestamp::Timestamp;

/// Chunk stream ids we send on. Readers must not care; these are what most servers use.
pub(crate) mod csid {
    pub(crate) const CONTROL: u32 = 2;
    pub(crate) const CONNECTION: u32 = 3;
    pub(crate) const COMMAND: u32 = 5;
    pub(crate) const AUDIO: u32 = 4;
    pub(crate) const VIDEO: u32 = 6;
    pub(crate) const DATA: u32 = 7;
}

/// Where and when a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHeader {
    /// Chunk stream, 2 to 65 599.
    pub chunk_stream_id: u32,
    /// Message type id.
    pub type_id: u8,
    /// Message stream.
    pub message_stream_id: u32,
    /// When, on our timeline.
    pub timestamp: Timestamp,
}

/// Writes messages of one direction of one connection as chunks.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: u32,
    last: Vec<MessageHeader>,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_size: CHUNK_SIZE_DEFAULT, last: Vec::new() }
    }
}

impl ChunkWriter {
    /// A writer for a connection on which nothing was sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Payload bytes per chunk of later messages, 1 to 0xFFFFFF (clamped). The peer must be told by a Set Chunk
    /// Size message that was written just before.
    pub fn set_chunk_size(&mut self, chunk_size: u32) {
        self.chunk_size = chunk_size.clamp(1, MESSAGE_BYTES_MAX);
    }

    /// Appends one message to `out`. Payloads beyond 0xFFFFFF bytes cannot be said on the wire and are cut there.
    pub fn write(&mut self, out: &mut Vec<u8>, header: MessageHeader, payload: &[u8]) {
        let last = self.last.iter_mut().find(|last| last.chunk_stream_id == header.chunk_stream_id);
        let delta = match last {
            Some(last) => {
                let previous = std::mem::replace(last, header);
                let inherits = previous.message_stream_id == header.message_stream_id;
                // Going back in time is said as an absolute time: a delta beyond 2^31 confuses readers.
                (inherits && !header.timestamp.is_before(previous.timestamp))
                    .then(|| header.timestamp.0.wrapping_sub(previous.timestamp.0))
            }
            None => {
                self.last.push(header);
                None
            }
        };
        write_message(out, &header, delta, self.chunk_size, payload);
    }
}

/// One media message as chunks that need no memory of earlier ones: the same bytes serve every player whose message
/// stream id and chunk size are the same. Type 0 first, type 3 for continuations.
pub fn media_to_wire(
    kind: MediaKind,
    timestamp: u32,
    message_stream_id: u32,
    chunk_size: u32,
    payload: &[u8],
) -> Bytes {
    let header = media_header(kind, Timestamp(timestamp), message_stream_id);
    let chunk_size = chunk_size.clamp(1, MESSAGE_BYTES_MAX);
    let mut out = Vec::with_capacity(wire_bytes_max(payload.len(), chunk_size));
    write_message(&mut out, &header, None, chunk_size, payload);
    Bytes::from(out)
}

/// The header under which we send media of this kind.
pub(crate) const fn media_header(
    kind: MediaKind,
    timestamp: Timestamp,
    message_stream_id: u32,
) -> MessageHeader {
    let chunk_stream_id = match kind {
        MediaKind::Audio => csid::AUDIO,
        MediaKind::Video => csid::VIDEO,
        MediaKind::Data => csid::DATA,
    };
    MessageHeader { chunk_stream_id, type_id: kind.type_id(), message_stream_id, timestamp }
}

/// Room for a payload with all headers that it can get on a one-byte chunk stream id.
fn wire_bytes_max(payload: usize, chunk_size: u32) -> usize {
    let continuations = payload.saturating_sub(1) / chunk_size as usize;
    payload + 16 + continuations * 5
}

fn write_message(
    out: &mut Vec<u8>,
    header: &MessageHeader,
    delta: Option<u32>,
    chunk_size: u32,
    payload: &[u8],
) {
    let payload = &payload[..payload.len().min(MESSAGE_BYTES_MAX as usize)];
    let time = delta.unwrap_or(header.timestamp.0);
    let extended = (time >= EXTENDED).then_some(time);
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    let [_, time_field @ ..] = time.min(EXTENDED).to_be_bytes();

    let format = if delta.is_some() { Format::SameMessageStream } else { Format::Full };
    write_basic_header(out, format, header.chunk_stream_id);
    out.extend_from_slice(&time_field);
    out.extend_from_slice(&length);
    out.push(header.type_id);
    if format == Format::Full {
        out.extend_from_slice(&header.message_stream_id.to_le_bytes());
    }
    write_extended(out, extended);

    let (first, mut rest) = payload.split_at(payload.len().min(chunk_size as usize));
    out.extend_from_slice(first);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(chunk_size as usize));
        write_basic_header(out, Format::Nothing, header.chunk_stream_id);
        write_extended(out, extended);
        out.extend_from_slice(chunk);
        rest = after;
    }
}

fn write_extended(out: &mut Vec<u8>, extended: Option<u32>) {
    if let Some(time) = extended {
        out.extend_from_slice(&time.to_be_bytes());
    }
}
