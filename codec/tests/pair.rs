//! A client and a server peer meet over a simulated wire, in virtual time: late, in crumbs, or not at all.

// A test fails by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use onair_codec::{
    ChunkError, ClientAction, ClientEvent, Close, Event, Media, MediaKind, PeerError, PlayEnding, RequestId,
    ServerConfig, Status, Timestamp, media_to_wire,
};
use support::KEY;
use support::pair::Pair;

const A_WHILE: Duration = Duration::from_secs(3);

fn media(kind: MediaKind, timestamp: u32, payload: impl Into<Bytes>) -> Media {
    Media { kind, timestamp: Timestamp(timestamp), payload: payload.into() }
}

/// A short broadcast: metadata, headers, a keyframe of several chunks, frames around the extended timestamp.
fn broadcast() -> Vec<Media> {
    let keyframe: Vec<u8> = [0x17, 1].into_iter().chain((0..150_000).map(|i| (i % 251) as u8)).collect();
    vec![
        media(MediaKind::Data, 0, &b"\x02\x00\x0aonMetaData\x05"[..]),
        media(MediaKind::Video, 0, &[0x17, 0, 0, 0, 0, 1][..]),
        media(MediaKind::Audio, 0, &[0xaf, 0, 0x11, 0x90][..]),
        media(MediaKind::Video, 16_777_000, keyframe.clone()),
        media(MediaKind::Audio, 16_777_010, &[0xaf, 1, 1, 2, 3][..]),
        media(MediaKind::Video, 16_777_215, &[0x27, 1, 9][..]),
        media(MediaKind::Video, 16_777_400, keyframe),
        media(MediaKind::Audio, 16_777_390, &[0xaf, 1, 4][..]),
        media(MediaKind::Data, 16_777_500, &b"\x02\x00\x0aonCuePoint\x05"[..]),
    ]
}

fn requested_publish(pair: &Pair) -> RequestId {
    let request = pair.server_events.iter().find_map(|event| match event {
        Event::PublishRequested(request) => Some(request.request),
        _ => None,
    });
    request.expect("a publish was requested")
}

fn requested_play(pair: &Pair) -> RequestId {
    let request = pair.server_events.iter().find_map(|event| match event {
        Event::PlayRequested(request) => Some(request.request),
        _ => None,
    });
    request.expect("a play was requested")
}

/// Wires of all kinds: slow, immediate, and cut into pieces of every awkward size.
fn wires() -> impl Iterator<Item = (Duration, usize)> {
    [0, 250].into_iter().flat_map(|ms| {
        [1, 7, 1460, usize::MAX].into_iter().map(move |crumb| (Duration::from_millis(ms), crumb))
    })
}

#[test]
fn a_broadcast_arrives_as_it_was_sent_whatever_the_wire_does() {
    for (latency, crumb) in wires() {
        let mut pair = Pair::publisher();
        (pair.latency, pair.crumb) = (latency, crumb);
        pair.drive(A_WHILE);
        assert_eq!(pair.client_events, [ClientEvent::Connected]);
        let request = requested_publish(&pair);
        pair.server.accept(request).unwrap();
        pair.drive(A_WHILE);
        assert_eq!(pair.client_events.last(), Some(&ClientEvent::Started));
        for message in broadcast() {
            pair.client.send_media(&message).unwrap();
            pair.drive(Duration::from_millis(1));
        }
        pair.drive(A_WHILE);
        pair.client.unpublish();
        pair.drive(A_WHILE);

        let received: Vec<Media> = pair
            .server_events
            .iter()
            .filter_map(|event| if let Event::Media(media) = event { Some(media.clone()) } else { None })
            .collect();
        assert_eq!(received, broadcast());
        assert_eq!(pair.server_events.last(), Some(&Event::Unpublished(request)));
        assert_eq!(pair.client_end, Some(Ok(Close::Unpublished)));
        assert_eq!(pair.server_end, None, "the server waits for another publish");
    }
}

#[test]
fn a_player_receives_what_the_application_writes_and_hears_of_the_end() {
    for (latency, crumb) in wires() {
        let mut pair = Pair::player();
        (pair.latency, pair.crumb) = (latency, crumb);
        pair.drive(A_WHILE);
        let request = requested_play(&pair);
        pair.server.accept(request).unwrap();
        for message in broadcast() {
            let wire = media_to_wire(message.kind, message.timestamp.0, 1, 60_000, &message.payload);
            pair.send_to_client(&wire);
        }
        pair.drive(A_WHILE);
        pair.server.end_play(request, PlayEnding::Stopped);
        pair.drive(A_WHILE);

        let received: Vec<Media> = pair
            .client_events
            .iter()
            .filter_map(
                |event| if let ClientEvent::Media(media) = event { Some(media.clone()) } else { None },
            )
            .filter(|media| !media.payload.starts_with(b"\x02\x00\x11|RtmpSampleAccess"))
            .collect();
        assert_eq!(received, broadcast());
        assert!(pair.client_events.contains(&ClientEvent::Started));
        let ended: Vec<_> =
            pair.client_events.iter().filter(|event| matches!(event, ClientEvent::Ended { .. })).collect();
        assert_eq!(ended.len(), 2, "{ended:?}");
        assert_eq!(pair.server_end, Some(Ok(Close::PlayEnded)));
    }
}

#[test]
fn a_refused_publisher_learns_code_and_words_before_the_close() {
    let mut pair = Pair::publisher();
    pair.drive(A_WHILE);
    let request = requested_publish(&pair);
    pair.server.reject(request, Status::PublishDenied, "This key was revoked").unwrap();
    pair.drive(A_WHILE);
    let (code, description) = ("NetStream.Publish.Denied".to_owned(), "This key was revoked".to_owned());
    assert_eq!(pair.client_events.last(), Some(&ClientEvent::Refused { code, description }));
    assert_eq!(pair.server_end, Some(Ok(Close::Rejected)));
    assert_eq!(pair.client_end, Some(Ok(Close::Refused)));
    assert!(pair.server.accept(request).is_err());
}

#[test]
fn a_refused_player_learns_code_and_words_before_the_close() {
    let mut pair = Pair::player();
    pair.drive(A_WHILE);
    let request = requested_play(&pair);
    pair.server.reject(request, Status::PlayStreamNotFound, "Nobody is on air").unwrap();
    pair.drive(A_WHILE);
    let (code, description) = ("NetStream.Play.StreamNotFound".to_owned(), "Nobody is on air".to_owned());
    assert_eq!(pair.client_events.last(), Some(&ClientEvent::Refused { code, description }));
    assert_eq!(pair.client_end, Some(Ok(Close::Refused)));
}

#[test]
fn a_client_that_sends_nothing_is_closed_after_half_the_handshake_time() {
    let mut pair = Pair::publisher();
    pair.lose_client();
    pair.drive(Duration::from_millis(4_999));
    assert_eq!(pair.server_end, None);
    pair.drive(Duration::from_millis(1));
    assert_eq!(pair.server_end, Some(Ok(Close::HandshakeTimeout)));
    assert_eq!(pair.server.poll_timeout(), None);
}

#[test]
fn a_client_that_vanishes_within_the_handshake_is_closed_in_time() {
    let mut pair = Pair::publisher();
    pair.latency = Duration::from_secs(1);
    pair.drive(Duration::from_millis(1_500));
    pair.lose_client();
    pair.drive(Duration::from_millis(8_499));
    assert_eq!(pair.server_end, None);
    pair.drive(Duration::from_millis(1));
    assert_eq!(pair.server_end, Some(Ok(Close::HandshakeTimeout)));
}

#[test]
fn a_client_that_drips_its_handshake_does_not_gain_time_by_it() {
    // 1536 bytes of C1 at one byte per 100 ms would take 154 s if each byte restarted the clock.
    let mut server = support::Server::new();
    let mut at = Duration::ZERO;
    while server.close.is_none() {
        server.feed_at(at, &[3]).unwrap();
        at += Duration::from_millis(100);
        assert!(at < Duration::from_secs(6));
    }
    assert_eq!(server.close, Some(Close::HandshakeTimeout));
}

#[test]
fn a_client_that_requests_nothing_is_closed_in_time() {
    let mut pair = Pair::publisher();
    pair.latency = Duration::from_secs(2);
    pair.drive(Duration::from_secs(8));
    assert!(pair.server_saw(|event| matches!(event, Event::Connected(_))));
    pair.lose_client();
    pair.drive(Duration::from_millis(6_999));
    assert_eq!(pair.server_end, None);
    pair.drive(Duration::from_millis(1));
    assert_eq!(pair.server_end, Some(Ok(Close::RequestTimeout)));
}

#[test]
fn a_request_that_waits_for_the_application_is_not_timed_out() {
    let mut pair = Pair::publisher();
    pair.drive(Duration::from_secs(14));
    let request = requested_publish(&pair);
    pair.drive(Duration::from_secs(60));
    assert_eq!(pair.server_end, None);
    assert_eq!(pair.client_end, Some(Ok(Close::RequestTimeout)), "the client has a clock of its own");
    pair.server.accept(request).unwrap();
}

#[test]
fn a_server_that_never_answers_is_given_up_by_the_client() {
    let mut pair = Pair::publisher();
    pair.lose_server();
    pair.drive(Duration::from_secs(60));
    assert_eq!(pair.client_end, Some(Ok(Close::HandshakeTimeout)));
    assert_eq!(pair.client.poll_timeout(), None);
}

#[test]
fn a_publisher_that_vanishes_within_a_frame_is_closed_when_the_frame_is_too_old() {
    let mut pair = Pair::publisher();
    pair.drive(A_WHILE);
    let request = requested_publish(&pair);
    pair.server.accept(request).unwrap();
    pair.drive(A_WHILE);
    pair.crumb = 1000;
    pair.client.send_media(&media(MediaKind::Video, 0, vec![0x17; 5000])).unwrap();
    pair.lose_client_after(3);
    pair.drive(Duration::from_millis(100));
    let reserved = pair.server.reserved_bytes();
    assert!((2_900..=5_000).contains(&reserved), "{reserved}");
    pair.drive(Duration::from_secs(29));
    assert_eq!(pair.server_end, None);
    pair.drive(Duration::from_secs(1));
    assert_eq!(pair.server_end, Some(Err(PeerError::Chunk(ChunkError::PartialTooOld))));
}

#[test]
fn a_frame_that_stays_unfinished_ends_the_connection() {
    let mut server = support::Server::new();
    let capture = support::capture("ffmpeg-9.0-h264-aac.client");
    let (request, media) = capture.split_at(support::publish_end(&capture));
    server.feed(request).unwrap();
    // Cut in the middle of a frame.
    let mut cut = 20_000;
    server.feed(&media[..cut]).unwrap();
    while server.peer.reserved_bytes() == 0 {
        server.feed(&media[cut..=cut]).unwrap();
        cut += 1;
    }
    assert_eq!(server.peer.poll_timeout(), Some(server.start + Duration::from_secs(30)));
    server.timeout_at(Duration::from_millis(29_999)).unwrap();
    assert_eq!(server.timeout_at(Duration::from_secs(30)), Err(PeerError::Chunk(ChunkError::PartialTooOld)));
    assert_eq!(server.peer.poll_timeout(), None);
}

#[test]
fn a_player_acknowledges_at_half_the_announced_window() {
    let action = ClientAction::Play { name: KEY.into() };
    let mut pair = Pair::new(action, ServerConfig { window_ack_size: 10_000, ..ServerConfig::default() });
    pair.drive(A_WHILE);
    let request = requested_play(&pair);
    pair.server.accept(request).unwrap();
    pair.drive(A_WHILE);
    assert_eq!(pair.server.bytes_acknowledged(), None);
    let mut sent = Vec::new();
    for i in 0..20 {
        pair.send_to_client(&media_to_wire(MediaKind::Video, i * 40, 1, 60_000, &[0x27; 990]));
        pair.drive(Duration::from_millis(100));
        sent.extend(pair.server.bytes_acknowledged());
    }
    sent.dedup();
    assert!((3..=5).contains(&sent.len()), "{sent:?}");
    assert!(sent.windows(2).all(|pair| (5_000..6_100).contains(&(pair[1] - pair[0]))), "{sent:?}");
    assert!(u64::from(*sent.last().unwrap()) <= pair.client.bytes_received());
}

#[test]
fn a_ping_is_answered() {
    let mut pair = Pair::publisher();
    pair.drive(A_WHILE);
    let before = pair.server.bytes_received();
    pair.server.ping(0x1234);
    pair.drive(A_WHILE);
    // Basic header, fmt 0 or 1 header, event and value.
    assert!((8 + 6..=12 + 6).contains(&(pair.server.bytes_received() - before)));
}

#[test]
fn both_ends_are_deterministic() {
    let run = || {
        let mut pair = Pair::publisher();
        pair.drive(A_WHILE);
        (format!("{:?}", pair.server_events), pair.server.bytes_received(), pair.elapsed())
    };
    assert_eq!(run(), run());
}
