//! Audio tag headers: which codec, which track, and whether this is sound or what a decoder must know first.

use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u32};

use super::enhanced::{self, Layout, RawTrack, check_tracks, four_cc, modifiers, multitrack};
use super::{AudioCodec, FlvError, Parsed, fail, finish};

/// In the place of a legacy codec id: the enhanced header follows (E-RTMP v2, "ExAudioTagHeader").
const EX_HEADER: u8 = 9;

/// Reads the header of one audio message.
///
/// # Errors
/// A [`FlvError`] concerns this message only. Empty messages (silence), and AAC ones that end after their first byte,
/// are not errors: encoders send them, and they carry nothing.
pub fn parse_audio(payload: &[u8]) -> Result<AudioTag<'_>, FlvError> {
    match payload.split_first() {
        None => Ok(AudioTag { packet: AudioPacket::Empty, nanos: 0, facts: None, tracks: Tracks::None }),
        Some((first, rest)) if first >> 4 == EX_HEADER => enhanced(*first, rest).map_err(finish),
        Some((first, rest)) => legacy(*first, rest).map_err(finish),
    }
}

/// One audio message, its tracks still in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioTag<'a> {
    packet: AudioPacket,
    nanos: u32,
    facts: Option<SoundFacts>,
    tracks: Tracks<'a>,
}

/// What kind of thing an audio message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudioPacket {
    /// What a decoder must know before the first frame. Repeats are normal.
    SequenceHeader,
    /// Coded sound.
    CodedFrames,
    /// No more frames of this sequence.
    EndOfSequence,
    /// Where the speakers are: see [`parse_multichannel_config`].
    MultichannelConfig,
    /// Nothing: silence.
    Empty,
}

/// What a legacy header itself says of the sound. Encoders write fixed values for AAC, so it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoundFacts {
    /// Samples per second: one of 5512, 8000, 11 025, 16 000, 22 050 and 44 100.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Bits per sample, 8 or 16; meaningful for PCM only.
    pub sample_bits: u8,
}

/// One track of an audio message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioTrack<'a> {
    /// 0 is the default track, and the only one outside of multitrack messages.
    pub track_id: u8,
    /// How it is coded.
    pub codec: AudioCodec,
    /// The sequence header, the coded sound, or whatever the packet kind says.
    pub data: &'a [u8],
}

/// The tracks of an audio message, in their order. Of two with one id the last counts.
#[derive(Debug, Clone)]
pub struct AudioTracks<'a> {
    remaining: Tracks<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tracks<'a> {
    None,
    Legacy(AudioTrack<'a>),
    Enhanced { layout: Layout, body: &'a [u8] },
}

impl<'a> AudioTag<'a> {
    /// What the message carries.
    pub fn packet(&self) -> AudioPacket {
        self.packet
    }

    /// What a decoder must know before the first frame.
    pub fn is_sequence_header(&self) -> bool {
        self.packet == AudioPacket::SequenceHeader
    }

    /// Coded sound: neither header nor channel layout, end or nothing.
    pub fn is_coded_frame(&self) -> bool {
        self.packet == AudioPacket::CodedFrames
    }

    /// Nanoseconds, below one million, to add to the presentation time of this message.
    pub fn nanosecond_offset(&self) -> u32 {
        self.nanos
    }

    /// What the legacy header says of the sound; `None` for AAC, for enhanced headers and for empty messages.
    pub fn sound_facts(&self) -> Option<SoundFacts> {
        self.facts
    }

    /// The tracks of this message; none in empty ones.
    pub fn tracks(&self) -> AudioTracks<'a> {
        AudioTracks { remaining: self.tracks }
    }
}

impl<'a> Iterator for AudioTracks<'a> {
    type Item = AudioTrack<'a>;

    fn next(&mut self) -> Option<AudioTrack<'a>> {
        match std::mem::replace(&mut self.remaining, Tracks::None) {
            Tracks::None => None,
            Tracks::Legacy(track) => Some(track),
            Tracks::Enhanced { layout, body } => {
                // All tracks were walked when the tag was parsed, so this does not fail.
                let (rest, raw) = enhanced::track(layout, body).ok()?;
                if !rest.is_empty() {
                    self.remaining = Tracks::Enhanced { layout, body: rest };
                }
                Some(enhanced_track(raw))
            }
        }
    }
}

/// The speakers of a track (E-RTMP v2, "MultichannelConfig").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultichannelConfig<'a> {
    /// How many there are.
    pub channels: u8,
    /// Which one is which.
    pub order: ChannelOrder<'a>,
}

/// Which channel feeds which speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelOrder<'a> {
    /// Only the count is known.
    Unspecified,
    /// The codec's own order of the speakers in this mask: bit 0 front left, 1 front right, 2 centre, 3 LFE, and on.
    Native {
        /// One bit per speaker.
        mask: u32,
    },
    /// The speaker of each channel in turn.
    Custom {
        /// One speaker number per channel.
        speakers: &'a [u8],
    },
}

/// Reads the body of a [`AudioPacket::MultichannelConfig`] track: order u8, count u8, then by order.
///
/// # Errors
/// A [`FlvError`] when the body is cut short or the order is reserved.
pub fn parse_multichannel_config(body: &[u8]) -> Result<MultichannelConfig<'_>, FlvError> {
    multichannel_config(body).map(|(_, config)| config).map_err(finish)
}

fn multichannel_config(input: &[u8]) -> Parsed<'_, MultichannelConfig<'_>> {
    let (input, (order, channels)) = (be_u8, be_u8).parse(input)?;
    let (input, order) = match order {
        0 => (input, ChannelOrder::Unspecified),
        1 => be_u32.map(|mask| ChannelOrder::Native { mask }).parse(input)?,
        2 => take(channels).map(|speakers| ChannelOrder::Custom { speakers }).parse(input)?,
        order => return fail(FlvError::UnknownChannelOrder { order }),
    };
    Ok((input, MultichannelConfig { channels, order }))
}

/// sound format(4) rate(2) size(1) type(1), then the packet type of AAC or the sound (FLV 10.1 §E.4.2.1)
fn legacy(first: u8, rest: &[u8]) -> Result<AudioTag<'_>, nom::Err<FlvError>> {
    let id = first >> 4;
    let codec = AudioCodec::from_legacy_id(id);
    let facts = (codec != AudioCodec::Aac).then(|| sound_facts(id, first));
    if rest.is_empty() {
        return Ok(AudioTag { packet: AudioPacket::Empty, nanos: 0, facts: None, tracks: Tracks::None });
    }
    let (data, packet) = match codec {
        AudioCodec::Aac => aac_packet(rest)?,
        _ => (rest, AudioPacket::CodedFrames),
    };
    let track = AudioTrack { track_id: 0, codec, data };
    Ok(AudioTag { packet, nanos: 0, facts, tracks: Tracks::Legacy(track) })
}

/// packet type u8 (FLV 10.1 §E.4.2.2)
fn aac_packet(input: &[u8]) -> Parsed<'_, AudioPacket> {
    match be_u8(input)? {
        (data, 0) => Ok((data, AudioPacket::SequenceHeader)),
        (data, 1) => Ok((data, AudioPacket::CodedFrames)),
        (_, packet_type) => fail(FlvError::UnknownPacketType { packet_type }),
    }
}

/// Some formats fix what the bits behind them would say (FLV 10.1 §E.4.2.1).
fn sound_facts(id: u8, first: u8) -> SoundFacts {
    const SPEEX: u8 = 11;
    let sample_rate = match (id, first >> 2 & 0b11) {
        (4 | SPEEX, _) => 16_000,
        (5 | 7 | 8 | 14, _) => 8_000,
        (_, 0) => 5_512,
        (_, 1) => 11_025,
        (_, 2) => 22_050,
        _ => 44_100,
    };
    let channels = match id {
        4..=6 | SPEEX => 1,
        _ => 1 + (first & 0b1),
    };
    SoundFacts { sample_rate, channels, sample_bits: if first & 0b10 == 0 { 8 } else { 16 } }
}

mod packet_type {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const MULTICHANNEL_CONFIG: u8 = 4;
    pub(super) const MULTITRACK: u8 = 5;
    pub(super) const MOD_EX: u8 = 7;
}

/// 9(4) packet type(4); modifiers; then a multitrack header or a FourCC; then the tracks
/// (E-RTMP v2, "ExAudioTagHeader")
fn enhanced(first: u8, rest: &[u8]) -> Result<AudioTag<'_>, nom::Err<FlvError>> {
    let (rest, modified) = modifiers(rest, first & 0x0F, packet_type::MOD_EX)?;
    let (body, (number, layout)) = match modified.packet_type {
        packet_type::MULTITRACK => multitrack(rest)?,
        number => four_cc.map(|code| (number, Layout::One { track_id: 0, code })).parse(rest)?,
    };
    let packet = match number {
        packet_type::SEQUENCE_START => AudioPacket::SequenceHeader,
        packet_type::CODED_FRAMES => AudioPacket::CodedFrames,
        packet_type::SEQUENCE_END => AudioPacket::EndOfSequence,
        packet_type::MULTICHANNEL_CONFIG => AudioPacket::MultichannelConfig,
        packet_type @ (packet_type::MULTITRACK | packet_type::MOD_EX) => {
            return fail(FlvError::Nested { packet_type });
        }
        packet_type => return fail(FlvError::UnknownPacketType { packet_type }),
    };
    check_tracks(layout, body, |_| Ok(()))?;
    let tracks = Tracks::Enhanced { layout, body };
    Ok(AudioTag { packet, nanos: modified.nanos, facts: None, tracks })
}

fn enhanced_track(raw: RawTrack<'_>) -> AudioTrack<'_> {
    AudioTrack { track_id: raw.track_id, codec: AudioCodec::from_four_cc(raw.code), data: raw.body }
}
