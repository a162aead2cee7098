//! From sequence headers to what people ask of a broadcast: picture size, frame rate, sample rate, channels.
//!
//! Every parser checks each length and answers `None` rather than guess; what it answers is within the bounds below.

use super::{AudioCodec, VideoCodec, aac, av1, avc, hevc, sound, vpx};

/// Widest and highest picture we believe: twice 8K. Beyond it a header is noise, or bait for whoever allocates by it.
pub(super) const PICTURE_SIDE_MAX: u32 = 16_384;
/// Fastest picture we believe, in frames per second.
const FRAME_RATE_MAX: f64 = 1_000.0;
/// Fastest sampling we believe, in samples per second: no converter goes beyond.
pub(super) const SAMPLE_RATE_MAX: u32 = 768_000;

/// What a video sequence header says of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoFormat {
    /// Pixels across, after cropping; 1 to 16 384. Sample aspect ratio is not applied.
    pub width: u32,
    /// Pixels down, after cropping; 1 to 16 384.
    pub height: u32,
    /// Frames per second, when the header says so: positive, at most 1000.
    pub fps: Option<f64>,
}

/// What an audio sequence header says of the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second as played, spectral band replication included; 1 to 768 000.
    pub sample_rate: u32,
    /// Channels as played, parametric stereo included; at least 1.
    pub channels: u8,
}

/// The picture of a video sequence header: avcC, hvcC or av1C. Those of VP8 and VP9 do not say the size: there `config`
/// is a coded keyframe, whose own header says it. Other codecs are not read.
pub fn video_format(codec: VideoCodec, config: &[u8]) -> Option<VideoFormat> {
    match codec {
        VideoCodec::Avc => avc::format(config),
        VideoCodec::Hevc => hevc::format(config),
        VideoCodec::Av1 => av1::format(config),
        VideoCodec::Vp8 => vpx::vp8_format(config),
        VideoCodec::Vp9 => vpx::vp9_format(config),
        _ => None,
    }
}

/// The sound of an audio sequence header: AudioSpecificConfig, OpusHead or STREAMINFO. AC-3, E-AC-3 and MP3 have none:
/// there `config` is a coded frame, whose own header says it.
pub fn audio_format(codec: AudioCodec, config: &[u8]) -> Option<AudioFormat> {
    match codec {
        AudioCodec::Aac => aac::format(config),
        AudioCodec::Opus => sound::opus_format(config),
        AudioCodec::Flac => sound::flac_format(config),
        AudioCodec::Ac3 | AudioCodec::Eac3 => sound::ac3_format(config),
        AudioCodec::Mp3 => sound::mp3_format(config),
        _ => None,
    }
}

impl VideoFormat {
    /// A format within the bounds; a frame rate beyond them is left out.
    pub(super) fn within_bounds(width: u32, height: u32, fps: Option<f64>) -> Option<Self> {
        let sides = 1..=PICTURE_SIDE_MAX;
        let fps = fps.and_then(believable_rate);
        (sides.contains(&width) && sides.contains(&height)).then_some(Self { width, height, fps })
    }
}

impl AudioFormat {
    /// A format within the bounds.
    pub(super) fn within_bounds(sample_rate: u32, channels: u8) -> Option<Self> {
        let rate = (1..=SAMPLE_RATE_MAX).contains(&sample_rate);
        (rate && channels > 0).then_some(Self { sample_rate, channels })
    }
}

/// Frames per second that could be.
pub(super) fn believable_rate(fps: f64) -> Option<f64> {
    (fps.is_finite() && fps > 0.0 && fps <= FRAME_RATE_MAX).then_some(fps)
}
