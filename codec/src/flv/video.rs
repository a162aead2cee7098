//! Video tag headers: which codec, which track, and whether decoding can start here.

use nom::Parser;
use nom::number::complete::{be_i24, be_u8};

use super::enhanced::{self, Layout, RawTrack, check_tracks, four_cc, modifiers, multitrack};
use super::{FlvError, Parsed, VideoCodec, fail, finish};

/// Reads the header of one video message.
///
/// # Errors
/// A [`FlvError`] concerns this message only. Empty messages, and legacy ones that end after their first byte, are
/// not errors: encoders send them, and they carry nothing.
pub fn parse_video(payload: &[u8]) -> Result<VideoTag<'_>, FlvError> {
    match payload.split_first() {
        None => Ok(VideoTag::without_tracks(FrameType::Inter, VideoPacket::Empty)),
        Some((first, rest)) if first & 0x80 != 0 => enhanced(*first, rest).map_err(finish),
        Some((first, rest)) => legacy(*first, rest).map_err(finish),
    }
}

/// One video message, its tracks still in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoTag<'a> {
    frame_type: FrameType,
    packet: VideoPacket,
    nanos: u32,
    tracks: Tracks<'a>,
}

/// What the sender says of the frame's place among others (FLV 10.1 §E.4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameType {
    /// Decoding can start here.
    Key,
    /// Needs others.
    Inter,
    /// Needs others, and no other needs it (H.263 only).
    Disposable,
    /// A keyframe that a server made.
    GeneratedKey,
    /// No frame: a command for the player.
    Command,
    /// A number that names nothing.
    Reserved(u8),
}

/// What kind of thing a video message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoPacket {
    /// What a decoder must know before the first frame. Repeats are normal.
    SequenceHeader,
    /// The same for AV1 in its MPEG-2 transport form.
    TransportSequenceHeader,
    /// Coded frames.
    CodedFrames,
    /// No more frames of this sequence.
    EndOfSequence,
    /// Properties of the picture (HDR) as AMF0 name and value pairs. The frame type says nothing then.
    Metadata,
    /// A command for the player.
    Command(VideoCommand),
    /// Nothing.
    Empty,
}

/// What a command frame asks of the player (FLV 10.1 §E.4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoCommand {
    /// Client-side seeking starts.
    SeekStart,
    /// Client-side seeking ends.
    SeekEnd,
    /// A number that names nothing.
    Reserved(u8),
}

/// One track of a video message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoTrack<'a> {
    /// 0 is the default track, and the only one outside of multitrack messages.
    pub track_id: u8,
    /// How it is coded.
    pub codec: VideoCodec,
    /// Presentation time minus message timestamp, in milliseconds; negative for some encoders.
    pub composition_time: i32,
    /// The sequence header, the coded frame, or whatever the packet kind says.
    pub data: &'a [u8],
}

/// The tracks of a video message, in their order. Of two with one id the last counts.
#[derive(Debug, Clone)]
pub struct VideoTracks<'a> {
    packet: VideoPacket,
    remaining: Tracks<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tracks<'a> {
    None,
    Legacy(VideoTrack<'a>),
    Enhanced { layout: Layout, timing: Timing, body: &'a [u8] },
}

/// Whether a composition time stands in front of coded frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timing {
    Composed,
    Simple,
}

impl<'a> VideoTag<'a> {
    /// The frame type as sent; see [`VideoTag::is_keyframe`] for what to rely on.
    pub fn frame_type(&self) -> FrameType {
        self.frame_type
    }

    /// What the message carries.
    pub fn packet(&self) -> VideoPacket {
        self.packet
    }

    /// A coded frame at which decoding can start. Never true of a sequence header, though those are sent as key.
    pub fn is_keyframe(&self) -> bool {
        self.is_coded_frame() && matches!(self.frame_type, FrameType::Key | FrameType::GeneratedKey)
    }

    /// What a decoder must know before the first frame.
    pub fn is_sequence_header(&self) -> bool {
        matches!(self.packet, VideoPacket::SequenceHeader | VideoPacket::TransportSequenceHeader)
    }

    /// Coded media: neither header nor metadata, command, end or nothing.
    pub fn is_coded_frame(&self) -> bool {
        self.packet == VideoPacket::CodedFrames
    }

    /// Nanoseconds, below one million, to add to the presentation time of this message.
    pub fn nanosecond_offset(&self) -> u32 {
        self.nanos
    }

    /// The tracks of this message; none in commands and empty messages.
    pub fn tracks(&self) -> VideoTracks<'a> {
        VideoTracks { packet: self.packet, remaining: self.tracks }
    }

    fn without_tracks(frame_type: FrameType, packet: VideoPacket) -> Self {
        Self { frame_type, packet, nanos: 0, tracks: Tracks::None }
    }
}

impl<'a> Iterator for VideoTracks<'a> {
    type Item = VideoTrack<'a>;

    fn next(&mut self) -> Option<VideoTrack<'a>> {
        match std::mem::replace(&mut self.remaining, Tracks::None) {
            Tracks::None => None,
            Tracks::Legacy(track) => Some(track),
            Tracks::Enhanced { layout, timing, body } => {
                // All tracks were walked when the tag was parsed, so neither step fails here.
                let (rest, raw) = enhanced::track(layout, body).ok()?;
                if !rest.is_empty() {
                    self.remaining = Tracks::Enhanced { layout, timing, body: rest };
                }
                enhanced_track(self.packet, timing, raw).ok()
            }
        }
    }
}

impl FrameType {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Key,
            2 => Self::Inter,
            3 => Self::Disposable,
            4 => Self::GeneratedKey,
            5 => Self::Command,
            number => Self::Reserved(number),
        }
    }
}

impl VideoCommand {
    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::SeekStart,
            1 => Self::SeekEnd,
            number => Self::Reserved(number),
        }
    }
}

/// frame type(4) codec id(4), then by codec (FLV 10.1 §E.4.3.1)
fn legacy(first: u8, rest: &[u8]) -> Result<VideoTag<'_>, nom::Err<FlvError>> {
    let frame_type = FrameType::from_number(first >> 4);
    let codec = VideoCodec::from_legacy_id(first & 0x0F);
    if rest.is_empty() {
        return Ok(VideoTag::without_tracks(frame_type, VideoPacket::Empty));
    }
    if frame_type == FrameType::Command {
        let command = VideoCommand::from_number(rest[0]);
        return Ok(VideoTag::without_tracks(frame_type, VideoPacket::Command(command)));
    }
    let (data, (packet, composition_time)) = match codec {
        // MPEG-4 and HEVC took over the layout of AVC together with their numbers.
        VideoCodec::Avc | VideoCodec::Hevc | VideoCodec::Mpeg4 => avc_packet(rest)?,
        _ => (rest, (VideoPacket::CodedFrames, 0)),
    };
    let track = VideoTrack { track_id: 0, codec, composition_time, data };
    Ok(VideoTag { frame_type, packet, nanos: 0, tracks: Tracks::Legacy(track) })
}

/// packet type u8, composition time i24 (FLV 10.1 §E.4.3.2)
fn avc_packet(input: &[u8]) -> Parsed<'_, (VideoPacket, i32)> {
    let (input, packet_type) = be_u8(input)?;
    let packet = match packet_type {
        0 => VideoPacket::SequenceHeader,
        1 => VideoPacket::CodedFrames,
        2 => VideoPacket::EndOfSequence,
        packet_type => return fail(FlvError::UnknownPacketType { packet_type }),
    };
    be_i24.map(|composition_time| (packet, composition_time)).parse(input)
}

mod packet_type {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const CODED_FRAMES_X: u8 = 3;
    pub(super) const METADATA: u8 = 4;
    pub(super) const MPEG2_TS_SEQUENCE_START: u8 = 5;
    pub(super) const MULTITRACK: u8 = 6;
    pub(super) const MOD_EX: u8 = 7;
}

/// 1, frame type(3), packet type(4); modifiers; then a command, a multitrack header or a FourCC; then the tracks
/// (E-RTMP v2, "ExVideoTagHeader")
fn enhanced(first: u8, rest: &[u8]) -> Result<VideoTag<'_>, nom::Err<FlvError>> {
    let frame_type = FrameType::from_number(first >> 4 & 0b111);
    let (rest, modified) = modifiers(rest, first & 0x0F, packet_type::MOD_EX)?;
    let nanos = modified.nanos;
    if frame_type == FrameType::Command && modified.packet_type != packet_type::METADATA {
        // A command has no FourCC behind it.
        let (_, command) = be_u8(rest)?;
        let packet = VideoPacket::Command(VideoCommand::from_number(command));
        return Ok(VideoTag { frame_type, packet, nanos, tracks: Tracks::None });
    }
    let (body, (number, layout)) = match modified.packet_type {
        packet_type::MULTITRACK => multitrack(rest)?,
        number => four_cc.map(|code| (number, Layout::One { track_id: 0, code })).parse(rest)?,
    };
    let (packet, timing) = match number {
        packet_type::SEQUENCE_START => (VideoPacket::SequenceHeader, Timing::Simple),
        packet_type::CODED_FRAMES => (VideoPacket::CodedFrames, Timing::Composed),
        packet_type::SEQUENCE_END => (VideoPacket::EndOfSequence, Timing::Simple),
        packet_type::CODED_FRAMES_X => (VideoPacket::CodedFrames, Timing::Simple),
        packet_type::METADATA => (VideoPacket::Metadata, Timing::Simple),
        packet_type::MPEG2_TS_SEQUENCE_START => (VideoPacket::TransportSequenceHeader, Timing::Simple),
        packet_type @ (packet_type::MULTITRACK | packet_type::MOD_EX) => {
            return fail(FlvError::Nested { packet_type });
        }
        packet_type => return fail(FlvError::UnknownPacketType { packet_type }),
    };
    check_tracks(layout, body, |raw| enhanced_track(packet, timing, raw).map(drop))?;
    Ok(VideoTag { frame_type, packet, nanos, tracks: Tracks::Enhanced { layout, timing, body } })
}

/// composition time i24 if this packet and this codec have one, then data
fn enhanced_track(
    packet: VideoPacket,
    timing: Timing,
    raw: RawTrack<'_>,
) -> Result<VideoTrack<'_>, FlvError> {
    let codec = VideoCodec::from_four_cc(raw.code);
    let composed =
        packet == VideoPacket::CodedFrames && timing == Timing::Composed && codec.has_composition_time();
    let (data, composition_time) = if composed { be_i24(raw.body).map_err(finish)? } else { (raw.body, 0) };
    Ok(VideoTrack { track_id: raw.track_id, codec, composition_time, data })
}
