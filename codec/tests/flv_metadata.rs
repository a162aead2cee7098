//! onMetaData: what real encoders say of their media, and what is not believed.

mod hex;

use hex::hex;
use onair_codec::amf0::{AmfLimits, Value, write_all};
use onair_codec::flv::{AudioCodec, FourCc, Metadata, VideoCodec, parse_metadata};
use proptest::prelude::*;

fn parse(body: &[u8]) -> Option<Metadata> {
    parse_metadata(body, &AmfLimits::default())
}

fn metadata<const N: usize>(properties: [(&'static str, Value); N]) -> Metadata {
    let body = write_all(&["onMetaData".into(), Value::ecma_array(properties)]);
    parse(&body).expect("it is onMetaData")
}

/// Data messages as real encoders sent them, byte for byte.
#[test]
fn metadata_of_real_encoders_is_read() {
    let obs = "02000d40736574446174614672616d6502000a6f6e4d65746144617461080000001400086475726174696f6e00000000\
        0000000000000866696c6553697a65000000000000000000000577696474680040840000000000000006686569676874\
        004076800000000000000c766964656f636f646563696400401c000000000000000d766964656f646174617261746500\
        408900000000000000096672616d657261746500403e000000000000000c617564696f636f6465636964004024000000\
        000000000d617564696f6461746172617465004058000000000000000f617564696f73616d706c65726174650040e770\
        0000000000000f617564696f73616d706c6573697a65004030000000000000000d617564696f6368616e6e656c730040\
        00000000000000000673746572656f01010003322e3101000003332e3101000003342e3001000003342e310100000335\
        2e3101000003372e3101000007656e636f6465720200306f62732d6f7574707574206d6f64756c6520286c69626f6273\
        2076657273696f6e2032392e302e322e312d312b623129000009";
    let expected = Metadata {
        width: Some(640),
        height: Some(360),
        fps: Some(30.0),
        video_codec: Some(VideoCodec::Avc),
        audio_codec: Some(AudioCodec::Aac),
        video_bitrate_kbps: Some(800.0),
        audio_bitrate_kbps: Some(96.0),
        sample_rate: Some(48_000),
        channels: Some(2),
        encoder: Some("obs-output module (libobs version 29.0.2.1-1+b1)".into()),
    };
    assert_eq!(parse(&hex(obs)), Some(expected), "OBS 29");

    let ffmpeg = "02000d40736574446174614672616d6502000a6f6e4d65746144617461080000000d00086475726174696f6e00400800\
        0000000000000577696474680040740000000000000006686569676874004066800000000000000d766964656f646174\
        61726174650040686a000000000000096672616d657261746500403e000000000000000c766964656f636f6465636964\
        0041d85d8c0c400000000d617564696f6461746172617465004047700000000000000f617564696f73616d706c657261\
        74650040e7700000000000000f617564696f73616d706c6573697a65004030000000000000000673746572656f010000\
        0c617564696f636f64656369640041d3dc1d5cc000000007656e636f64657202000c4c61766636332e312e3130320008\
        66696c6573697a65000000000000000000000009";
    let expected = Metadata {
        width: Some(320),
        height: Some(180),
        fps: Some(30.0),
        video_codec: Some(VideoCodec::Av1),
        audio_codec: Some(AudioCodec::Opus),
        video_bitrate_kbps: Some(195.3125),
        audio_bitrate_kbps: Some(46.875),
        sample_rate: Some(48_000),
        channels: Some(1),
        encoder: Some("Lavf63.1.102".into()),
    };
    assert_eq!(parse(&hex(ffmpeg)), Some(expected), "FFmpeg 9, AV1 and Opus");
}

#[test]
fn codec_ids_come_as_legacy_number_fourcc_number_or_text() {
    let rows: [(Value, Option<VideoCodec>); 9] = [
        (7.0.into(), Some(VideoCodec::Avc)),
        (12.0.into(), Some(VideoCodec::Hevc)),
        (1_752_589_105.0.into(), Some(VideoCodec::Hevc)),
        (1_635_135_537.0.into(), Some(VideoCodec::Av1)),
        (1_987_063_865.0.into(), Some(VideoCodec::Vp9)),
        ("avc1".into(), Some(VideoCodec::Avc)),
        ("7".into(), Some(VideoCodec::Avc)),
        ("xyz1".into(), Some(VideoCodec::Unknown(FourCc(*b"xyz1")))),
        (f64::NAN.into(), None),
    ];
    for (id, codec) in rows {
        assert_eq!(metadata([("videocodecid", id.clone())]).video_codec, codec, "{id:?}");
    }
    let rows: [(Value, Option<AudioCodec>); 8] = [
        (10.0.into(), Some(AudioCodec::Aac)),
        (1_332_770_163.0.into(), Some(AudioCodec::Opus)),
        (1_716_281_667.0.into(), Some(AudioCodec::Flac)),
        (1_633_889_587.0.into(), Some(AudioCodec::Ac3)),
        (1_700_998_451.0.into(), Some(AudioCodec::Eac3)),
        (778_924_083.0.into(), Some(AudioCodec::Mp3)),
        ("mp4a".into(), Some(AudioCodec::Aac)),
        (Value::Null, None),
    ];
    for (id, codec) in rows {
        assert_eq!(metadata([("audiocodecid", id.clone())]).audio_codec, codec, "{id:?}");
    }
}

#[test]
fn what_cannot_be_is_not_believed() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 0.5, 1e300] {
        let read = metadata([
            ("width", number.into()),
            ("height", number.into()),
            ("audiosamplerate", number.into()),
            ("audiochannels", number.into()),
        ]);
        assert_eq!(read, Metadata::default(), "{number}");
    }
    for number in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
        let read = metadata([("framerate", number.into()), ("videodatarate", number.into())]);
        assert_eq!(read, Metadata::default(), "{number}");
    }
    assert_eq!(metadata([("width", 16_385.0.into()), ("height", 16_384.0.into())]).width, None);
}

#[test]
fn an_encoder_name_is_made_safe_to_store() {
    let name = |text: &[u8]| metadata([("encoder", Value::string(text))]).encoder;
    assert_eq!(name(b"a\0b\x1b[2J\n"), Some("ab[2J".into()));
    assert_eq!(name(b"No\xebl"), Some("No\u{fffd}l".into()));
    assert_eq!(name(b" \0 "), None);
    assert_eq!(name(&[b'x'; 60_000]).map(|name| name.len()), Some(128));
    assert_eq!(name("é".repeat(1000).as_bytes()).map(|name| name.chars().count()), Some(128));
}

#[test]
fn other_forms_of_the_message_are_accepted() {
    let properties = || Value::object([("width", 1920.0.into())]);
    let expected = Some(Metadata { width: Some(1920), ..Metadata::default() });
    let rows = [
        ("an object without @setDataFrame", vec!["onMetaData".into(), properties()]),
        ("with it", vec!["@setDataFrame".into(), "onMetaData".into(), properties()]),
        ("with more behind it", vec!["onMetaData".into(), properties(), Value::Null]),
    ];
    for (name, values) in rows {
        assert_eq!(parse(&write_all(&values)), expected, "{name}");
    }
    let mut cut = write_all(&["onMetaData".into(), properties()]);
    cut.truncate(cut.len() - 3);
    assert_eq!(parse(&cut), expected, "without the object's end");
    assert_eq!(metadata([("fps", 25.0.into()), ("stereo", true.into())]).channels, Some(2));
    assert_eq!(parse(&write_all(&["onMetaData".into()])), Some(Metadata::default()), "empty");
}

#[test]
fn other_messages_are_no_metadata() {
    let rows = [
        ("nothing", ""),
        ("no string", "05"),
        ("onTextData", "02000a 6f6e5465787444617461 03 000009"),
        ("FFmpeg's time code, which is no AMF", "00000000"),
        ("@setDataFrame alone", "02000d 40736574446174614672616d65"),
    ];
    for (name, body) in rows {
        assert_eq!(parse(&hex(body)), None, "{name}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(tail in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse(&tail);
        let mut body = write_all(&["onMetaData".into()]);
        body.extend_from_slice(&tail);
        prop_assert!(parse(&body).is_some());
    }
}
