//! Known answers: what real encoders and a real player sent must be read as what it is.
//!
//! The captures are described in `captures/README.md`. Round trips cannot see a slip that writer and reader share;
//! these bytes come from others.

// A test fails by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use onair_codec::chunk::ChunkReader;
use onair_codec::flv::{AudioCodec, AudioTag, VideoCodec, VideoTag, parse_audio, parse_video};
use onair_codec::handshake::{BLOCK_BYTES, digest};
use onair_codec::message::Message;
use onair_codec::{
    ClientEvent, Event, ExtendedTimestamps, Limits, Media, MediaKind, PlayStart, PublishKind, Timestamp,
};
use support::{Client, KEY, ROOM, Server, capture};

/// What is known about a captured publisher.
struct Known {
    name: &'static str,
    agent: &'static str,
    /// Number of audio, video and data messages.
    messages: [usize; 3],
    video: VideoCodec,
    audio: AudioCodec,
    /// Track ids in use.
    tracks: &'static [u8],
    /// Number of coded video frames, and of keyframes among them.
    frames: usize,
    keyframes: usize,
    /// Time of the first coded frame, and kind and time of the last message.
    first_at: u32,
    last: (MediaKind, u32),
    says_goodbye: bool,
}

const OBS: Known = Known {
    name: "obs-29-h264-aac",
    agent: "FMLE/3.0 (compatible; FMSc/1.0)",
    messages: [517, 331, 1],
    video: VideoCodec::Avc,
    audio: AudioCodec::Aac,
    tracks: &[0],
    frames: 330,
    keyframes: 2,
    first_at: 0,
    last: (MediaKind::Audio, 10_986),
    says_goodbye: false,
};

const FFMPEG_5: Known = Known {
    name: "ffmpeg-5.1-h264-aac",
    agent: "FMLE/3.0 (compatible; Lavf59.27.100)",
    messages: [143, 92, 1],
    frames: 90,
    keyframes: 3,
    last: (MediaKind::Video, 2967),
    says_goodbye: true,
    ..OBS
};

const FFMPEG_9: Known =
    Known { name: "ffmpeg-9.0-h264-aac", agent: "FMLE/3.0 (compatible; Lavf63.1.102)", ..FFMPEG_5 };

const KNOWN: [Known; 9] = [
    OBS,
    FFMPEG_5,
    Known {
        name: "ffmpeg-5.1-extended-timestamp",
        first_at: 16_775_933,
        last: (MediaKind::Video, 16_778_900),
        ..FFMPEG_5
    },
    FFMPEG_9,
    Known {
        name: "ffmpeg-9.0-hevc-aac",
        video: VideoCodec::Hevc,
        last: (MediaKind::Audio, 3054),
        ..FFMPEG_9
    },
    Known {
        name: "ffmpeg-9.0-av1-opus",
        messages: [153, 92, 1],
        video: VideoCodec::Av1,
        audio: AudioCodec::Opus,
        last: (MediaKind::Audio, 3001),
        ..FFMPEG_9
    },
    Known {
        name: "ffmpeg-9.0-vp9-flac",
        messages: [99, 62, 1],
        video: VideoCodec::Vp9,
        audio: AudioCodec::Flac,
        frames: 60,
        keyframes: 2,
        last: (MediaKind::Audio, 2000),
        ..FFMPEG_9
    },
    Known {
        name: "ffmpeg-9.0-multitrack",
        messages: [193, 124, 1],
        tracks: &[0, 1],
        frames: 120,
        keyframes: 4,
        last: (MediaKind::Video, 1967),
        ..FFMPEG_9
    },
    Known {
        name: "gstreamer-1.22-h264-aac",
        agent: "LNX 10,0,32,18",
        messages: [132, 92, 23],
        last: (MediaKind::Video, 3019),
        ..FFMPEG_5
    },
];

fn publish(name: &str) -> Server {
    let mut server = Server::new();
    server.feed_publisher(&capture(&format!("{name}.client"))).unwrap();
    server
}

fn media(server: &Server) -> Vec<&Media> {
    server
        .events
        .iter()
        .filter_map(|event| if let Event::Media(media) = event { Some(media) } else { None })
        .collect()
}

fn video(server: &Server) -> Vec<(Timestamp, VideoTag<'_>)> {
    let messages = media(server).into_iter().filter(|media| media.kind == MediaKind::Video);
    messages.map(|media| (media.timestamp, parse_video(&media.payload).unwrap())).collect()
}

fn audio(server: &Server) -> Vec<(Timestamp, AudioTag<'_>)> {
    let messages = media(server).into_iter().filter(|media| media.kind == MediaKind::Audio);
    messages.map(|media| (media.timestamp, parse_audio(&media.payload).unwrap())).collect()
}

#[test]
fn every_publisher_connects_publishes_and_leaves_in_this_order() {
    for known in &KNOWN {
        let server = publish(known.name);
        let mut events = server.events.iter();
        let Some(Event::Connected(info)) = events.next() else { panic!("{}: no connect", known.name) };
        assert_eq!(info.app.expose(), ROOM.as_bytes(), "{}", known.name);
        assert!(info.tc_url.expose().ends_with(b"/room-42"), "{}", known.name);
        assert_eq!(info.flash_version, known.agent, "{}", known.name);
        assert_eq!(info.object_encoding, 0);
        let Some(Event::PublishRequested(request)) = events.next() else {
            panic!("{}: no publish", known.name)
        };
        assert_eq!(request.message_stream_id, 1);
        assert_eq!(request.address.room, ROOM.as_bytes());
        assert_eq!(request.address.name.expose(), KEY.as_bytes());
        assert_eq!(request.kind, PublishKind::Live);
        let goodbye = server.events.last() == Some(&Event::Unpublished(request.request));
        assert_eq!(goodbye, known.says_goodbye, "{}", known.name);
        let others = events.filter(|event| !matches!(event, Event::Media(_))).count();
        assert_eq!(others, usize::from(known.says_goodbye), "{}", known.name);
    }
}

#[test]
fn nothing_a_real_publisher_sends_is_dropped_or_forgiven() {
    for known in &KNOWN {
        assert_eq!(publish(known.name).peer.counters(), onair_codec::Counters::default(), "{}", known.name);
    }
}

#[test]
fn every_message_of_every_publisher_is_counted() {
    for known in &KNOWN {
        let server = publish(known.name);
        let media = media(&server);
        let count = |kind| media.iter().filter(|media| media.kind == kind).count();
        let counts = [MediaKind::Audio, MediaKind::Video, MediaKind::Data].map(count);
        assert_eq!(counts, known.messages, "{}", known.name);
        let last = media.last().map(|media| (media.kind, media.timestamp.0));
        assert_eq!(last, Some(known.last), "{}", known.name);
        assert!(media[0].payload.starts_with(b"\x02\x00\x0aonMetaData\x08"), "{}", known.name);
    }
}

#[test]
fn codecs_tracks_frames_and_keyframes_are_recognised() {
    for known in &KNOWN {
        let server = publish(known.name);
        let coded: Vec<_> = video(&server).into_iter().filter(|(_, tag)| tag.is_coded_frame()).collect();
        assert_eq!(coded.len(), known.frames, "{}", known.name);
        let keyframes = coded.iter().filter(|(_, tag)| tag.is_keyframe()).count();
        assert_eq!(keyframes, known.keyframes, "{}", known.name);

        let mut tracks = BTreeSet::new();
        for (_, tag) in video(&server) {
            for track in tag.tracks() {
                assert_eq!(track.codec, known.video, "{}", known.name);
                tracks.insert(track.track_id);
            }
        }
        for (_, tag) in audio(&server) {
            for track in tag.tracks() {
                assert_eq!(track.codec, known.audio, "{}", known.name);
                tracks.insert(track.track_id);
            }
        }
        assert_eq!(tracks.into_iter().collect::<Vec<_>>(), known.tracks, "{}", known.name);
    }
}

#[test]
fn a_sequence_header_comes_before_the_first_frame_of_each_kind() {
    for known in &KNOWN {
        let server = publish(known.name);
        let (video, audio) = (video(&server), audio(&server));
        let video_header = video.iter().position(|(_, tag)| tag.is_sequence_header());
        let video_frame = video.iter().position(|(_, tag)| tag.is_coded_frame());
        assert!(video_header < video_frame && video_header.is_some(), "{}", known.name);
        assert!(audio[0].1.is_sequence_header(), "{}", known.name);
    }
}

#[test]
fn timestamps_start_where_they_should_and_move_in_small_steps() {
    for known in &KNOWN {
        let server = publish(known.name);
        let video: Vec<_> = video(&server).into_iter().filter(|(_, tag)| tag.is_coded_frame()).collect();
        let audio: Vec<_> = audio(&server).into_iter().filter(|(_, tag)| tag.is_coded_frame()).collect();
        let first = video[0].0.0.min(audio[0].0.0);
        assert_eq!(first, known.first_at, "{}", known.name);
        let steps = video.windows(2).map(|pair| pair[1].0.step_from(pair[0].0));
        let steps: Vec<i64> =
            steps.chain(audio.windows(2).map(|pair| pair[1].0.step_from(pair[0].0))).collect();
        assert!(steps.iter().all(|step| (0..=70).contains(step)), "{}: {steps:?}", known.name);
    }
}

/// The lengths inside of H.264 and HEVC frames were written by the encoder, so they witness that the chunk layer put
/// each frame together to the byte.
#[test]
fn the_units_inside_each_frame_fill_it_exactly() {
    let mut frames = 0;
    for known in KNOWN.iter().filter(|known| matches!(known.video, VideoCodec::Avc | VideoCodec::Hevc)) {
        let server = publish(known.name);
        for (at, tag) in video(&server).iter().filter(|(_, tag)| tag.is_coded_frame()) {
            for track in tag.tracks() {
                let mut rest = track.data;
                while let [a, b, c, d, after @ ..] = rest {
                    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                    rest = after.get(length..).unwrap_or_else(|| panic!("{} at {at}", known.name));
                }
                assert!(rest.is_empty(), "{} at {at}", known.name);
                frames += 1;
            }
        }
    }
    assert_eq!(frames, 330 + 5 * 90 + 120);
}

#[test]
fn ffmpeg_old_and_new_send_the_same_pictures() {
    let (old, new) = (publish(FFMPEG_5.name), publish(FFMPEG_9.name));
    // The first frame carries the encoder's version in a message of its own; all others are equal.
    let frames = |server: &Server| -> Vec<(Timestamp, Vec<u8>)> {
        let messages = media(server).into_iter().filter(|media| media.kind == MediaKind::Video).skip(2);
        messages.map(|media| (media.timestamp, media.payload.to_vec())).collect()
    };
    assert_eq!(frames(&old), frames(&new));
}

#[test]
fn extended_timestamps_of_ffmpeg_cross_the_24_bit_border() {
    let server = publish("ffmpeg-5.1-extended-timestamp");
    let times: Vec<u32> = media(&server).iter().map(|media| media.timestamp.0).collect();
    assert!(times.contains(&16_777_200) && times.iter().any(|time| *time > 0xFF_FFFF));
    assert_eq!(times.iter().filter(|time| **time == 0).count(), 3, "metadata and headers");
}

#[test]
fn a_signed_handshake_is_answered_signed_and_a_plain_one_plainly() {
    for known in &KNOWN {
        let sent = capture(&format!("{}.client", known.name));
        let server = publish(known.name);
        let c1 = &sent[1..=BLOCK_BYTES];
        let (s1, s2) = server.sent[1..].split_at(BLOCK_BYTES);
        if known.agent.contains("Lavf") {
            let (scheme, c1_digest) = digest::find(c1, digest::Key::Client).unwrap();
            assert_eq!(digest::find(s1, digest::Key::Server).map(|(scheme, _)| scheme), Some(scheme));
            assert!(digest::verify_response(&s2[..BLOCK_BYTES], &c1_digest, digest::Key::Server));
        } else {
            assert_eq!(s1[4..8], [0; 4], "{}", known.name);
            assert_eq!(&s2[..BLOCK_BYTES], c1, "{}", known.name);
        }
    }
}

#[test]
fn ffmpeg_as_a_player_is_understood() {
    let mut server = Server::new();
    server.feed(&capture("ffmpeg-9.0-play.client")).unwrap();
    let [Event::Connected(info), Event::PlayRequested(request)] = &server.events[..] else {
        panic!("{:?}", server.events)
    };
    assert_eq!(info.flash_version, "LNX 9,0,124,2");
    assert_eq!(info.app.expose(), ROOM.as_bytes());
    assert_eq!(request.address.room, ROOM.as_bytes());
    assert_eq!(request.address.name.expose(), b"live");
    assert_eq!((request.message_stream_id, request.start), (1, PlayStart::Live));
}

#[test]
fn what_a_real_server_answers_to_publishers_is_understood() {
    for known in KNOWN.iter().filter(|known| known.name != "gstreamer-1.22-h264-aac") {
        let mut client = Client::publisher();
        client.feed(&capture(&format!("{}.server", known.name))).unwrap();
        assert_eq!(client.events[..2], [ClientEvent::Connected, ClientEvent::Started], "{}", known.name);
        for event in &client.events[2..] {
            let code = "NetStream.Unpublish.Success".to_owned();
            assert_eq!(*event, ClientEvent::Ended { code });
        }
    }
}

/// `GStreamer` numbers its transactions in its own way, so only the messages are looked at.
#[test]
fn the_messages_of_a_real_server_are_the_classic_script() {
    let bytes = capture("gstreamer-1.22-h264-aac.server");
    let messages = read_messages(&bytes[1 + 2 * BLOCK_BYTES..]);
    let types: Vec<u8> = messages.iter().map(|message| message.type_id).collect();
    assert_eq!(types, [5, 6, 1, 20, 20, 20, 20]);
    let streams: Vec<u32> = messages.iter().map(|message| message.message_stream_id).collect();
    assert_eq!(streams, [0, 0, 0, 0, 0, 1, 1]);
}

#[test]
fn a_live_broadcast_of_a_real_server_is_received() {
    let mut client = Client::player();
    client.feed(&capture("ffmpeg-9.0-play.server")).unwrap();
    let count = |kind| {
        let of_kind = |event: &&ClientEvent| matches!(event, ClientEvent::Media(media) if media.kind == kind);
        client.events.iter().filter(of_kind).count()
    };
    let counts = [MediaKind::Audio, MediaKind::Video, MediaKind::Data].map(count);
    assert_eq!(counts, [98, 43, 2]);
    let times: Vec<Timestamp> = client
        .events
        .iter()
        .filter_map(|event| if let ClientEvent::Media(media) = event { Some(media.timestamp) } else { None })
        .collect();
    // Metadata, then media from the middle of a broadcast.
    assert_eq!(times[..3], [Timestamp(0), Timestamp(0), Timestamp(2286)]);
    assert_eq!(client.close, None);
}

fn read_messages(mut bytes: &[u8]) -> Vec<Message> {
    let mut reader = ChunkReader::new(Limits::default(), ExtendedTimestamps::Strict);
    let now = Server::new().start;
    std::iter::from_fn(|| reader.read(now, &mut bytes).unwrap()).collect()
}
