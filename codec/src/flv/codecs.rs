//! The names of codecs: legacy numbers of FLV, FourCCs of Enhanced RTMP, and the lower-case names we show.

use std::fmt;

/// Four ASCII characters that name a codec in Enhanced RTMP. Any four bytes may arrive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// The code as metadata carries it: its bytes as one big-endian number.
    pub const fn from_number(number: u32) -> Self {
        Self(number.to_be_bytes())
    }
}

/// The characters when they are printable, their number otherwise.
impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) if self.0.iter().all(u8::is_ascii_graphic) => f.write_str(text),
            _ => write!(f, "{:#010x}", u32::from_be_bytes(self.0)),
        }
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

/// How a video track is coded. `Display` gives [`VideoCodec::as_str`], or the code itself when it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VideoCodec {
    /// H.264: legacy id 7, FourCC `avc1`.
    Avc,
    /// H.265: FourCC `hvc1`, and the legacy id 12 that older mobile encoders use without a standard.
    Hevc,
    /// H.266: FourCC `vvc1`.
    Vvc,
    /// AV1: FourCC `av01`.
    Av1,
    /// VP8: FourCC `vp08`.
    Vp8,
    /// VP9: FourCC `vp09`.
    Vp9,
    /// Sorenson H.263 (legacy id 2) and H.263 (8).
    H263,
    /// Screen video: legacy id 3.
    Screen,
    /// Screen video 2: legacy id 6.
    Screen2,
    /// On2 VP6: legacy id 4, and 5 with an alpha channel.
    Vp6,
    /// MPEG-4 part 2: legacy id 9, without a standard.
    Mpeg4,
    /// A legacy id that names nothing.
    UnknownId(u8),
    /// A FourCC we do not know. The track can still be forwarded.
    Unknown(FourCc),
}

impl VideoCodec {
    /// The codec of the low four bits of a legacy video header.
    pub const fn from_legacy_id(id: u8) -> Self {
        match id {
            2 | 8 => Self::H263,
            3 => Self::Screen,
            4 | 5 => Self::Vp6,
            6 => Self::Screen2,
            7 => Self::Avc,
            9 => Self::Mpeg4,
            12 => Self::Hevc,
            id => Self::UnknownId(id),
        }
    }

    /// The codec of this FourCC.
    pub const fn from_four_cc(code: FourCc) -> Self {
        match &code.0 {
            b"avc1" => Self::Avc,
            b"hvc1" => Self::Hevc,
            b"vvc1" => Self::Vvc,
            b"av01" => Self::Av1,
            b"vp08" => Self::Vp8,
            b"vp09" => Self::Vp9,
            _ => Self::Unknown(code),
        }
    }

    /// The name we show: lower case, one of a closed set, `unknown` for what is not in it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avc => "h264",
            Self::Hevc => "h265",
            Self::Vvc => "vvc",
            Self::Av1 => "av1",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::H263 => "h263",
            Self::Screen => "screen",
            Self::Screen2 => "screen2",
            Self::Vp6 => "vp6",
            Self::Mpeg4 => "mpeg4",
            Self::UnknownId(_) | Self::Unknown(_) => "unknown",
        }
    }

    /// Frames come in NAL units and can be shown in another order than they are sent, so that a composition time
    /// stands in front of them (E-RTMP v2, "Enhanced Video").
    pub(super) const fn has_composition_time(self) -> bool {
        matches!(self, Self::Avc | Self::Hevc | Self::Vvc)
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(code) => code.fmt(f),
            known => f.write_str(known.as_str()),
        }
    }
}

/// How an audio track is coded. `Display` gives [`AudioCodec::as_str`], or the code itself when it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AudioCodec {
    /// AAC: legacy id 10, FourCC `mp4a`.
    Aac,
    /// MP3: legacy ids 2 and 14 (8 kHz), FourCC `.mp3`.
    Mp3,
    /// Opus: FourCC `Opus`.
    Opus,
    /// FLAC: FourCC `fLaC`.
    Flac,
    /// AC-3: FourCC `ac-3`.
    Ac3,
    /// E-AC-3: FourCC `ec-3`.
    Eac3,
    /// Linear PCM: legacy ids 0 (byte order of the sender) and 3 (little endian).
    Pcm,
    /// ADPCM: legacy id 1.
    Adpcm,
    /// Nellymoser: legacy ids 4 (16 kHz), 5 (8 kHz) and 6.
    Nellymoser,
    /// G.711 A-law: legacy id 7.
    PcmALaw,
    /// G.711 µ-law: legacy id 8.
    PcmMuLaw,
    /// Speex: legacy id 11.
    Speex,
    /// A legacy id that names nothing, or device-specific sound (15).
    UnknownId(u8),
    /// A FourCC we do not know. The track can still be forwarded.
    Unknown(FourCc),
}

impl AudioCodec {
    /// The codec of the high four bits of a legacy audio header. 9 is not one: it introduces the enhanced header.
    pub const fn from_legacy_id(id: u8) -> Self {
        match id {
            0 | 3 => Self::Pcm,
            1 => Self::Adpcm,
            2 | 14 => Self::Mp3,
            4..=6 => Self::Nellymoser,
            7 => Self::PcmALaw,
            8 => Self::PcmMuLaw,
            10 => Self::Aac,
            11 => Self::Speex,
            id => Self::UnknownId(id),
        }
    }

    /// The codec of this FourCC.
    pub const fn from_four_cc(code: FourCc) -> Self {
        match &code.0 {
            b"mp4a" => Self::Aac,
            b".mp3" => Self::Mp3,
            b"Opus" => Self::Opus,
            b"fLaC" => Self::Flac,
            b"ac-3" => Self::Ac3,
            b"ec-3" => Self::Eac3,
            _ => Self::Unknown(code),
        }
    }

    /// The name we show: lower case, one of a closed set, `unknown` for what is not in it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
            Self::Flac => "flac",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
            Self::Pcm => "pcm",
            Self::Adpcm => "adpcm",
            Self::Nellymoser => "nellymoser",
            Self::PcmALaw => "pcma",
            Self::PcmMuLaw => "pcmu",
            Self::Speex => "speex",
            Self::UnknownId(_) | Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(code) => code.fmt(f),
            known => f.write_str(known.as_str()),
        }
    }
}
