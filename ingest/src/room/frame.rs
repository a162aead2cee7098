//! Frame: one media message of a room, shared by everyone who reads it.

use std::sync::OnceLock;

use bytes::Bytes;
use onair_codec::{MediaKind, media_to_wire};

/// What a reader must know of a frame without looking into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A coded picture that others build on: where a reader may start.
    Keyframe,
    /// Any other coded picture.
    Picture,
    /// Coded sound.
    Sound,
    /// Decoder configuration (sequence header) or metadata: needed before what follows.
    Header(HeaderKey),
    /// Anything else: forwarded, never waited for.
    Other,
}

/// Which header a header replaces: the last one of each key is what a new reader needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HeaderKey {
    /// `onMetaData`.
    Metadata,
    /// The sequence header of a video track.
    Video(u8),
    /// Colour metadata of the video.
    Colour,
    /// The sequence header of an audio track.
    Audio(u8),
    /// The channel layout of an audio track.
    Channels(u8),
}

/// One media message: an FLV-style tag body with the room's own timestamp.
#[derive(Debug)]
pub(crate) struct Frame {
    /// On the room's timeline, which goes on when the publisher changes.
    pub timestamp: u32,
    /// Audio, video or data.
    pub media: MediaKind,
    /// What it is to a reader.
    pub kind: FrameKind,
    /// The tag body as the publisher sent it.
    pub payload: Bytes,
    wire: OnceLock<Bytes>,
}

impl Frame {
    /// The message stream id for which the wire form is shared: what the first `createStream` of a connection gets.
    pub(crate) const SHARED_STREAM_ID: u32 = 1;

    /// A frame at `timestamp` milliseconds.
    pub(crate) const fn new(timestamp: u32, media: MediaKind, kind: FrameKind, payload: Bytes) -> Self {
        Self { timestamp, media, kind, payload, wire: OnceLock::new() }
    }

    /// The frame as RTMP chunks, serialised by the first player that needs it and shared by all others.
    pub(crate) fn wire(&self, chunk_size: u32) -> &Bytes {
        self.wire.get_or_init(|| self.to_wire(Self::SHARED_STREAM_ID, chunk_size))
    }

    /// The frame as RTMP chunks for another message stream id: a copy of its own.
    pub(crate) fn to_wire(&self, message_stream_id: u32, chunk_size: u32) -> Bytes {
        media_to_wire(self.media, self.timestamp, message_stream_id, chunk_size, &self.payload)
    }
}
