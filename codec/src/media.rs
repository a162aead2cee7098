//! Media: the audio, video and data messages of a broadcast, as both peers hand them over.

use std::fmt;

use bytes::Bytes;

use crate::message::type_id;
use crate::timestamp::Timestamp;

/// What a media message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// The data part of an FLV audio tag.
    Audio,
    /// The data part of an FLV video tag.
    Video,
    /// An AMF0 data message body that begins with the handler's name, such as `onMetaData`.
    Data,
}

impl MediaKind {
    /// The message type id it is sent under.
    pub const fn type_id(self) -> u8 {
        match self {
            Self::Audio => type_id::AUDIO,
            Self::Video => type_id::VIDEO,
            Self::Data => type_id::DATA_AMF0,
        }
    }
}

/// One media message. `Debug` shows the length of the body, not the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    /// What it holds.
    pub kind: MediaKind,
    /// When, on the publisher's timeline.
    pub timestamp: Timestamp,
    /// The body. Of data messages a leading `@setDataFrame` and the wrapping of the AMF3 form are already removed.
    pub payload: Bytes,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media")
            .field("kind", &self.kind)
            .field("timestamp", &self.timestamp)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}
