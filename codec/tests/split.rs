//! Wherever TCP cuts what a client sent, the same events come out.

// A test fails by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use onair_codec::chunk::ChunkReader;
use onair_codec::handshake::BLOCK_BYTES;
use onair_codec::message::Message;
use onair_codec::{ClientEvent, Event, ExtendedTimestamps, Limits};
use proptest::prelude::*;
use support::{Client, PUBLISHERS, Server, capture, publish_end};

/// Bytes in front of the chunks: version, block 1, block 2.
const HANDSHAKE_BYTES: usize = 1 + 2 * BLOCK_BYTES;

/// How much of each capture is cut at every byte: metadata, headers and the first frames.
const HEAD_BYTES: usize = 20_000;

const PLAYER: &str = "ffmpeg-9.0-play";

fn all_names() -> impl Iterator<Item = &'static str> {
    PUBLISHERS.into_iter().chain([PLAYER])
}

fn reader() -> ChunkReader {
    ChunkReader::new(Limits::default(), ExtendedTimestamps::Heuristic)
}

/// The messages of a direction, from pieces of it.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Message> {
    let now = Server::new().start;
    let mut reader = reader();
    let mut messages = Vec::new();
    for mut piece in pieces {
        while let Some(message) = reader.read(now, &mut piece).unwrap() {
            messages.push(message);
        }
        assert!(piece.is_empty(), "all of a piece is taken");
    }
    messages
}

/// The events of a publisher, from pieces of what it sent before and after its request was granted.
fn publish<'a>(
    request: impl IntoIterator<Item = &'a [u8]>,
    media: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Event> {
    let mut server = Server::new();
    for piece in request.into_iter().chain(media) {
        server.feed(piece).unwrap();
    }
    assert_eq!(server.peer.counters(), onair_codec::Counters::default());
    server.events
}

#[test]
fn the_head_of_every_capture_gives_the_same_messages_when_cut_at_every_byte() {
    for name in all_names() {
        for side in ["client", "server"] {
            let bytes = capture(&format!("{name}.{side}"));
            let chunks = &bytes[HANDSHAKE_BYTES..];
            let head = &chunks[..chunks.len().min(HEAD_BYTES)];
            let whole = read([head]);
            assert!(!whole.is_empty());
            for cut in 0..=head.len() {
                let (before, after) = head.split_at(cut);
                assert!(read([before, after]) == whole, "{name}.{side} cut at {cut}");
            }
        }
    }
}

#[test]
fn handshake_and_commands_of_every_client_may_be_cut_at_every_byte() {
    for name in all_names() {
        let bytes = capture(&format!("{name}.client"));
        let request = &bytes[..publish_end(&bytes)];
        let whole = publish([request], []);
        assert_eq!(whole.len(), 2);
        for cut in 0..=request.len() {
            let (before, after) = request.split_at(cut);
            assert!(publish([before, after], []) == whole, "{name} cut at {cut}");
        }
    }
}

#[test]
fn every_capture_gives_the_same_events_byte_by_byte() {
    for name in all_names() {
        let bytes = capture(&format!("{name}.client"));
        let (request, media) = bytes.split_at(publish_end(&bytes));
        let whole = publish([request], [media]);
        assert!(publish(request.chunks(1), media.chunks(1)) == whole, "{name}");
    }
}

#[test]
fn every_answer_of_a_real_server_gives_the_same_events_byte_by_byte() {
    for name in all_names() {
        let bytes = capture(&format!("{name}.server"));
        let events = |pieces: &mut dyn Iterator<Item = &[u8]>| -> Vec<ClientEvent> {
            let mut client = if name == PLAYER { Client::player() } else { Client::publisher() };
            pieces.for_each(|piece| client.feed(piece).unwrap());
            client.events
        };
        assert!(events(&mut bytes.chunks(1)) == events(&mut [&bytes[..]].into_iter()), "{name}");
    }
}

/// Cuts bytes into pieces whose lengths are taken from `lengths` in turn.
fn pieces<'a>(mut bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().cycle().map_while(move |length| {
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_pieces_give_the_same_events(
        which in 0..PUBLISHERS.len(),
        lengths in prop::collection::vec(prop_oneof![1usize..20, 1usize..5000, 1usize..70_000], 1..12),
    ) {
        let bytes = capture(&format!("{}.client", PUBLISHERS[which]));
        let (request, media) = bytes.split_at(publish_end(&bytes));
        let whole = publish([request], [media]);
        prop_assert!(publish(pieces(request, &lengths), pieces(media, &lengths)) == whole);
    }
}
