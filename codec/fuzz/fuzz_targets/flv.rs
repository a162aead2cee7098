//! Any bytes as an audio, video or data message: headers, tracks, every sequence header parser, metadata.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onair_codec::amf0::AmfLimits;
use onair_codec::flv::{
    AudioCodec, VideoCodec, audio_format, parse_audio, parse_metadata, parse_multichannel_config,
    parse_video, video_format,
};

const VIDEO: [VideoCodec; 5] =
    [VideoCodec::Avc, VideoCodec::Hevc, VideoCodec::Av1, VideoCodec::Vp8, VideoCodec::Vp9];
const AUDIO: [AudioCodec; 5] =
    [AudioCodec::Aac, AudioCodec::Opus, AudioCodec::Flac, AudioCodec::Ac3, AudioCodec::Mp3];

fuzz_target!(|payload: &[u8]| {
    if let Ok(tag) = parse_video(payload) {
        let tracks: Vec<_> = tag.tracks().collect();
        assert!(tracks.len() <= 256);
        assert!(tag.nanosecond_offset() < 1_000_000);
        assert!(!(tag.is_coded_frame() && tag.is_sequence_header()));
        assert!(!tag.is_keyframe() || tag.is_coded_frame());
        tracks.iter().for_each(|track| check_video(track.codec, track.data));
    }
    if let Ok(tag) = parse_audio(payload) {
        let tracks: Vec<_> = tag.tracks().collect();
        assert!(tracks.len() <= 256);
        tracks.iter().for_each(|track| check_audio(track.codec, track.data));
    }
    VIDEO.into_iter().for_each(|codec| check_video(codec, payload));
    AUDIO.into_iter().for_each(|codec| check_audio(codec, payload));
    let _ = parse_multichannel_config(payload);
    if let Some(metadata) = parse_metadata(payload, &AmfLimits::default()) {
        assert!(metadata.width.is_none_or(|width| (1..=16_384).contains(&width)));
        assert!(metadata.encoder.is_none_or(|name| name.chars().count() <= 128));
    }
});

fn check_video(codec: VideoCodec, config: &[u8]) {
    let _ = codec.to_string();
    if let Some(format) = video_format(codec, config) {
        assert!((1..=16_384).contains(&format.width) && (1..=16_384).contains(&format.height));
        assert!(format.fps.is_none_or(|fps| fps > 0.0 && fps <= 1_000.0));
    }
}

fn check_audio(codec: AudioCodec, config: &[u8]) {
    let _ = codec.to_string();
    if let Some(format) = audio_format(codec, config) {
        assert!((1..=768_000).contains(&format.sample_rate) && format.channels > 0);
    }
}
