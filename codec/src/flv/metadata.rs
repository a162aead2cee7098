//! onMetaData: what the sender says of its own media. A hint only: it may be missing, empty or wrong, and it speaks of
//! track 0. Sequence headers know better.

use super::config::{PICTURE_SIDE_MAX, SAMPLE_RATE_MAX, believable_rate};
use super::{AudioCodec, FourCc, VideoCodec};
use crate::amf0::{AmfLimits, Reader, Value};

/// Characters of an encoder's name that are kept: it goes into logs and databases.
const ENCODER_CHARS_MAX: usize = 128;
/// Highest bit rate we believe, in kilobits per second.
const BITRATE_KBPS_MAX: f64 = 10_000_000.0;

/// What onMetaData said, as far as it is believable: numbers finite, positive and within bounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// Pixels across, 1 to 16 384.
    pub width: Option<u32>,
    /// Pixels down, 1 to 16 384.
    pub height: Option<u32>,
    /// Frames per second, at most 1000.
    pub fps: Option<f64>,
    /// How video is coded: a legacy id, or a FourCC as number or text.
    pub video_codec: Option<VideoCodec>,
    /// How audio is coded: a legacy id, or a FourCC as number or text.
    pub audio_codec: Option<AudioCodec>,
    /// Kilobits per second of video that the encoder aims at.
    pub video_bitrate_kbps: Option<f64>,
    /// Kilobits per second of audio that the encoder aims at.
    pub audio_bitrate_kbps: Option<f64>,
    /// Samples per second, at most 768 000.
    pub sample_rate: Option<u32>,
    /// Audio channels, at least 1.
    pub channels: Option<u8>,
    /// The program that sends, as it names itself: valid UTF-8 without control characters, at most 128 of them.
    pub encoder: Option<String>,
}

/// Reads the body of a data message whose handler is `onMetaData`, with or without `@setDataFrame` in front.
///
/// `None` for other handlers and for bodies that are no AMF0: they carry no metadata. An empty `onMetaData` gives an
/// empty [`Metadata`].
pub fn parse_metadata(body: &[u8], limits: &AmfLimits) -> Option<Metadata> {
    // What stands behind the properties is not ours to judge, so nothing after them is read.
    let mut values = Reader::new(body, limits).map_while(Result::ok).map(Value::into_plain);
    let mut handler = values.next()?;
    if handler.as_str_bytes() == Some(b"@setDataFrame") {
        handler = values.next()?;
    }
    if handler.as_str_bytes() != Some(b"onMetaData") {
        return None;
    }
    Some(values.next().map(|properties| Metadata::from_properties(&properties)).unwrap_or_default())
}

impl Metadata {
    fn from_properties(properties: &Value) -> Self {
        let number = |name| properties.get(name).and_then(Value::as_f64);
        let up_to = |name, max| number(name).and_then(|number| whole(number, max));
        let fps = number("framerate").or_else(|| number("fps"));
        Self {
            width: up_to("width", PICTURE_SIDE_MAX),
            height: up_to("height", PICTURE_SIDE_MAX),
            fps: fps.and_then(believable_rate),
            video_codec: properties.get("videocodecid").and_then(video_codec),
            audio_codec: properties.get("audiocodecid").and_then(audio_codec),
            video_bitrate_kbps: number("videodatarate").and_then(believable_bitrate),
            audio_bitrate_kbps: number("audiodatarate").and_then(believable_bitrate),
            sample_rate: up_to("audiosamplerate", SAMPLE_RATE_MAX),
            channels: channels(properties),
            encoder: properties.get("encoder").and_then(Value::as_str_bytes).and_then(encoder),
        }
    }
}

/// The number without its fraction, if it is at least 1 and at most `max`.
fn whole(number: f64, max: u32) -> Option<u32> {
    (number >= 1.0 && number <= f64::from(max)).then_some(number as u32)
}

fn believable_bitrate(kbps: f64) -> Option<f64> {
    (kbps > 0.0 && kbps <= BITRATE_KBPS_MAX).then_some(kbps)
}

/// A count from OBS, or the flag of the FLV specification.
fn channels(properties: &Value) -> Option<u8> {
    let count = properties.get("audiochannels").and_then(Value::as_f64);
    let count = count.and_then(|number| whole(number, u32::from(u8::MAX)));
    let stereo = || properties.get("stereo").and_then(Value::as_bool);
    count.map(|count| count as u8).or_else(|| stereo().map(|stereo| if stereo { 2 } else { 1 }))
}

/// How a codec property can be understood: legacy ids fit four bits, everything larger is four characters.
enum CodecId {
    Legacy(u8),
    Code(FourCc),
}

fn codec_id(value: &Value) -> Option<CodecId> {
    if let Some(text) = value.as_str_bytes()
        && let Ok(code) = <[u8; 4]>::try_from(text)
    {
        return Some(CodecId::Code(FourCc(code)));
    }
    match value.as_u32()? {
        id @ 0..=15 => Some(CodecId::Legacy(id as u8)),
        number => Some(CodecId::Code(FourCc::from_number(number))),
    }
}

fn video_codec(value: &Value) -> Option<VideoCodec> {
    codec_id(value).map(|id| match id {
        CodecId::Legacy(id) => VideoCodec::from_legacy_id(id),
        CodecId::Code(code) => VideoCodec::from_four_cc(code),
    })
}

fn audio_codec(value: &Value) -> Option<AudioCodec> {
    codec_id(value).map(|id| match id {
        CodecId::Legacy(id) => AudioCodec::from_legacy_id(id),
        CodecId::Code(code) => AudioCodec::from_four_cc(code),
    })
}

fn encoder(text: &[u8]) -> Option<String> {
    // A character takes up to four bytes.
    let text = &text[..text.len().min(4 * ENCODER_CHARS_MAX)];
    let clean = String::from_utf8_lossy(text);
    let clean: String = clean.chars().filter(|c| !c.is_control()).take(ENCODER_CHARS_MAX).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}
