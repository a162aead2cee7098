//! FLV tag headers, legacy and enhanced: every row is one message and what must be known of it.

mod hex;

use hex::hex;
use onair_codec::Timestamp;
use onair_codec::flv::{
    AudioCodec, AudioPacket, ChannelOrder, FlvError, FourCc, FrameType, MultichannelConfig, SoundFacts,
    VideoCodec, VideoCommand, VideoPacket, VideoTrack, parse_audio, parse_multichannel_config, parse_video,
};
use onair_codec::message::{Message, aggregate, type_id};
use proptest::prelude::*;

/// track id, codec, composition time, data
type VideoRow = (u8, VideoCodec, i32, &'static str);

/// track id, codec, data
type AudioRow = (u8, AudioCodec, &'static str);

fn video_track(row: &VideoRow) -> (u8, VideoCodec, i32, Vec<u8>) {
    (row.0, row.1, row.2, hex(row.3))
}

#[test]
fn every_form_of_video_message_is_understood() {
    use FrameType::{Command, Inter, Key};
    use VideoCodec::{Av1, Avc, H263, Hevc, Vp9};
    use VideoPacket::{CodedFrames, Empty, EndOfSequence, Metadata, SequenceHeader, TransportSequenceHeader};
    let seek_start = VideoPacket::Command(VideoCommand::SeekStart);

    let rows: Vec<(&str, &str, FrameType, VideoPacket, Vec<VideoRow>)> = vec![
        ("AVC config", "17 00 000000 01", Key, SequenceHeader, vec![(0, Avc, 0, "01")]),
        ("AVC key NALUs", "17 01 000085 aa", Key, CodedFrames, vec![(0, Avc, 133, "aa")]),
        ("AVC inter, negative CTS", "27 01 ffffd8 aa", Inter, CodedFrames, vec![(0, Avc, -40, "aa")]),
        ("AVC end of sequence", "17 02 000000", Key, EndOfSequence, vec![(0, Avc, 0, "")]),
        ("legacy HEVC id 12 config", "1c 00 000000 01", Key, SequenceHeader, vec![(0, Hevc, 0, "01")]),
        ("legacy HEVC id 12 inter", "2c 01 00000a aa", Inter, CodedFrames, vec![(0, Hevc, 10, "aa")]),
        ("video command frame", "57 00", Command, seek_start, vec![]),
        ("Sorenson H.263", "22 aa", Inter, CodedFrames, vec![(0, H263, 0, "aa")]),
        ("nothing at all", "", Inter, Empty, vec![]),
        ("one byte", "17", Key, Empty, vec![]),
        ("hvc1 SequenceStart", "90 68766331 01", Key, SequenceHeader, vec![(0, Hevc, 0, "01")]),
        (
            "hvc1 CodedFrames key, CTS 66",
            "91 68766331 000042 aa",
            Key,
            CodedFrames,
            vec![(0, Hevc, 66, "aa")],
        ),
        (
            "hvc1 CodedFrames inter, CTS -33",
            "a1 68766331 ffffdf aa",
            Inter,
            CodedFrames,
            vec![(0, Hevc, -33, "aa")],
        ),
        ("hvc1 CodedFramesX inter", "a3 68766331 aa", Inter, CodedFrames, vec![(0, Hevc, 0, "aa")]),
        ("av01 SequenceStart", "90 61763031 81", Key, SequenceHeader, vec![(0, Av1, 0, "81")]),
        ("av01 key", "91 61763031 aabbccdd", Key, CodedFrames, vec![(0, Av1, 0, "aabbccdd")]),
        ("av01 inter", "a1 61763031 aabbccdd", Inter, CodedFrames, vec![(0, Av1, 0, "aabbccdd")]),
        (
            "av01 SequenceStart in transport form",
            "95 61763031 80",
            Key,
            TransportSequenceHeader,
            vec![(0, Av1, 0, "80")],
        ),
        ("vp09 inter", "a1 76703039 aa", Inter, CodedFrames, vec![(0, Vp9, 0, "aa")]),
        ("hvc1 SequenceEnd", "92 68766331", Key, EndOfSequence, vec![(0, Hevc, 0, "")]),
        (
            "HDR metadata as OBS sends",
            "84 68766331 02 0009 636f6c6f72496e666f 03 000009",
            FrameType::Reserved(0),
            Metadata,
            vec![(0, Hevc, 0, "02 0009 636f6c6f72496e666f 03 000009")],
        ),
        (
            "HDR metadata as FFmpeg sends, under the command frame type",
            "d4 68766331 02 0009 636f6c6f72496e666f 03 000009",
            Command,
            Metadata,
            vec![(0, Hevc, 0, "02 0009 636f6c6f72496e666f 03 000009")],
        ),
        ("ex command frame", "d1 00", Command, seek_start, vec![]),
        (
            "OneTrack avc1 track 1 config",
            "96 00 61766331 01 0164",
            Key,
            SequenceHeader,
            vec![(1, Avc, 0, "0164")],
        ),
        (
            "OneTrack avc1 track 1 key CTS 33",
            "96 01 61766331 01 000021 aa",
            Key,
            CodedFrames,
            vec![(1, Avc, 33, "aa")],
        ),
        (
            "OneTrack hvc1 track 2 CodedFramesX inter",
            "a6 03 68766331 02 aa",
            Inter,
            CodedFrames,
            vec![(2, Hevc, 0, "aa")],
        ),
        (
            "ManyTracks avc1 CodedFramesX",
            "a6 13 61766331 00 000004 aaaaaaaa 01 000002 bbbb",
            Inter,
            CodedFrames,
            vec![(0, Avc, 0, "aaaaaaaa"), (1, Avc, 0, "bbbb")],
        ),
        (
            "ManyTracks avc1 CodedFrames, a composition time in each",
            "a6 11 61766331 00 000004 000021 aa 01 000005 ffffff bbbb",
            Inter,
            CodedFrames,
            vec![(0, Avc, 33, "aa"), (1, Avc, -1, "bbbb")],
        ),
        (
            "ManyTracksManyCodecs CodedFramesX",
            "a6 23 61766331 00 000002 aaaa 68766331 01 000003 bbbbbb",
            Inter,
            CodedFrames,
            vec![(0, Avc, 0, "aaaa"), (1, Hevc, 0, "bbbbbb")],
        ),
        (
            "ModEx nano 500000, hvc1 CodedFramesX inter",
            "a7 02 07a120 03 68766331 aa",
            Inter,
            CodedFrames,
            vec![(0, Hevc, 0, "aa")],
        ),
        (
            "unknown FourCC",
            "91 78797a31 aa",
            Key,
            CodedFrames,
            vec![(0, VideoCodec::Unknown(FourCc(*b"xyz1")), 0, "aa")],
        ),
        ("unknown legacy id", "1f aa", Key, CodedFrames, vec![(0, VideoCodec::UnknownId(15), 0, "aa")]),
    ];
    for (name, bytes, frame_type, packet, tracks) in rows {
        let bytes = hex(bytes);
        let tag = parse_video(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tag.frame_type(), frame_type, "{name}");
        assert_eq!(tag.packet(), packet, "{name}");
        assert_eq!(tag.is_coded_frame(), packet == CodedFrames, "{name}");
        assert_eq!(tag.is_keyframe(), packet == CodedFrames && frame_type == Key, "{name}");
        let header = matches!(packet, SequenceHeader | TransportSequenceHeader);
        assert_eq!(tag.is_sequence_header(), header, "{name}");
        let read = |track: VideoTrack<'_>| {
            (track.track_id, track.codec, track.composition_time, track.data.to_vec())
        };
        let read: Vec<_> = tag.tracks().map(read).collect();
        assert_eq!(read, tracks.iter().map(video_track).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn every_form_of_audio_message_is_understood() {
    use AudioCodec::{Aac, Flac, Mp3, Opus};
    use AudioPacket::{CodedFrames, Empty, EndOfSequence, MultichannelConfig, SequenceHeader};
    let opus_head = "4f70757348656164 01 02 3801 80bb0000 0000 00";

    let rows: Vec<(&str, &str, AudioPacket, Vec<AudioRow>)> = vec![
        ("AAC config 44.1k stereo", "af 00 1210", SequenceHeader, vec![(0, Aac, "1210")]),
        ("AAC config 48k stereo", "af 00 1190", SequenceHeader, vec![(0, Aac, "1190")]),
        ("AAC raw", "af 01 aa", CodedFrames, vec![(0, Aac, "aa")]),
        ("silence", "", Empty, vec![]),
        ("one byte", "af", Empty, vec![]),
        ("MP3", "2f fffb", CodedFrames, vec![(0, Mp3, "fffb")]),
        (
            "Opus SequenceStart",
            "90 4f707573 4f70757348656164 01 02 3801 80bb0000 0000 00",
            SequenceHeader,
            vec![(0, Opus, opus_head)],
        ),
        ("Opus frame", "91 4f707573 aa", CodedFrames, vec![(0, Opus, "aa")]),
        ("FLAC end", "92 664c6143", EndOfSequence, vec![(0, Flac, "")]),
        (
            "mp4a OneTrack track 1 config (OBS VOD track)",
            "95 00 6d703461 01 1210",
            SequenceHeader,
            vec![(1, Aac, "1210")],
        ),
        ("mp4a OneTrack track 1 frame", "95 01 6d703461 01 aa", CodedFrames, vec![(1, Aac, "aa")]),
        (
            "ManyTracksManyCodecs",
            "95 21 6d703461 00 000001 aa 4f707573 01 000000",
            CodedFrames,
            vec![(0, Aac, "aa"), (1, Opus, "")],
        ),
        (
            "MultichannelConfig native 5.1",
            "94 6d703461 01 06 0000003f",
            MultichannelConfig,
            vec![(0, Aac, "01 06 0000003f")],
        ),
        (
            "MultichannelConfig custom L,R",
            "94 4f707573 02 02 00 01",
            MultichannelConfig,
            vec![(0, Opus, "02 02 00 01")],
        ),
        (
            "audio ModEx nano 250000, Opus frame",
            "97 02 03d090 01 4f707573 aa",
            CodedFrames,
            vec![(0, Opus, "aa")],
        ),
    ];
    for (name, bytes, packet, tracks) in rows {
        let bytes = hex(bytes);
        let tag = parse_audio(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tag.packet(), packet, "{name}");
        assert_eq!(tag.is_coded_frame(), packet == CodedFrames, "{name}");
        assert_eq!(tag.is_sequence_header(), packet == SequenceHeader, "{name}");
        assert_eq!(tag.sound_facts().is_some(), name == "MP3", "{name}");
        let read: Vec<_> =
            tag.tracks().map(|track| (track.track_id, track.codec, track.data.to_vec())).collect();
        let expected: Vec<_> = tracks.iter().map(|(id, codec, data)| (*id, *codec, hex(data))).collect();
        assert_eq!(read, expected, "{name}");
    }
}

#[test]
fn legacy_headers_say_rate_and_channels_except_for_aac() {
    let facts = |sample_rate, channels, sample_bits| Some(SoundFacts { sample_rate, channels, sample_bits });
    let rows = [
        ("MP3 44.1k stereo", "2f aa", facts(44_100, 2, 16)),
        ("MP3 22k mono", "2a aa", facts(22_050, 1, 16)),
        ("MP3 8k", "ee aa", facts(8_000, 1, 16)),
        ("PCM 11k, 8 bits, stereo", "35 aa", facts(11_025, 2, 8)),
        ("Nellymoser 16k, always mono", "4f aa", facts(16_000, 1, 16)),
        ("Speex 16k, always mono", "bf aa", facts(16_000, 1, 16)),
        ("A-law", "72 aa", facts(8_000, 1, 16)),
        ("AAC, whose header always says 44.1k stereo", "af 01 aa", None),
        ("Opus", "91 4f707573 aa", None),
    ];
    for (name, bytes, expected) in rows {
        assert_eq!(parse_audio(&hex(bytes)).unwrap().sound_facts(), expected, "{name}");
    }
}

#[test]
fn nanoseconds_come_from_the_modifier_in_front() {
    let rows = [
        ("a7 02 07a120 03 68766331 aa", 500_000),
        ("longer data: the tail is ignored", 500_000),
        ("shorter data", 0),
        ("a whole millisecond and more", 0),
        ("an unknown modifier", 0),
        ("none", 0),
    ];
    let bytes = [
        "a7 02 07a120 03 68766331 aa",
        "a7 04 07a120ffff 03 68766331 aa",
        "a7 01 07a1 03 68766331 aa",
        "a7 02 0f4240 03 68766331 aa",
        "a7 02 07a120 13 68766331 aa",
        "a3 68766331 aa",
    ];
    for ((name, nanos), bytes) in rows.into_iter().zip(bytes) {
        assert_eq!(parse_video(&hex(bytes)).unwrap().nanosecond_offset(), nanos, "{name}");
    }
    assert_eq!(parse_audio(&hex("97 02 03d090 01 4f707573 aa")).unwrap().nanosecond_offset(), 250_000);
}

#[test]
fn a_modifier_of_256_bytes_is_skipped() {
    let bytes = [hex("a7 ff 00ff"), vec![0; 256], hex("13 68766331")].concat();
    let tag = parse_video(&bytes).unwrap();
    assert_eq!(tag.packet(), VideoPacket::CodedFrames);
    assert_eq!(tag.tracks().next().unwrap().codec, VideoCodec::Hevc);
}

#[test]
fn multichannel_configs_name_the_speakers() {
    let rows = [
        ("native 5.1", "01 06 0000003f", Ok((6, ChannelOrder::Native { mask: 0x3F }))),
        ("custom L,R", "02 02 00 01", Ok((2, ChannelOrder::Custom { speakers: &[0, 1] }))),
        ("unspecified", "00 08", Ok((8, ChannelOrder::Unspecified))),
        ("mask cut", "01 06 0000", Err(FlvError::Truncated)),
        ("map cut", "02 ff 00", Err(FlvError::Truncated)),
        ("reserved order", "03 01", Err(FlvError::UnknownChannelOrder { order: 3 })),
        ("empty", "", Err(FlvError::Truncated)),
    ];
    for (name, bytes, expected) in rows {
        let expected = expected.map(|(channels, order)| MultichannelConfig { channels, order });
        assert_eq!(parse_multichannel_config(&hex(bytes)), expected, "{name}");
    }
}

#[test]
fn hostile_video_messages_are_errors_of_that_message_only() {
    use FlvError::*;
    let rows: Vec<(&str, Vec<u8>, FlvError)> = vec![
        ("Multitrack inside Multitrack", hex("96 06 61766331 00"), Nested { packet_type: 6 }),
        ("ModEx inside Multitrack", hex("96 07 61766331 00"), Nested { packet_type: 7 }),
        ("ModEx cut", hex("a7 ff"), Truncated),
        ("ModEx without its next packet type", hex("a7 00 00"), Truncated),
        ("ModEx for ever", [hex("a7"), hex("00 00 07").repeat(9)].concat(), TooManyModifiers { limit: 8 }),
        ("ManyTracks size past end", hex("a6 13 61766331 00 ffffff aa"), Truncated),
        ("ManyTracks without a track", hex("a6 13 61766331"), NoTrack),
        ("ManyTracks, second track cut", hex("a6 13 61766331 00 000001 aa 01"), Truncated),
        ("OneTrack without its id", hex("a6 03 61766331"), Truncated),
        (
            "more tracks than ids",
            [hex("a6 13 61766331"), hex("00 000000").repeat(257)].concat(),
            TooManyTracks { limit: 256 },
        ),
        ("unknown multitrack type", hex("a6 33 61766331 00"), UnknownMultitrackType { multitrack_type: 3 }),
        ("ex header cut", hex("90 6876"), Truncated),
        ("ex header of one byte", hex("90"), Truncated),
        ("reserved packet type", hex("98 68766331"), UnknownPacketType { packet_type: 8 }),
        ("composition time cut", hex("91 68766331 0000"), Truncated),
        (
            "composition time cut in the second track",
            hex("a6 11 61766331 00 000003 000000 01 000002 0000"),
            Truncated,
        ),
        ("ex command cut", hex("d1"), Truncated),
        ("AVC packet cut", hex("17 01 0000"), Truncated),
        ("AVC packet type unknown", hex("17 03 000000"), UnknownPacketType { packet_type: 3 }),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(parse_video(&bytes), Err(error), "{name}");
    }
}

#[test]
fn hostile_audio_messages_are_errors_of_that_message_only() {
    use FlvError::*;
    let rows: Vec<(&str, Vec<u8>, FlvError)> = vec![
        ("Multitrack inside Multitrack", hex("95 05 6d703461 00"), Nested { packet_type: 5 }),
        ("ModEx inside Multitrack", hex("95 07 6d703461 00"), Nested { packet_type: 7 }),
        ("ModEx cut", hex("97 ff"), Truncated),
        ("ModEx for ever", [hex("97"), hex("00 00 07").repeat(9)].concat(), TooManyModifiers { limit: 8 }),
        ("ManyTracks size past end", hex("95 11 6d703461 00 ffffff aa"), Truncated),
        ("ex header cut", hex("90 4f70"), Truncated),
        ("reserved packet type", hex("93 6d703461"), UnknownPacketType { packet_type: 3 }),
        ("AAC packet type unknown", hex("af 02 aa"), UnknownPacketType { packet_type: 2 }),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(parse_audio(&bytes), Err(error), "{name}");
    }
}

/// FLV tags inside of an aggregate message: the high byte of the time stands behind the low three.
#[test]
fn the_time_of_a_whole_flv_tag_is_put_together() {
    let tags = "08 000004 000000 00 000000 af001210 0000000f 08 000004 020304 01 000000 af001210 0000000f";
    let aggregate = Message {
        chunk_stream_id: 4,
        type_id: type_id::AGGREGATE,
        message_stream_id: 1,
        timestamp: Timestamp(0),
        payload: hex(tags).into(),
    };
    let second = aggregate::split(&aggregate).unwrap().nth(1).unwrap();
    assert_eq!((second.type_id, second.timestamp), (type_id::AUDIO, Timestamp(0x0102_0304)));
    assert!(parse_audio(&second.payload).unwrap().is_sequence_header());
}

#[test]
fn codecs_are_shown_by_lower_case_names_and_unknown_ones_by_their_code() {
    assert_eq!(VideoCodec::Avc.to_string(), "h264");
    assert_eq!(VideoCodec::Hevc.to_string(), "h265");
    assert_eq!(AudioCodec::Eac3.to_string(), "eac3");
    assert_eq!(VideoCodec::Unknown(FourCc(*b"xyz1")).to_string(), "xyz1");
    assert_eq!(VideoCodec::Unknown(FourCc(*b"xyz1")).as_str(), "unknown");
    assert_eq!(AudioCodec::Unknown(FourCc([0x1B, b'[', b'2', b'J'])).to_string(), "0x1b5b324a");
    assert_eq!(AudioCodec::UnknownId(15).to_string(), "unknown");
}

proptest! {
    /// What the walk at parse time accepted is what the iterators yield.
    #[test]
    fn no_bytes_panic(payload in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(tag) = parse_video(&payload) {
            prop_assert!(tag.tracks().count() <= 256);
        }
        if let Ok(tag) = parse_audio(&payload) {
            prop_assert!(tag.tracks().count() <= 256);
        }
        let _ = parse_multichannel_config(&payload);
    }
}
