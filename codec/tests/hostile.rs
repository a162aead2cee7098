//! Hostile input: one test for each thing that a peer may do to us, and the bound that holds against it.

// A test fails by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use onair_codec::amf0::Value;
use onair_codec::chunk::{ChunkReader, ChunkWriter, MessageHeader};
use onair_codec::handshake::BLOCK_BYTES;
use onair_codec::message::command::encode;
use onair_codec::message::control::Control;
use onair_codec::message::type_id;
use onair_codec::message::user_control::UserControl;
use onair_codec::{
    ChunkError, Close, Event, ExtendedTimestamps, HandshakeError, Limits, PeerError, PlayEnding,
    RequestError, ServerConfig, Status, Timestamp,
};
use proptest::prelude::*;
use support::hex::hex;
use support::raw::{Raw, text};
use support::{Client, PUBLISHERS, Server, capture, publish_end};

const MIB: u32 = 1024 * 1024;

/// A type 0 chunk header.
fn chunk_header(chunk_stream_id: u32, type_id: u8, length: u32) -> Vec<u8> {
    let mut header = match chunk_stream_id {
        ..64 => vec![chunk_stream_id as u8],
        _ => [&[1][..], &((chunk_stream_id - 64) as u16).to_le_bytes()].concat(),
    };
    header.extend([0; 3]);
    header.extend(&length.to_be_bytes()[1..]);
    header.push(type_id);
    header.extend([1, 0, 0, 0]);
    header
}

fn reader() -> ChunkReader {
    ChunkReader::new(Limits::default(), ExtendedTimestamps::Heuristic)
}

/// Reads all of `bytes`; the messages are dropped.
fn feed(reader: &mut ChunkReader, mut bytes: &[u8]) -> Result<(), ChunkError> {
    let now = Server::new().start;
    while reader.read(now, &mut bytes)?.is_some() {}
    Ok(())
}

#[test]
fn a_handshake_in_drips_does_not_outlive_its_deadline() {
    let mut server = Server::new();
    for second in 0..5 {
        server.feed_at(Duration::from_secs(second), &[3]).unwrap();
        assert_eq!(server.close, None);
    }
    server.feed_at(Duration::from_secs(5), &[3]).unwrap();
    assert_eq!(server.close, Some(Close::HandshakeTimeout));
}

#[test]
fn a_second_block_in_drips_does_not_outlive_its_deadline() {
    let mut server = Server::new();
    server.feed(&[&[3][..], &[0; BLOCK_BYTES]].concat()).unwrap();
    server.feed_at(Duration::from_millis(9_999), &[3]).unwrap();
    assert_eq!(server.close, None);
    server.feed_at(Duration::from_secs(10), &[3]).unwrap();
    assert_eq!(server.close, Some(Close::HandshakeTimeout));
}

#[test]
fn tls_and_text_protocols_are_turned_away_by_their_first_byte() {
    let first = |bytes: &[u8]| Server::new().feed(bytes).unwrap_err();
    assert_eq!(first(&[0x16, 3, 1, 2, 0]), PeerError::Handshake(HandshakeError::Tls));
    for text in ["GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "POST /open/1 HTTP/1.1\r\n"] {
        let first_byte = text.as_bytes()[0];
        assert_eq!(first(text.as_bytes()), PeerError::Handshake(HandshakeError::NotRtmp { first_byte }));
    }
}

#[test]
fn nothing_is_sent_to_a_client_before_its_first_block_is_whole() {
    let mut server = Server::new();
    server.feed(&[3; BLOCK_BYTES]).unwrap();
    assert!(server.sent.is_empty());
}

#[test]
fn a_client_that_is_never_accepted_may_not_send_for_ever() {
    let mut raw = Raw::connected();
    raw.publish(1, "key");
    let mut sent = 0;
    let error = loop {
        match raw.media(9, 0, &[0x27; 1000]) {
            Ok(()) => sent += 1000,
            Err(error) => break error,
        }
    };
    assert_eq!(error, PeerError::BytesBeforeAccept { limit: 64 * 1024 });
    assert!((60_000..66_000).contains(&sent), "{sent}");
}

#[test]
fn a_client_that_said_goodbye_may_not_send_for_ever_either() {
    let mut raw = Raw::publishing();
    for _ in 0..1000 {
        raw.media(9, 0, &[0x27; 1000]).unwrap();
    }
    raw.command(0, "FCUnpublish", 0.0, &[Value::Null]).unwrap();
    let more = (0..100).find_map(|_| raw.media(9, 0, &[0x27; 1000]).err());
    assert_eq!(more, Some(PeerError::BytesBeforeAccept { limit: 64 * 1024 }));
}

#[test]
fn a_chunk_size_of_zero_or_with_the_top_bit_ends_the_connection() {
    for announced in [0, 0x8000_0000, u32::MAX] {
        let error = Raw::new().control(Control::SetChunkSize(announced)).unwrap_err();
        assert_eq!(error, PeerError::Chunk(ChunkError::ChunkSizeInvalid { announced }));
    }
}

#[test]
fn a_flapping_chunk_size_ends_the_connection_and_a_slow_change_does_not() {
    let mut raw = Raw::publishing();
    for size in 1..=16 {
        raw.control(Control::SetChunkSize(size * 100)).unwrap();
    }
    let error = raw.control(Control::SetChunkSize(128)).unwrap_err();
    assert_eq!(error, PeerError::Chunk(ChunkError::ChunkSizeFlapping { limit: 16 }));

    let mut raw = Raw::publishing();
    for size in 1..=100 {
        raw.control(Control::SetChunkSize(size * 100)).unwrap();
        raw.wait(Duration::from_secs(4)).unwrap();
    }
}

#[test]
fn chunks_of_one_byte_are_slow_but_harmless() {
    let mut raw = Raw::publishing();
    raw.control(Control::SetChunkSize(1)).unwrap();
    raw.media(9, 0, &[0x27; 3000]).unwrap();
    assert!(matches!(&raw.events[..], [Event::Media(media)] if media.payload.len() == 3000));
}

#[test]
fn every_type_has_a_longest_message_and_it_is_checked_on_the_header() {
    let limits = Limits::default();
    let rows = [
        (1, limits.control_bytes_max),
        (4, limits.control_bytes_max),
        (6, limits.control_bytes_max),
        (8, limits.audio_bytes_max),
        (9, limits.video_bytes_max),
        (15, limits.data_bytes_max),
        (17, limits.command_bytes_max),
        (18, limits.data_bytes_max),
        (20, limits.command_bytes_max),
        (22, limits.video_bytes_max),
    ];
    for (type_id, limit) in rows {
        let mut reader = reader();
        feed(&mut reader, &chunk_header(4, type_id, limit)).unwrap();
        let announced = limit + 1;
        let error = feed(&mut self::reader(), &chunk_header(4, type_id, announced)).unwrap_err();
        assert_eq!(error, ChunkError::MessageTooLong { type_id, announced, limit });
        assert_eq!(reader.reserved_bytes(), 0);
    }
}

#[test]
fn announcing_costs_nothing_and_memory_follows_what_arrives() {
    let mut reader = reader();
    feed(&mut reader, &hex("02 000000 000004 01 00000000 00ffffff")).unwrap();
    feed(&mut reader, &chunk_header(6, 9, 8 * MIB)).unwrap();
    assert_eq!(reader.reserved_bytes(), 0);
    let mut arrived = 0;
    for piece in [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 5_000_000] {
        feed(&mut reader, &vec![0x17; piece]).unwrap();
        arrived += piece;
        let reserved = reader.reserved_bytes();
        assert!(reserved >= arrived && reserved <= (2 * arrived).max(1024), "{reserved} for {arrived}");
        assert!(reserved <= 8 * MIB as usize);
    }
}

#[test]
fn long_messages_on_many_chunk_streams_are_refused_by_their_sum() {
    let mut reader = reader();
    for chunk_stream_id in 10..12 {
        feed(&mut reader, &[chunk_header(chunk_stream_id, 9, 5 * MIB), vec![0; 128]].concat()).unwrap();
    }
    let error = feed(&mut reader, &chunk_header(12, 9, 1)).unwrap_err();
    let (announced, limit) = (u64::from(10 * MIB) + 1, u64::from(10 * MIB));
    assert_eq!(error, ChunkError::PartialBytes { announced, limit });
    assert!(reader.reserved_bytes() <= 2 * 1024);
}

#[test]
fn too_many_chunk_streams_are_refused() {
    let mut reader = reader();
    for chunk_stream_id in 2..66 {
        feed(&mut reader, &[chunk_header(chunk_stream_id, 8, 1), vec![0]].concat()).unwrap();
    }
    // Those that are known may go on.
    feed(&mut reader, &[chunk_header(5, 8, 1), vec![0]].concat()).unwrap();
    let error = feed(&mut reader, &chunk_header(65_000, 8, 1)).unwrap_err();
    assert_eq!(error, ChunkError::TooManyChunkStreams { limit: 64 });
}

#[test]
fn too_many_unfinished_messages_are_refused_and_control_still_passes_between_the_allowed_ones() {
    let mut reader = reader();
    for chunk_stream_id in 10..18 {
        feed(&mut reader, &[chunk_header(chunk_stream_id, 8, 300), vec![0; 128]].concat()).unwrap();
    }
    feed(&mut reader, &hex("02 000000 000004 03 00000000 00000005")).unwrap();
    let error = feed(&mut reader, &chunk_header(18, 8, 300)).unwrap_err();
    assert_eq!(error, ChunkError::TooManyPartialMessages { limit: 8 });
    assert!(reader.reserved_bytes() <= 8 * 1024);
}

#[test]
fn a_message_held_open_for_ever_ends_the_connection() {
    let mut raw = Raw::publishing();
    raw.send_bytes(&[chunk_header(6, 9, 1000), vec![0; 128]].concat()).unwrap();
    for second in 1..30 {
        // Other traffic goes on meanwhile.
        raw.wait(Duration::from_secs(1)).unwrap();
        raw.media(8, second, &[0xaf, 1, 2]).unwrap();
    }
    assert_eq!(raw.wait(Duration::from_secs(1)), Err(PeerError::Chunk(ChunkError::PartialTooOld)));
}

#[test]
fn long_messages_of_unknown_types_are_not_kept() {
    let mut reader = reader();
    feed(&mut reader, &hex("02 000000 000004 01 00000000 00ffffff")).unwrap();
    feed(&mut reader, &chunk_header(6, 99, 0xFF_FFFF)).unwrap();
    for _ in 0..15 {
        feed(&mut reader, &vec![0; MIB as usize]).unwrap();
        assert_eq!(reader.reserved_bytes(), 0);
    }
}

/// Feeds a command body to a connected server and returns what it answered with.
fn hostile_command(body: &[u8]) -> Raw {
    let mut raw = Raw::connected();
    raw.control(Control::SetChunkSize(65_536)).unwrap();
    raw.message(3, type_id::COMMAND_AMF0, 0, 0, body).unwrap();
    // The connection lives on.
    raw.inbox.clear();
    raw.command(0, "createStream", 9.0, &[Value::Null]).unwrap();
    assert_eq!(raw.take_command().1.argument(0), Some(&Value::Number(2.0)));
    raw
}

#[test]
fn commands_of_bottomless_depth_are_survived() {
    let name = encode("foo", 0.0, &[]);
    for level in ["03 0001 61", "0a 00000001", "08 00000000 0001 61", "11 09 03 01"] {
        let bomb = hex(level).repeat(40_000 / hex(level).len());
        hostile_command(&[name.clone(), bomb].concat());
    }
}

#[test]
fn commands_that_announce_endless_counts_and_lengths_are_survived() {
    let name = encode("foo", 0.0, &[]);
    for bomb in ["0a ffffffff", "0a 00100000 05 05", "0c ffffffff 61", "02 ffff 61", "08 ffffffff 0000 09"] {
        hostile_command(&[name.clone(), hex(bomb)].concat());
    }
}

#[test]
fn bodies_that_are_no_command_are_ignored_and_counted() {
    for (body, malformed) in
        [("", 1), ("05", 1), ("00 3ff0000000000000", 1), ("09", 1), ("ff", 1), ("02 0005 61", 1)]
    {
        let raw = hostile_command(&hex(body));
        assert_eq!(raw.server.counters().malformed, malformed, "{body}");
    }
}

#[test]
fn a_connect_whose_object_is_broken_is_refused_with_words() {
    let mut raw = Raw::new();
    let body = [encode("connect", 1.0, &[]), hex("03 0003 617070 ff")].concat();
    raw.message(3, type_id::COMMAND_AMF0, 0, 0, &body).unwrap();
    let (_, error) = raw.take_command();
    assert_eq!(error.name.as_bytes(), b"_error");
    assert!(!text(&error, "description").is_empty());
    assert_eq!(raw.close, Some(Close::Rejected));
}

#[test]
fn a_flood_of_commands_ends_the_connection() {
    let mut raw = Raw::publishing();
    raw.wait(Duration::from_secs(1)).unwrap();
    for _ in 0..100 {
        raw.command(0, "_checkbw", 0.0, &[Value::Null]).unwrap();
    }
    let error = raw.command(0, "_checkbw", 0.0, &[Value::Null]).unwrap_err();
    assert_eq!(error, PeerError::CommandFlood { limit: 100 });
    assert_eq!(raw.server.poll_timeout(), None);
}

#[test]
fn message_streams_are_rationed() {
    let mut raw = Raw::connected();
    for id in 2..=8 {
        raw.command(0, "createStream", 9.0, &[Value::Null]).unwrap();
        assert_eq!(raw.take_command().1.argument(0), Some(&Value::Number(f64::from(id))));
    }
    raw.command(0, "createStream", 9.0, &[Value::Null]).unwrap();
    let (_, error) = raw.take_command();
    assert_eq!(
        (error.name.as_bytes(), text(&error, "code")),
        (&b"_error"[..], "NetConnection.Call.Failed".into())
    );
    // One that is given back may be used again.
    raw.command(0, "deleteStream", 0.0, &[Value::Null, Value::Number(3.0)]).unwrap();
    raw.command(0, "createStream", 9.0, &[Value::Null]).unwrap();
    assert_eq!(raw.take_command().1.argument(0), Some(&Value::Number(9.0)));
    // Publishing on ids that never were counts too.
    raw.command(1000, "publish", 0.0, &[Value::Null, Value::from_static("key")]).unwrap();
    assert_eq!(raw.take_statuses(), [(1000, "NetStream.Publish.BadName".to_owned())]);
}

#[test]
fn names_beyond_the_bound_are_refused_and_never_cut() {
    let long = "k".repeat(8193);
    let mut raw = Raw::connected();
    raw.command(1, "publish", 5.0, &[Value::Null, Value::string(&long)]).unwrap();
    assert_eq!(raw.take_statuses(), [(1, "NetStream.Publish.BadName".to_owned())]);
    assert_eq!((raw.close, raw.events.len()), (Some(Close::Rejected), 0));

    let mut raw = Raw::connected();
    raw.command(1, "play", 5.0, &[Value::Null, Value::string(&long)]).unwrap();
    assert_eq!(raw.take_statuses(), [(1, "NetStream.Play.Failed".to_owned())]);
    assert_eq!(raw.close, Some(Close::Rejected));

    for (app, tc_url) in [(&long[..], "rtmp://h/a"), ("a", &long)] {
        let mut raw = Raw::new();
        let object = Value::object([("app", Value::string(app)), ("tcUrl", Value::string(tc_url))]);
        raw.command(0, "connect", 1.0, &[object]).unwrap();
        assert_eq!(raw.take_command().1.name.as_bytes(), b"_error");
        assert_eq!(raw.close, Some(Close::Rejected));
    }
}

#[test]
fn an_agent_of_any_length_is_a_short_label() {
    let mut raw = Raw::new();
    let agent = Value::string("é".repeat(3000));
    raw.command(0, "connect", 1.0, &[Value::object([("app", Value::from_static("a")), ("flashVer", agent)])])
        .unwrap();
    let Event::Connected(info) = &raw.events[0] else { panic!() };
    assert!(info.flash_version.len() <= onair_codec::peer::AGENT_BYTES_MAX + 2);
}

#[test]
fn a_window_of_one_byte_does_not_make_us_acknowledge_every_byte() {
    let mut raw = Raw::publishing();
    for window in [0, 1, u32::MAX] {
        raw.control(Control::WindowAckSize(window)).unwrap();
    }
    raw.control(Control::WindowAckSize(1)).unwrap();
    raw.inbox.clear();
    for _ in 0..1000 {
        raw.media(8, 0, &[0xaf, 1]).unwrap();
    }
    let received: usize = 1000 * 14;
    assert!(raw.inbox.len() <= received / 2048 + 1, "{}", raw.inbox.len());
}

#[test]
fn acknowledgements_of_bytes_that_were_never_sent_mean_nothing() {
    let mut raw = Raw::publishing();
    raw.control(Control::Acknowledgement(u32::MAX)).unwrap();
    assert_eq!(raw.server.bytes_acknowledged(), Some(u32::MAX));
    raw.media(8, 0, &[0xaf, 1, 2]).unwrap();
    assert_eq!(raw.events.len(), 1);
}

#[test]
fn a_flood_of_pings_is_answered_a_few_times() {
    let ping = |value: u32| [hex("02 000000 000006 04 00000000 0006"), value.to_be_bytes().to_vec()].concat();
    let mut raw = Raw::publishing();
    let batch: Vec<u8> = (0..1000).flat_map(ping).collect();
    raw.send_bytes(&batch).unwrap();
    assert_eq!(raw.inbox.len(), 1, "one answer to a batch");
    assert_eq!(UserControl::parse(&raw.inbox[0].payload), Some(UserControl::PingResponse(999)));
    for value in 0..1000 {
        raw.send_bytes(&ping(value)).unwrap();
    }
    assert_eq!(raw.inbox.len(), 10, "ten answers to a second");
}

#[test]
fn a_flood_of_bandwidth_messages_is_answered_a_few_times() {
    let mut raw = Raw::publishing();
    for window in 1..1000 {
        raw.control(Control::SetPeerBandwidth { window, limit_type: 0 }).unwrap();
    }
    assert_eq!(raw.inbox.len(), 10);
}

#[test]
fn audio_and_video_too_short_to_hold_anything_are_no_media() {
    let mut raw = Raw::publishing();
    for (type_id, payload) in [(8, &[][..]), (9, &[]), (8, &[0xaf]), (9, &[0x17])] {
        raw.media(type_id, 0, payload).unwrap();
    }
    assert!(raw.events.is_empty());
    assert_eq!(raw.server.counters().media_empty, 4);
}

#[test]
fn empty_messages_in_one_byte_each_cost_no_memory() {
    let mut raw = Raw::publishing();
    raw.send_bytes(&hex("04 000000 000000 08 01000000")).unwrap();
    raw.send_bytes(&vec![0xc4; 100_000]).unwrap();
    assert!(raw.events.is_empty());
}

#[test]
fn aggregates_within_aggregates_and_of_endless_parts_are_dropped() {
    let nested = hex("16 000000 000000 00 000000 0000000b");
    let endless = hex("08 000002 000000 00 000000 af01 0000000d").repeat(1025);
    let cut = hex("08 ffffff 000000 00 000000 af01");
    let mut raw = Raw::publishing();
    for body in [nested, endless, cut] {
        raw.media(type_id::AGGREGATE, 0, &body).unwrap();
    }
    assert!(raw.events.is_empty());
    assert_eq!(raw.server.counters().malformed, 3);
}

#[test]
fn timestamps_that_jump_are_passed_on_as_they_are() {
    let mut raw = Raw::publishing();
    for timestamp in [0, u32::MAX, 5, 1 << 31, 0xFF_FFFF, 0] {
        raw.media(8, timestamp, &[0xaf, 1]).unwrap();
        let Some(Event::Media(media)) = raw.events.pop() else { panic!() };
        assert_eq!(media.timestamp, Timestamp(timestamp));
    }
}

#[test]
fn nothing_comes_out_of_a_peer_that_failed() {
    let mut raw = Raw::connected();
    let request = raw.publish(1, "key");
    raw.events.clear();
    raw.control(Control::SetChunkSize(0)).unwrap_err();
    assert_eq!(raw.server.accept(request), Err(RequestError::Gone));
    assert_eq!(raw.server.reject(request, Status::PublishDenied, "Late"), Err(RequestError::Gone));
    raw.media(8, 0, &[0xaf, 1]).unwrap();
    raw.server.ping(1);
    raw.wait(Duration::from_secs(1000)).unwrap();
    raw.drain();
    assert!(raw.events.is_empty() && raw.inbox.is_empty());
    assert_eq!((raw.close, raw.server.poll_timeout()), (None, None));
}

/// Found by the `peer` fuzz target: the goodbye to a player was still written after the connection had failed.
#[test]
fn a_play_cannot_be_ended_on_a_peer_that_failed() {
    let mut raw = Raw::connected();
    let request = raw.play(1, "key");
    raw.server.accept(request).unwrap();
    raw.drain();
    raw.events.clear();
    raw.inbox.clear();
    raw.control(Control::SetChunkSize(0)).unwrap_err();
    raw.server.end_play(request, PlayEnding::Stopped);
    raw.drain();
    assert!(raw.events.is_empty() && raw.inbox.is_empty());
    assert_eq!(raw.close, None);
}

#[test]
fn what_follows_a_refusal_in_the_same_bytes_is_not_read() {
    let mut raw = Raw::new();
    let mut writer = ChunkWriter::new();
    let mut wire = Vec::new();
    for body in [encode("connect", 1.0, &[Value::Null]), encode("connect", 1.0, &[Value::object([])])] {
        let timestamp = Timestamp(0);
        let header = MessageHeader {
            chunk_stream_id: 3,
            type_id: type_id::COMMAND_AMF0,
            message_stream_id: 0,
            timestamp,
        };
        writer.write(&mut wire, header, &body);
    }
    raw.send_bytes(&wire).unwrap();
    assert_eq!(raw.take_commands().len(), 1);
}

#[test]
fn a_server_may_not_flood_its_client_either() {
    let mut client = Client::player();
    client.feed(&capture("ffmpeg-9.0-play.server")).unwrap();
    let flood = chunk_header(3, 20, 5).into_iter().chain(*b"\x02\x00\x02hi").collect::<Vec<u8>>();
    let error = (0..200).find_map(|_| client.feed(&flood).err());
    assert_eq!(error, Some(PeerError::CommandFlood { limit: 100 }));
}

#[test]
fn strict_extended_timestamps_do_not_guess() {
    let config = ServerConfig { extended_timestamps: ExtendedTimestamps::Strict, ..ServerConfig::default() };
    let mut raw = Raw::publishing_with(config);
    let first = [hex("06 ffffff 000084 09 01000000 01000000"), vec![0x27; 128]].concat();
    raw.send_bytes(&[first, hex("c6 aabbccdd 11223344")].concat()).unwrap();
    let Some(Event::Media(media)) = raw.events.pop() else { panic!() };
    assert_eq!(media.payload[128..], hex("11223344"));
}

/// How much more than the input a reader may hold for unfinished messages.
fn assert_bounded(server: &Server, fed: usize) {
    assert!(server.peer.reserved_bytes() <= 2 * fed + 8 * 1024);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_capture_with_random_damage_never_panics_or_bloats(
        which in 0..PUBLISHERS.len(),
        damage in prop::collection::vec((0usize..60_000, any::<u8>()), 1..40),
        cut in 1usize..5000,
    ) {
        let mut bytes = capture(&format!("{}.client", PUBLISHERS[which]));
        bytes.truncate(60_000);
        let granted = publish_end(&bytes);
        for (at, value) in damage {
            // Mostly behind the handshake, whose content nobody looks at.
            let at = 3073 + at;
            if at < bytes.len() {
                bytes[at] = value;
            }
        }
        let mut server = Server::new();
        let (request, media) = bytes.split_at(granted);
        for piece in [request].into_iter().chain(media.chunks(cut)) {
            if server.feed(piece).is_err() {
                break;
            }
            assert_bounded(&server, bytes.len());
        }
    }

    #[test]
    fn random_bytes_behind_a_handshake_never_panic_or_bloat(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(3), Just(0xc3), Just(0xff)], 0..4000),
    ) {
        let mut server = Server::new();
        server.feed(&[&[3][..], &[0; 2 * BLOCK_BYTES]].concat()).unwrap();
        let _ = server.feed(&bytes);
        assert_bounded(&server, bytes.len());
    }

    #[test]
    fn random_bytes_from_a_server_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let mut client = Client::player();
        client.feed(&[&[3][..], &[0; 2 * BLOCK_BYTES]].concat()).unwrap();
        let _ = client.feed(&bytes);
    }
}
