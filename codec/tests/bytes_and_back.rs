//! Bytes and back: what the writers write, the reader reads, for every chunk stream, chunk size, time and cut.

// A test fails by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use onair_codec::chunk::{ChunkReader, ChunkWriter, MessageHeader};
use onair_codec::message::control::Control;
use onair_codec::message::{Message, type_id};
use onair_codec::{ExtendedTimestamps, Limits, MediaKind, Timestamp, media_to_wire};
use proptest::prelude::*;
use support::Server;

fn any_chunk_stream_id() -> impl Strategy<Value = u32> {
    prop_oneof![2u32..10, 60u32..70, 315u32..325, 2u32..=65_599, Just(65_599)]
}

fn any_chunk_size() -> impl Strategy<Value = u32> {
    prop_oneof![1u32..5, Just(128), 100u32..5000, 1u32..70_000]
}

/// Times around everything that is special about a number on this wire.
fn any_time() -> impl Strategy<Value = u32> {
    let around = |middle: u32| (0u32..200).prop_map(move |step| middle.wrapping_sub(100).wrapping_add(step));
    prop_oneof![around(100), around(0xFF_FFFF), around(1 << 31), around(0), any::<u32>()]
}

fn any_type() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(type_id::AUDIO),
        Just(type_id::VIDEO),
        Just(type_id::DATA_AMF0),
        Just(type_id::COMMAND_AMF0)
    ]
}

fn any_message(chunk_stream_id: impl Strategy<Value = u32>) -> impl Strategy<Value = Message> {
    let length = prop_oneof![0usize..20, 0usize..1000, 0usize..65_536];
    (chunk_stream_id, any_type(), 0u32..3, any_time(), length, any::<u8>()).prop_map(
        |(chunk_stream_id, type_id, message_stream_id, time, length, salt)| Message {
            chunk_stream_id,
            type_id,
            message_stream_id,
            timestamp: Timestamp(time),
            payload: (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(salt)).collect::<Bytes>(),
        },
    )
}

fn header(message: &Message) -> MessageHeader {
    let Message { chunk_stream_id, type_id, message_stream_id, timestamp, .. } = *message;
    MessageHeader { chunk_stream_id, type_id, message_stream_id, timestamp }
}

/// Reads `wire`, cut into pieces of the given lengths in turn.
fn read(wire: &[u8], cuts: &[usize], extended: ExtendedTimestamps) -> Vec<Message> {
    let now = Server::new().start;
    let mut reader = ChunkReader::new(Limits::default(), extended);
    let mut messages = Vec::new();
    let mut rest = wire;
    for cut in cuts.iter().cycle() {
        let (mut piece, after) = rest.split_at((*cut).min(rest.len()));
        rest = after;
        while let Some(message) = reader.read(now, &mut piece).unwrap() {
            messages.push(message);
        }
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(reader.reserved_bytes(), 0);
    messages
}

fn set_chunk_size(writer: &mut ChunkWriter, wire: &mut Vec<u8>, size: u32) {
    let control = Control::SetChunkSize(size);
    let header = MessageHeader {
        chunk_stream_id: 2,
        type_id: control.type_id(),
        message_stream_id: 0,
        timestamp: Timestamp(0),
    };
    writer.write(wire, header, &control.to_body());
    writer.set_chunk_size(size);
}

/// Cuts the wire form of one message into its chunks.
fn chunks(message: &Message, wire: &[u8], chunk_size: usize) -> Vec<Vec<u8>> {
    let basic = match message.chunk_stream_id {
        2..=63 => 1,
        64..=319 => 2,
        _ => 3,
    };
    let extended = if wire[basic..basic + 3] == [0xff; 3] { 4 } else { 0 };
    let payload = message.payload.len();
    let chunk_count = payload.div_ceil(chunk_size).max(1);
    let continuations = (chunk_count - 1) * (basic + extended);
    let first_header = wire.len() - payload - continuations;
    let (first, mut rest) = wire.split_at(first_header + payload.min(chunk_size));
    let mut chunks = vec![first.to_vec()];
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(basic + extended + chunk_size));
        chunks.push(chunk.to_vec());
        rest = after;
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn what_the_writer_writes_the_reader_reads(
        messages in prop::collection::vec(any_message(any_chunk_stream_id()), 1..30),
        sizes in prop::collection::vec(any_chunk_size(), 1..4),
        cuts in prop::collection::vec(prop_oneof![1usize..20, 1usize..100_000], 1..8),
    ) {
        let (mut writer, mut wire) = (ChunkWriter::new(), Vec::new());
        let group = messages.len().div_ceil(sizes.len());
        for (group, size) in messages.chunks(group).zip(&sizes) {
            set_chunk_size(&mut writer, &mut wire, *size);
            for message in group {
                writer.write(&mut wire, header(message), &message.payload);
            }
        }
        for extended in [ExtendedTimestamps::Heuristic, ExtendedTimestamps::Strict] {
            let read: Vec<Message> = read(&wire, &cuts, extended)
                .into_iter()
                .filter(|message| message.type_id != type_id::SET_CHUNK_SIZE)
                .collect();
            prop_assert_eq!(&read, &messages);
            for (read, written) in read.iter().zip(&messages) {
                prop_assert!(read.payload == written.payload);
            }
        }
    }

    #[test]
    fn chunks_of_different_chunk_streams_may_be_shuffled_together(
        per_stream in prop::collection::vec(prop::collection::vec(any_message(Just(0)), 1..5), 1..7),
        chunk_size in prop_oneof![64u32..300, 1000u32..70_000],
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..50),
        cuts in prop::collection::vec(1usize..5000, 1..8),
    ) {
        let mut wire = Vec::new();
        set_chunk_size(&mut ChunkWriter::new(), &mut wire, chunk_size);
        let mut queues = Vec::new();
        let mut expected = Vec::new();
        for (chunk_stream_id, mut messages) in (62..).zip(per_stream) {
            let mut writer = ChunkWriter::new();
            writer.set_chunk_size(chunk_size);
            let mut queue = std::collections::VecDeque::new();
            for message in &mut messages {
                message.chunk_stream_id = chunk_stream_id;
                let mut bytes = Vec::new();
                writer.write(&mut bytes, header(message), &message.payload);
                queue.extend(chunks(message, &bytes, chunk_size as usize));
            }
            queues.push(queue);
            expected.push(messages);
        }
        for index in order.iter().cycle() {
            queues.retain(|queue| !queue.is_empty());
            if queues.is_empty() {
                break;
            }
            wire.extend(index.get_mut(&mut queues).pop_front().unwrap());
        }
        let read = read(&wire, &cuts, ExtendedTimestamps::Heuristic);
        for (chunk_stream_id, expected) in (62..).zip(expected) {
            let of_stream: Vec<_> =
                read.iter().filter(|message| message.chunk_stream_id == chunk_stream_id).cloned().collect();
            prop_assert_eq!(of_stream, expected);
        }
    }

    #[test]
    fn media_written_without_memory_is_read_whatever_came_before(
        messages in prop::collection::vec((0usize..3, any_time(), 0usize..70_000), 1..10),
        chunk_size in any_chunk_size(),
        message_stream_id in any::<u32>(),
        cuts in prop::collection::vec(1usize..100_000, 1..8),
    ) {
        let mut wire = Vec::new();
        set_chunk_size(&mut ChunkWriter::new(), &mut wire, chunk_size);
        let kinds = [MediaKind::Audio, MediaKind::Video, MediaKind::Data];
        for (kind, time, length) in &messages {
            let payload: Vec<u8> = (0..*length).map(|i| i as u8).collect();
            let bytes = media_to_wire(kinds[*kind], *time, message_stream_id, chunk_size, &payload);
            // It reserves enough and not much more.
            prop_assert!(bytes.len() >= payload.len() + 12);
            wire.extend(bytes);
        }
        let read = read(&wire, &cuts, ExtendedTimestamps::Strict);
        prop_assert_eq!(read.len(), messages.len() + 1);
        for (read, (kind, time, length)) in read[1..].iter().zip(&messages) {
            prop_assert_eq!(read.type_id, kinds[*kind].type_id());
            prop_assert_eq!(read.timestamp, Timestamp(*time));
            prop_assert_eq!(read.message_stream_id, message_stream_id);
            prop_assert!(read.payload.iter().copied().eq((0..*length).map(|i| i as u8)));
        }
    }
}

#[test]
fn a_repeated_header_is_short_and_going_back_in_time_is_said_in_full() {
    let mut writer = ChunkWriter::new();
    let mut write = |time: u32, message_stream_id: u32| {
        let mut wire = Vec::new();
        let timestamp = Timestamp(time);
        let header =
            MessageHeader { chunk_stream_id: 4, type_id: type_id::AUDIO, message_stream_id, timestamp };
        writer.write(&mut wire, header, &[1, 2]);
        wire[0] >> 6
    };
    assert_eq!(write(1000, 1), 0);
    assert_eq!(write(1020, 1), 1);
    assert_eq!(write(1020, 1), 1);
    assert_eq!(write(1010, 1), 0);
    assert_eq!(write(1030, 2), 0, "another message stream");
    assert_eq!(write(u32::MAX, 2), 0, "before the wrap is back");
    assert_eq!(write(9, 2), 1, "over the wrap");
}
