//! Reading and writing chunks, in the shapes that a busy node sees: many small frames, and large keyframes.

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use onair_codec::chunk::{ChunkReader, ChunkWriter, MessageHeader};
use onair_codec::message::control::Control;
use onair_codec::message::type_id;
use onair_codec::{ExtendedTimestamps, Limits, MediaKind, Timestamp, media_to_wire};

const FRAMES: u32 = 50;
const FRAME_BYTES: usize = 1400;
const KEYFRAME_BYTES: usize = 250_000;
/// What one read of a socket gives at most.
const READ_BYTES: usize = 64 * 1024;

fn header(kind: u8, timestamp: u32) -> MessageHeader {
    let timestamp = Timestamp(timestamp);
    MessageHeader { chunk_stream_id: 6, type_id: kind, message_stream_id: 1, timestamp }
}

/// A reader that was told the chunk size, and that knows the chunk stream.
fn reader(chunk_size: u32) -> ChunkReader {
    let mut wire = Vec::new();
    let mut writer = ChunkWriter::new();
    let control = Control::SetChunkSize(chunk_size);
    let first = MessageHeader { chunk_stream_id: 2, message_stream_id: 0, ..header(control.type_id(), 0) };
    writer.write(&mut wire, first, &control.to_body());
    writer.write(&mut wire, header(type_id::VIDEO, 0), &[]);
    let mut reader = ChunkReader::new(Limits::default(), ExtendedTimestamps::Heuristic);
    assert_eq!(read(&mut reader, now(), &wire), 2);
    reader
}

/// The codec is told the time; a bench may ask for it.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

fn read(reader: &mut ChunkReader, now: Instant, wire: &[u8]) -> usize {
    let mut messages = 0;
    for mut piece in wire.chunks(READ_BYTES) {
        while let Ok(Some(message)) = reader.read(now, &mut piece) {
            black_box(&message);
            messages += 1;
        }
    }
    messages
}

/// Messages as a publisher sends them: type 1 headers after the first.
fn wire(chunk_size: u32, messages: u32, payload: usize) -> Vec<u8> {
    let (mut writer, mut wire) = (ChunkWriter::new(), Vec::new());
    writer.set_chunk_size(chunk_size);
    let payload = vec![0x27; payload];
    for i in 0..messages {
        writer.write(&mut wire, header(type_id::VIDEO, 40 * i), &payload);
    }
    wire
}

fn reading(c: &mut Criterion) {
    let now = now();
    let mut group = c.benchmark_group("read");
    for chunk_size in [128, 4096, 60_000] {
        for (name, messages, payload) in
            [("50_frames_of_1400", FRAMES, FRAME_BYTES), ("keyframe_of_250k", 1, KEYFRAME_BYTES)]
        {
            let wire = wire(chunk_size, messages, payload);
            group.throughput(Throughput::Bytes(wire.len() as u64));
            group.bench_with_input(BenchmarkId::new(name, chunk_size), &wire, |b, wire| {
                let fresh = || reader(chunk_size);
                b.iter_batched_ref(fresh, |reader| read(reader, now, wire), BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

fn writing(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    for chunk_size in [4096, 60_000] {
        for (name, payload) in [("frame_of_1400", FRAME_BYTES), ("keyframe_of_250k", KEYFRAME_BYTES)] {
            let payload = vec![0x27; payload];
            group.throughput(Throughput::Bytes(payload.len() as u64));
            group.bench_with_input(
                BenchmarkId::new(format!("media_to_wire/{name}"), chunk_size),
                &payload,
                |b, payload| {
                    b.iter(|| {
                        media_to_wire(MediaKind::Video, black_box(40), 1, chunk_size, black_box(payload))
                    });
                },
            );
            group.bench_with_input(
                BenchmarkId::new(format!("chunk_writer/{name}"), chunk_size),
                &payload,
                |b, payload| {
                    let mut writer = ChunkWriter::new();
                    writer.set_chunk_size(chunk_size);
                    let (mut out, mut at) = (Vec::new(), 0u32);
                    b.iter(|| {
                        out.clear();
                        at = at.wrapping_add(40);
                        writer.write(&mut out, header(type_id::VIDEO, at), black_box(payload));
                        out.len()
                    });
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, reading, writing);
criterion_main!(benches);
