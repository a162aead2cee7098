//! Any bytes as chunks: whatever the cuts, the same messages and the same error; memory follows what arrived.

#![no_main]

use std::sync::LazyLock;
use std::time::Instant;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use onair_codec::chunk::ChunkReader;
use onair_codec::chunk::reader::FIRST_RESERVE;
use onair_codec::message::Message;
use onair_codec::{ChunkError, ExtendedTimestamps, Limits};

#[derive(Debug, Arbitrary)]
struct Wire<'a> {
    strict: bool,
    cuts: Vec<u8>,
    bytes: &'a [u8],
}

/// One moment for everything: time is an input, and replays must not depend on it.
static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);

fuzz_target!(|wire: Wire<'_>| {
    let whole = read(&wire, [wire.bytes]);
    let crumbs = read(&wire, wire.bytes.chunks(1));
    assert_eq!(whole, crumbs);
    let mut rest = wire.bytes;
    let pieces = wire.cuts.iter().map(|&cut| {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(cut)));
        rest = after;
        piece
    });
    let pieces: Vec<&[u8]> = pieces.collect();
    assert_eq!(whole, read(&wire, pieces.into_iter().chain([rest])));
});

fn read<'a>(
    wire: &Wire<'_>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Message>, Option<ChunkError>) {
    let limits = Limits { partial_messages_max: 3, chunk_streams_max: 5, ..Limits::default() };
    let extended = if wire.strict { ExtendedTimestamps::Strict } else { ExtendedTimestamps::Heuristic };
    let mut reader = ChunkReader::new(limits.clone(), extended);
    let mut messages = Vec::new();
    let mut arrived = 0;
    for mut piece in pieces {
        arrived += piece.len();
        loop {
            match reader.read(*NOW, &mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(piece.is_empty());
        assert!(reader.reserved_bytes() <= 2 * arrived + limits.chunk_streams_max * FIRST_RESERVE);
    }
    (messages, None)
}
