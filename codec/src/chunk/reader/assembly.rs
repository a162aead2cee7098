//! Assembly: what one chunk stream remembers of its last header, and the message that is being put together on it.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use crate::message::Message;
use crate::timestamp::Timestamp;

/// Bytes that may be reserved for a message beyond twice what arrived of it: one small message's worth.
pub const FIRST_RESERVE: usize = 1024;

/// The state of one chunk stream (RTMP 1.0 §5.3.1.2: what type 1, 2 and 3 headers inherit).
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) chunk_stream_id: u32,
    /// Time of the current or last message.
    pub(super) timestamp: Timestamp,
    /// What a type 3 message adds to the time.
    pub(super) delta: u32,
    /// `delta` is the timestamp of a type 0 header.
    pub(super) delta_is_absolute: bool,
    /// The extended timestamp field of the last header with a time, if that header had one.
    pub(super) extended: Option<u32>,
    pub(super) length: u32,
    pub(super) type_id: u8,
    pub(super) message_stream_id: u32,
    pub(super) body: Body,
}

/// The body of the message in assembly. `Debug` shows no content: a command in assembly may hold a live key.
pub(super) enum Body {
    /// No message is in assembly.
    Idle,
    /// Received so far.
    Kept { bytes: Vec<u8>, since: Instant },
    /// Of a type without meaning to us: only counted.
    Skipped { received: u32, since: Instant },
}

impl Assembly {
    pub(super) const fn new(chunk_stream_id: u32) -> Self {
        Self {
            chunk_stream_id,
            timestamp: Timestamp(0),
            delta: 0,
            delta_is_absolute: false,
            extended: None,
            length: 0,
            type_id: 0,
            message_stream_id: 0,
            body: Body::Idle,
        }
    }

    pub(super) fn advance_by(&mut self, delta: u32) {
        self.timestamp = self.timestamp + delta;
        self.delta = delta;
        self.delta_is_absolute = false;
    }

    /// Bytes that are still to come. Never underflows: chunks are cut to what is missing.
    pub(super) fn missing(&self) -> u32 {
        self.length - self.body.received()
    }

    /// Appends payload. `at_hand` more bytes lie in the input already; probably they belong to this message too.
    pub(super) fn append(&mut self, payload: &[u8], at_hand: usize) {
        match &mut self.body {
            Body::Idle => {}
            Body::Kept { bytes, .. } => {
                let needed = bytes.len() + payload.len();
                if needed > bytes.capacity() {
                    // Twice what arrived, and in the end exactly what was announced, so that no slack stays with
                    // a message that is kept for long.
                    let received = needed + at_hand;
                    let target = (2 * received).max(FIRST_RESERVE).min(self.length as usize);
                    bytes.reserve_exact(target.max(needed) - bytes.len());
                }
                bytes.extend_from_slice(payload);
            }
            Body::Skipped { received, .. } => *received += payload.len() as u32,
        }
    }

    /// The message, from the bytes collected.
    pub(super) fn finish(&mut self) -> Message {
        let payload = match std::mem::replace(&mut self.body, Body::Idle) {
            Body::Kept { bytes, .. } => Bytes::from(bytes),
            Body::Idle | Body::Skipped { .. } => Bytes::new(),
        };
        self.message(payload)
    }

    /// The message, from a payload that is there as a whole.
    pub(super) fn finish_with(&mut self, payload: &[u8]) -> Message {
        let payload = match std::mem::replace(&mut self.body, Body::Idle) {
            Body::Kept { .. } => Bytes::copy_from_slice(payload),
            Body::Idle | Body::Skipped { .. } => Bytes::new(),
        };
        self.message(payload)
    }

    fn message(&self, payload: Bytes) -> Message {
        Message {
            chunk_stream_id: self.chunk_stream_id,
            type_id: self.type_id,
            message_stream_id: self.message_stream_id,
            timestamp: self.timestamp,
            payload,
        }
    }
}

impl Body {
    pub(super) const fn begin(now: Instant, keep: bool) -> Self {
        if keep {
            Self::Kept { bytes: Vec::new(), since: now }
        } else {
            Self::Skipped { received: 0, since: now }
        }
    }

    pub(super) const fn is_partial(&self) -> bool {
        !matches!(self, Self::Idle)
    }

    /// Begun, and nothing received yet.
    pub(super) const fn is_untouched(&self) -> bool {
        self.is_partial() && self.received() == 0
    }

    const fn received(&self) -> u32 {
        match self {
            Self::Idle => 0,
            // A message is at most 2^24 bytes long.
            Self::Kept { bytes, .. } => bytes.len() as u32,
            Self::Skipped { received, .. } => *received,
        }
    }

    pub(super) const fn reserved_bytes(&self) -> usize {
        match self {
            Self::Kept { bytes, .. } => bytes.capacity(),
            Self::Idle | Self::Skipped { .. } => 0,
        }
    }

    pub(super) const fn since(&self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Kept { since, .. } | Self::Skipped { since, .. } => Some(*since),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("Idle"),
            Self::Kept { bytes, .. } => write!(f, "Kept({} bytes)", bytes.len()),
            Self::Skipped { received, .. } => write!(f, "Skipped({received} bytes)"),
        }
    }
}
