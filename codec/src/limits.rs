//! Limits: every bound that the codec puts on a peer, in one place, each with the reason for its number.
//!
//! A bound is checked on a header, before a byte of memory is reserved for what the header announces. Memory then
//! grows with the bytes that really arrive. The defaults fit every encoder we know by a wide margin; a peer that
//! passes one of them is broken or hostile, and the connection ends with an error that names the bound.

use std::time::Duration;

use crate::amf0::AmfLimits;
use crate::message::type_id as t;

/// Bounds on what one peer may make us hold or do. `Default` gives the recommended values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest body of a protocol control or user control message, in bytes. The longest defined one has 10.
    pub control_bytes_max: u32,
    /// Longest command body, in bytes. The longest seen is a `connect` of about 4 KiB.
    pub command_bytes_max: u32,
    /// Longest data message body, in bytes. Metadata of real encoders stays under 2 KiB; captions and timed
    /// metadata may be larger.
    pub data_bytes_max: u32,
    /// Longest audio message, in bytes. One second of 16-bit stereo PCM at 192 kHz fits.
    pub audio_bytes_max: u32,
    /// Longest video (or aggregate) message, in bytes. Keyframes of 4K at 50 Mbit/s are 1 to 4 MB.
    pub video_bytes_max: u32,
    /// Sum of the announced lengths of all messages in assembly, in bytes: one longest video plus 2 MiB, since
    /// audio and metadata may be interleaved with one keyframe, but nobody interleaves two keyframes.
    pub partial_bytes_max: u64,
    /// Distinct chunk streams on a connection. Encoders use 3 to 6; the protocol would allow 65 598.
    pub chunk_streams_max: usize,
    /// Messages that span several chunks and are in assembly at the same time. Encoders reach 2.
    pub partial_messages_max: usize,
    /// How long a message may be in assembly. A 4 MB keyframe over 1.1 Mbit/s just takes this long.
    pub partial_age_max: Duration,
    /// Bytes after the handshake that are read while no publish or play stands accepted. A long `connect` and
    /// its followers need about 8 KiB.
    pub bytes_before_accept_max: u64,
    /// Commands per second. A publisher sends 7 in its whole life, a nervous player a few per second.
    pub commands_per_second_max: u32,
    /// Message streams (`createStream`) that exist at the same time on a connection.
    pub message_streams_max: usize,
    /// Longest app, `tcUrl` or stream name, in bytes. Names are refused beyond this, never cut: two keys with a
    /// common prefix must not become one.
    pub name_bytes_max: usize,
    /// Set Chunk Size messages per minute. Encoders send 1; `FFmpeg` echoes each of ours.
    pub chunk_size_changes_per_minute_max: u32,
    /// Smallest acknowledgement window we honour, in bytes: a window of 1 must not make us answer every byte.
    pub acknowledgement_window_min: u32,
    /// Replies per second to ping requests; requests beyond that are answered by the next reply or not at all.
    pub pings_per_second_max: u32,
    /// How much structure one AMF body may unfold into.
    pub amf: AmfLimits,
}

impl Limits {
    /// The longest body that a message of this type may announce, or `None` for types whose body is never kept.
    pub const fn body_bytes_max(&self, type_id: u8) -> Option<u32> {
        match type_id {
            t::SET_CHUNK_SIZE..=t::SET_PEER_BANDWIDTH => Some(self.control_bytes_max),
            t::AUDIO => Some(self.audio_bytes_max),
            t::VIDEO | t::AGGREGATE => Some(self.video_bytes_max),
            t::DATA_AMF3 | t::DATA_AMF0 => Some(self.data_bytes_max),
            t::COMMAND_AMF3 | t::COMMAND_AMF0 => Some(self.command_bytes_max),
            _ => None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_bytes_max: 64,
            command_bytes_max: 64 * 1024,
            data_bytes_max: 256 * 1024,
            audio_bytes_max: 1024 * 1024,
            video_bytes_max: 8 * 1024 * 1024,
            partial_bytes_max: 10 * 1024 * 1024,
            chunk_streams_max: 64,
            partial_messages_max: 8,
            partial_age_max: Duration::from_secs(30),
            bytes_before_accept_max: 64 * 1024,
            commands_per_second_max: 100,
            message_streams_max: 8,
            name_bytes_max: 8 * 1024,
            chunk_size_changes_per_minute_max: 16,
            acknowledgement_window_min: 4 * 1024,
            pings_per_second_max: 10,
            amf: AmfLimits::default(),
        }
    }
}
