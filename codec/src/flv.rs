//! What an RTMP audio or video message carries: FLV tag bodies, legacy and Enhanced RTMP v1 and v2.
//!
//! Far enough to know codec, track, keyframe and sequence header, and from sequence headers resolution and sample
//! rate; frames are never decoded. An error here concerns one message, never the connection: a player may well
//! understand what we do not.
//!
//! ```
//! use onair_codec::flv::{VideoCodec, parse_video};
//!
//! // Enhanced RTMP: a keyframe of H.265, shown 66 ms after its timestamp.
//! let message = [0x91, b'h', b'v', b'c', b'1', 0x00, 0x00, 0x42, 0x00, 0x00, 0x00, 0x01, 0x26];
//! let tag = parse_video(&message)?;
//! assert!(tag.is_keyframe());
//! for track in tag.tracks() {
//!     assert_eq!((track.track_id, track.codec, track.composition_time), (0, VideoCodec::Hevc, 66));
//! }
//! # Ok::<(), onair_codec::flv::FlvError>(())
//! ```

mod aac;
mod audio;
mod av1;
mod avc;
mod bits;
mod codecs;
mod config;
mod enhanced;
mod hevc;
mod metadata;
mod sound;
mod video;
mod vpx;

use nom::error::{ErrorKind, ParseError};
use thiserror::Error;

pub use audio::{
    AudioPacket, AudioTag, AudioTrack, AudioTracks, ChannelOrder, MultichannelConfig, SoundFacts,
    parse_audio, parse_multichannel_config,
};
pub use codecs::{AudioCodec, FourCc, VideoCodec};
pub use config::{AudioFormat, VideoFormat, audio_format, video_format};
pub use metadata::{Metadata, parse_metadata};
pub use video::{FrameType, VideoCommand, VideoPacket, VideoTag, VideoTrack, VideoTracks, parse_video};

/// Why one audio or video message cannot be understood. The next one may be fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlvError {
    /// The message ends inside its header.
    #[error("the message ends inside its header")]
    Truncated,
    /// A packet type that is reserved, or that this codec does not have.
    #[error("packet type {packet_type} is reserved or unknown")]
    UnknownPacketType {
        /// The number as sent.
        packet_type: u8,
    },
    /// A multitrack layout that is not one of the three.
    #[error("multitrack type {multitrack_type} is reserved")]
    UnknownMultitrackType {
        /// The number as sent.
        multitrack_type: u8,
    },
    /// A multitrack message or a modifier inside of a multitrack message.
    #[error("packet type {packet_type} cannot stand inside a multitrack message")]
    Nested {
        /// The number as sent.
        packet_type: u8,
    },
    /// More ModEx modifiers in a row than anyone has a use for.
    #[error("more than {limit} modifiers in a row")]
    TooManyModifiers {
        /// The bound that was crossed.
        limit: usize,
    },
    /// A multitrack message without a track.
    #[error("a multitrack message without a track")]
    NoTrack,
    /// More tracks than ids exist.
    #[error("more than {limit} tracks in one message")]
    TooManyTracks {
        /// The bound that was crossed.
        limit: usize,
    },
    /// A channel order that is reserved.
    #[error("channel order {order} is reserved")]
    UnknownChannelOrder {
        /// The number as sent.
        order: u8,
    },
}

/// The result of one parser: the rest of the message and what was read.
type Parsed<'a, T> = nom::IResult<&'a [u8], T, FlvError>;

/// Ends the message: no parser may try another way after this.
fn fail<T>(error: FlvError) -> Result<T, nom::Err<FlvError>> {
    Err(nom::Err::Failure(error))
}

/// Brings a parser's failure to the public side. `Incomplete` cannot happen, since only complete parsers are used.
fn finish(error: nom::Err<FlvError>) -> FlvError {
    match error {
        nom::Err::Error(error) | nom::Err::Failure(error) => error,
        nom::Err::Incomplete(_) => FlvError::Truncated,
    }
}

/// The primitive parsers in use (fixed-width numbers, `take`) fail for one reason only: the message ends.
impl ParseError<&[u8]> for FlvError {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}
