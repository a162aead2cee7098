//! Sequence headers: those of real encoders give the known picture and sound, and no others give nonsense.

mod hex;

use hex::hex;
use onair_codec::flv::{
    AudioCodec, AudioFormat, VideoCodec, VideoFormat, audio_format, parse_audio, parse_video, video_format,
};
use proptest::prelude::*;

const VIDEO: [VideoCodec; 6] =
    [VideoCodec::Avc, VideoCodec::Hevc, VideoCodec::Av1, VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::H263];
const AUDIO: [AudioCodec; 7] = [
    AudioCodec::Aac,
    AudioCodec::Opus,
    AudioCodec::Flac,
    AudioCodec::Ac3,
    AudioCodec::Eac3,
    AudioCodec::Mp3,
    AudioCodec::Pcm,
];

/// x265 by FFmpeg: profile, VPS, SPS, PPS. The SEI message behind them (the encoder's settings) is left out.
const HVCC: &str = "01 01 60000000 900000000000 3c f000 fc fd f8 f8 0000 0f 03 \
    20 0001 0018 40010c01ffff01600000030090000003000003003c9594 09 \
    21 0001 002b 42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003c10 \
    22 0001 0006 4401c073c189";

/// Messages as real encoders sent them. The pictures are 640×360 and 320×180 at 30 frames per second.
#[test]
fn sequence_headers_of_real_encoders_give_the_picture() {
    let hevc = format!("90 68766331 {HVCC}");
    let rows = [
        (
            "OBS 29, x264",
            "17 00 000000 0142c01effe1001b6742c01eda0280bfe5c05a808080a0000003002000000791e2c5d4 01000468ce3c80",
            Some((640, 360)),
            Some(30.0),
        ),
        (
            "FFmpeg, libx264",
            "17 00 000000 0164000dffe1001a6764000dacd941419f9f0110000003001000000303c0f1429960 \
             01000468efbcb0fdf8f800",
            Some((320, 180)),
            Some(30.0),
        ),
        (
            "FFmpeg, libx264, second track",
            "96 00 61766331 01 0164000cffe100196764000cacd9428df930110000030001000003003c0f142996 \
             01000468efbcb0fdf8f800",
            Some((160, 90)),
            Some(30.0),
        ),
        (
            "GStreamer, x264 in 4:4:4",
            "17 00 000000 01f4000dffe1001d67f4000d90d96405067e37016a0c0c0c80000003008000001e478a1524 \
             01000668ebcc448440",
            Some((320, 180)),
            Some(30.0),
        ),
        ("FFmpeg, x265", hevc.as_str(), Some((320, 180)), Some(30.0)),
        ("FFmpeg, SVT-AV1", "90 61763031 81000c000a0b0200000521e7f66017c002", Some((320, 180)), None),
        ("FFmpeg, libvpx VP9", "90 76703039 01000000000b820202020000", None, None),
        (
            "FFmpeg, libvpx VP9, first keyframe",
            "91 76703039 824983420013f00b360638241c1842000b6050661f",
            Some((320, 180)),
            None,
        ),
    ];
    for (name, message, size, fps) in rows {
        let message = hex(message);
        let track = parse_video(&message).unwrap().tracks().next().unwrap();
        let expected = size.map(|(width, height)| VideoFormat { width, height, fps });
        assert_eq!(video_format(track.codec, track.data), expected, "{name}");
    }
}

#[test]
fn sequence_headers_of_real_encoders_give_the_sound() {
    let rows = [
        ("OBS 29, AAC stereo", "af 00 119056e500", 48_000, 2),
        ("FFmpeg, AAC mono", "af 00 118856e500", 48_000, 1),
        ("FFmpeg, AAC mono, second track", "95 00 6d703461 01 118856e500", 48_000, 1),
        ("GStreamer, AAC mono", "af 00 120856e500", 44_100, 1),
        ("FFmpeg, libopus", "90 4f707573 4f707573486561640101380180bb0000000000", 48_000, 1),
        (
            "FFmpeg, FLAC: the bare block",
            "90 664c6143 04000400000000000815 0bb800f00000000000000000000000000000000000000000",
            48_000,
            1,
        ),
    ];
    for (name, message, sample_rate, channels) in rows {
        let message = hex(message);
        let track = parse_audio(&message).unwrap().tracks().next().unwrap();
        let expected = Some(AudioFormat { sample_rate, channels });
        assert_eq!(audio_format(track.codec, track.data), expected, "{name}");
    }
}

#[test]
fn audio_configs_of_the_specifications_give_the_sound() {
    use AudioCodec::{Aac, Ac3, Eac3, Flac, Mp3, Opus};
    let rows = [
        ("LC 44.1k stereo", Aac, "1210", Some((44_100, 2))),
        ("LC 48k stereo", Aac, "1190", Some((48_000, 2))),
        ("LC 48k 5.1", Aac, "11b0", Some((48_000, 6))),
        ("LC 48k 7.1", Aac, "11b8", Some((48_000, 8))),
        // type 2, index 15, rate 24 bits, 2 channels: 00010 1111 then 0x00BB80, 0010, 000
        ("escape rate 48000", Aac, "17805dc010", Some((48_000, 2))),
        ("escape rate beyond belief", Aac, "17ffffff90", None),
        ("reserved rate index", Aac, "1690", None),
        // type 5, 22.05k, 2 channels, extension 44.1k, type 2
        ("SBR, explicit", Aac, "2b920800", Some((44_100, 2))),
        // type 29, 22.05k, 1 channel, extension 44.1k, type 2
        ("SBR and PS, explicit", Aac, "eb8a0800", Some((44_100, 2))),
        // LC 24k stereo, then 0x2B7, type 5, present, 48k
        ("SBR, backward compatible", Aac, "131056e598", Some((48_000, 2))),
        // LC 24k mono, the same, then 0x548, present
        ("SBR and PS, backward compatible", Aac, "130856e59d4880", Some((48_000, 2))),
        ("SBR, said to be absent", Aac, "118856e500", Some((48_000, 1))),
        ("no channels said", Aac, "1180", None),
        ("cut", Aac, "12", None),
        ("empty", Aac, "", None),
        (
            "OpusHead stereo, 44.1k in",
            Opus,
            "4f70757348656164 01 02 3801 44ac0000 0000 00",
            Some((48_000, 2)),
        ),
        ("OpusHead, incompatible version", Opus, "4f70757348656164 10 02 3801 80bb0000 0000 00", None),
        ("OpusHead without channels", Opus, "4f70757348656164 01 00 3801 80bb0000 0000 00", None),
        ("OpusHead cut", Opus, "4f70757348656164 01 02", None),
        ("Opus without a head", Opus, "", None),
        (
            "FLAC with signature and block header",
            Flac,
            "664c6143 80000022 10001000000000000000 0ac442f000000000 00000000000000000000000000000000",
            Some((44_100, 2)),
        ),
        ("FLAC cut", Flac, "664c6143 80000022 1000", None),
        ("AC-3 48k 5.1, a syncframe", Ac3, "0b77 0000 1e 40 e1", Some((48_000, 6))),
        ("AC-3 44.1k stereo", Ac3, "0b77 0000 54 40 40", Some((44_100, 2))),
        ("AC-3 reserved rate", Ac3, "0b77 0000 c0 40 40", None),
        ("AC-3 without sync", Ac3, "0b78 0000 54 40 40", None),
        ("E-AC-3 48k 5.1", Eac3, "0b77 02ff 3f 80", Some((48_000, 6))),
        ("MP3 44.1k stereo", Mp3, "fffb9000", Some((44_100, 2))),
        ("MP3 22.05k mono (MPEG-2)", Mp3, "fff390c0", Some((22_050, 1))),
        ("MP3 without sync", Mp3, "00fb9000", None),
        ("PCM has no header", AudioCodec::Pcm, "1210", None),
    ];
    for (name, codec, config, expected) in rows {
        let expected = expected.map(|(sample_rate, channels)| AudioFormat { sample_rate, channels });
        assert_eq!(audio_format(codec, &hex(config)), expected, "{name}");
    }
}

/// An SPS in crumbs: the record is either refused as a whole or gives the same picture; never another one.
#[test]
fn a_config_cut_anywhere_gives_the_same_picture_or_none() {
    let avc =
        hex("0164000dffe1001a6764000dacd941419f9f0110000003001000000303c0f1429960 01000468efbcb0fdf8f800");
    let hevc = hex(HVCC);
    let av1 = hex("81000c000a0b0200000521e7f66017c002");
    for (codec, config) in [(VideoCodec::Avc, avc), (VideoCodec::Hevc, hevc), (VideoCodec::Av1, av1)] {
        for cut in 0..config.len() {
            if let Some(format) = video_format(codec, &config[..cut]) {
                assert_eq!((format.width, format.height), (320, 180), "{codec} cut at {cut}");
            }
        }
    }
}

/// A parameter set cut inside its record, whose length says so: the timing is lost, the size is not.
#[test]
fn an_sps_that_ends_after_its_size_still_gives_the_size() {
    let record = hex("0164000dffe1 000a 6764000dacd941419f9f");
    let expected = VideoFormat { width: 320, height: 180, fps: None };
    assert_eq!(video_format(VideoCodec::Avc, &record), Some(expected));
}

#[test]
fn hostile_configs_are_nothing() {
    use VideoCodec::{Av1, Avc, Hevc};
    let rows = [
        ("avcC empty", Avc, ""),
        ("avcC without an SPS", Avc, "0164000dffe0"),
        ("avcC of six bytes", Avc, "0164000dffe1"),
        ("avcC with an empty SPS", Avc, "0164000dffe10000"),
        ("avcC with an SPS of one byte", Avc, "0164000dffe1000167"),
        ("avcC whose SPS is longer than the record", Avc, "0164000dffe1ffff6764"),
        ("avcC with a PPS in the place of the SPS", Avc, "0164000dffe1000468efbcb0"),
        ("avcC with an SPS of zeros", Avc, "0164000dffe1 0010 67000000000000000000000000000000"),
        ("hvcC without arrays", Hevc, "0101600000009000000000003cf000fcfdf8f800000f00"),
        ("hvcC with 255 arrays of nothing", Hevc, "0101600000009000000000003cf000fcfdf8f800000fff"),
        ("hvcC with 65535 units of nothing", Hevc, "0101600000009000000000003cf000fcfdf8f800000f0120ffff"),
        ("hvcC with an empty SPS", Hevc, "0101600000009000000000003cf000fcfdf8f800000f0121 0001 0000"),
        ("av1C without a sequence header", Av1, "81000c00"),
        ("av1C without its marker", Av1, "01000c000a0b0200000521e7f66017c002"),
        ("av1C with a size past the end", Av1, "81000c000aff"),
        ("av1C with a size that never ends", Av1, "81000c000affffffffffffffffffff"),
        ("av1C with units of nothing", Av1, "81000c00 1200 1200 1200"),
    ];
    for (name, codec, config) in rows {
        assert_eq!(video_format(codec, &hex(config)), None, "{name}");
    }
}

/// Bytes of a text of binary digits, filled up with zeros; spaces only mark field borders.
fn bits(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b' ').map(|digit| digit - b'0').collect();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit) << (8 - bits.len());
    digits.chunks(8).map(byte).collect()
}

/// A NAL unit with what keeps a start code out of its payload.
fn nal_unit(header: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut unit = header.to_vec();
    for &byte in payload {
        if unit.ends_with(&[0, 0]) && byte <= 3 {
            unit.push(3);
        }
        unit.push(byte);
    }
    unit
}

fn avc_record(sps: &str) -> Vec<u8> {
    let unit = nal_unit(&[0x67], &bits(sps));
    [hex("0142c01effe1"), (unit.len() as u16).to_be_bytes().to_vec(), unit].concat()
}

fn hevc_record(sps: &str) -> Vec<u8> {
    let unit = nal_unit(&[0x42, 0x01], &bits(sps));
    let header = hex("0101600000009000000000003cf000fcfdf8f800000f01 21 0001");
    [header, (unit.len() as u16).to_be_bytes().to_vec(), unit].concat()
}

#[test]
fn a_picture_beyond_16384_pixels_is_not_believed() {
    // Baseline, order count type 2, one reference; width in macroblocks less one; one macroblock down.
    let sps = |width: &str| format!("01000010 00000000 00011110 1 1 011 010 0 {width} 1 1 1 0 0 1");
    let widest = VideoFormat { width: 16_384, height: 16, fps: None };
    let record = avc_record(&sps("0000000000 10000000000"));
    assert_eq!(video_format(VideoCodec::Avc, &record), Some(widest));
    let record = avc_record(&sps("0000000000 10000000001"));
    assert_eq!(video_format(VideoCodec::Avc, &record), None);
    // The largest number the code can say: multiplied by 16 it would not fit 32 bits.
    let record = avc_record(&sps(&format!("{} 1 {}", "0".repeat(31), "1".repeat(31))));
    assert_eq!(video_format(VideoCodec::Avc, &record), None);
}

#[test]
fn an_interlaced_picture_is_cropped_by_pairs_of_lines() {
    // Main profile, 120 × 34 units of 16 × 32 pixels, 2 × 4 lines cropped at the bottom; an extended sample aspect
    // ratio, which is skipped; 60000 ticks of 1001 in a second, two in a frame.
    let timing = format!("{:032b} {:032b}", 1001, 60_000);
    let record = avc_record(&format!(
        "01001101 00000000 00011110 1 1 011 010 0 0000001111000 00000100010 0 0 1 1 1 1 1 011 \
         1 1 11111111 {:032b} 0 0 0 1 {timing} 1 1",
        0x0004_0003
    ));
    let format = video_format(VideoCodec::Avc, &record).unwrap();
    assert_eq!((format.width, format.height), (1920, 1080));
    assert!((format.fps.unwrap() - 29.97).abs() < 0.001);
}

#[test]
fn a_picture_cropped_to_nothing_is_not_believed() {
    // One macroblock, 8 × 2 columns cropped.
    let record = avc_record("01000010 00000000 00011110 1 1 011 010 0 1 1 1 1 1 0001001 1 1 1 0 1");
    assert_eq!(video_format(VideoCodec::Avc, &record), None);
}

/// How many flags a predicted set has depends on the size of the one before: one miscounted picture, and the timing
/// behind them is noise.
#[test]
fn hevc_timing_is_found_behind_predicted_reference_sets() {
    let before = format!("0000 000 1 {} 1 010", "0".repeat(96));
    // 1920 × 1088 pixels, 4 × 2 lines cropped at the bottom.
    let size = "0000000000 11110000001 0000000000 10001000001 1 1 1 1 00101";
    let constants = "1 1 1 1 111 111111 0 00 0";
    // {-1, 1}; shifted by -1: {-1, -2}; shifted by 1, the second left out: {1}
    let sets = "00100 010 010 1 1 1 1  1 1 1 1 1 1  1 0 1 1 00 1";
    let long_term = "1 010 0000 1 00";
    let timing = format!("1 0 0 1 0000 0 0 000 0 1 {:032b} {:032b}", 1, 50);
    let record = hevc_record(&format!("{before} {size} {constants} {sets} {long_term} {timing} 1"));
    let expected = VideoFormat { width: 1920, height: 1080, fps: Some(50.0) };
    assert_eq!(video_format(VideoCodec::Hevc, &record), Some(expected));
}

#[test]
fn the_record_of_hevc_says_a_rate_when_its_parameter_set_does_not() {
    let before = format!("0000 000 1 {} 1 010", "0".repeat(96));
    // 64 × 64 pixels, no cropping, and nothing behind.
    let mut record = hevc_record(&format!("{before} 000000 1000001 000000 1000001 0 1"));
    record[19..21].copy_from_slice(&(25_u16 * 256).to_be_bytes());
    let expected = VideoFormat { width: 64, height: 64, fps: Some(25.0) };
    assert_eq!(video_format(VideoCodec::Hevc, &record), Some(expected));
}

#[test]
fn av1_timing_is_read_when_frames_are_evenly_spaced() {
    // Profile 0, timing of 1 unit and 60 ticks, evenly, 2 ticks a picture; a decoder model with delays of 6 bits; one
    // operating point with a tier and delays; sizes of 10 bits.
    let header = format!(
        "000 0 0 1 {:032b} {:032b} 1 010 1 00101 {:032b} 00000 00000 1 00000 000000000000 01000 0 1 000000 000000 0 \
         1 0000 1001 1001 {:010b} {:010b}",
        1, 60, 1, 639, 359
    );
    let payload = bits(&header);
    let record = [hex("81000c00 0a"), vec![payload.len() as u8], payload].concat();
    let expected = VideoFormat { width: 640, height: 360, fps: Some(30.0) };
    assert_eq!(video_format(VideoCodec::Av1, &record), Some(expected));
}

#[test]
fn vp8_and_vp9_keyframes_say_the_size_and_other_frames_do_not() {
    let size =
        |codec, frame: &str| video_format(codec, &hex(frame)).map(|format| (format.width, format.height));
    assert_eq!(size(VideoCodec::Vp8, "500100 9d012a 4001 b400 00"), Some((320, 180)));
    assert_eq!(size(VideoCodec::Vp8, "510100 9d012a 4001 b400 00"), None);
    assert_eq!(size(VideoCodec::Vp8, "500100 9d012b 4001 b400 00"), None);
    assert_eq!(size(VideoCodec::Vp9, "82 498342 0013f00b36"), Some((320, 180)));
    assert_eq!(size(VideoCodec::Vp9, "86 498342 0013f00b36"), None);
    // Profile 1 says its subsampling: marker, profile 01, then colour space 1 and four bits.
    let frame = bits(&format!("10 10 0 0 1 0 {:024b} 001 0 110 {:016b} {:016b}", 0x49_8342, 319, 179));
    let expected = VideoFormat { width: 320, height: 180, fps: None };
    assert_eq!(video_format(VideoCodec::Vp9, &frame), Some(expected));
}

#[test]
fn aac_channels_can_come_from_a_program_config_element() {
    // LC, 48 kHz, configuration 0; one pair in front, one LFE, an empty comment.
    let element = "0000 01 0011 0001 0000 0000 01 000 0000 0 0 0  1 0000  0000";
    let config = bits(&format!("00010 0011 0000 000 {element} 0000000 00000000"));
    let expected = AudioFormat { sample_rate: 48_000, channels: 3 };
    assert_eq!(audio_format(AudioCodec::Aac, &config), Some(expected));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_no_answer_is_out_of_bounds(config in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in VIDEO {
            if let Some(format) = video_format(codec, &config) {
                prop_assert!((1..=16_384).contains(&format.width) && (1..=16_384).contains(&format.height));
                prop_assert!(format.fps.is_none_or(|fps| fps > 0.0 && fps <= 1_000.0));
            }
        }
        for codec in AUDIO {
            if let Some(format) = audio_format(codec, &config) {
                prop_assert!((1..=768_000).contains(&format.sample_rate) && format.channels > 0);
            }
        }
    }

    /// Bits that a random body would never reach: a good parameter set with some bytes replaced.
    #[test]
    fn damaged_configs_do_not_panic(
        at in any::<prop::sample::Index>(),
        damage in prop::collection::vec(any::<u8>(), 1..6),
    ) {
        let configs = [
            (VideoCodec::Avc, "0142c01effe1001b6742c01eda0280bfe5c05a808080a0000003002000000791e2c5d401000468ce3c80"),
            (VideoCodec::Hevc, HVCC),
            (VideoCodec::Av1, "81000c000a0b0200000521e7f66017c002"),
        ];
        for (codec, config) in configs {
            let mut config = hex(config);
            let at = at.index(config.len());
            for (byte, damaged) in config[at..].iter_mut().zip(&damage) {
                *byte = *damaged;
            }
            let _ = video_format(codec, &config);
        }
    }
}
