//! What one side of us writes, the other side of us reads: messages through ChunkWriter and ChunkReader, and a whole
//! broadcast from a ClientPeer to a ServerPeer, cut anywhere.

#![no_main]

use std::sync::LazyLock;
use std::time::Instant;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onair_codec::chunk::{ChunkReader, ChunkWriter, MessageHeader};
use onair_codec::{
    ClientAction, ClientConfig, ClientEvent, ClientPeer, Event, ExtendedTimestamps, Input, Limits, Media,
    MediaKind, Output, ServerConfig, ServerPeer, Timestamp, media_to_wire,
};

#[derive(Debug, Arbitrary)]
struct Broadcast<'a> {
    chunk_size: u16,
    crumb: u16,
    messages: Vec<Fuzzed<'a>>,
}

#[derive(Debug, Arbitrary)]
struct Fuzzed<'a> {
    chunk_stream_id: u16,
    message_stream_id: u32,
    kind: Kind,
    timestamp: u32,
    /// Repeated so often, to make messages of many chunks out of little input.
    times: u8,
    payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Kind {
    Audio,
    Video,
    Data,
}

static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);

fuzz_target!(|broadcast: Broadcast<'_>| {
    chunks_and_back(&broadcast);
    stateless_chunks_and_back(&broadcast);
    broadcast_and_back(&broadcast);
});

impl Fuzzed<'_> {
    fn media(&self) -> Media {
        let kind = match self.kind {
            Kind::Audio => MediaKind::Audio,
            Kind::Video => MediaKind::Video,
            Kind::Data => MediaKind::Data,
        };
        // What a media message must begin with, so that the receiver keeps it.
        let mut payload = match kind {
            MediaKind::Data => b"\x02\x00\x0aonCuePoint".to_vec(),
            _ => vec![0x17, 0x01],
        };
        payload.extend(self.payload.repeat(usize::from(self.times)));
        payload.truncate(200 * 1024);
        Media { kind, timestamp: Timestamp(self.timestamp), payload: Bytes::from(payload) }
    }
}

/// Reads all messages of a wire that must be whole.
fn read_all(broadcast: &Broadcast<'_>, wire: &[u8]) -> Vec<(MessageHeader, Bytes)> {
    let mut reader = reader();
    let mut read = Vec::new();
    for mut piece in wire.chunks(usize::from(broadcast.crumb) + 1) {
        while let Some(message) = reader.read(*NOW, &mut piece).expect("what we wrote can be read") {
            let header = MessageHeader {
                chunk_stream_id: message.chunk_stream_id,
                type_id: message.type_id,
                message_stream_id: message.message_stream_id,
                timestamp: message.timestamp,
            };
            read.push((header, message.payload));
        }
    }
    assert!(reader.oldest_partial().is_none(), "something is left over");
    read
}

fn reader() -> ChunkReader {
    let limits = Limits { chunk_streams_max: 65_600, ..Limits::default() };
    ChunkReader::new(limits, ExtendedTimestamps::Heuristic)
}

fn chunks_and_back(broadcast: &Broadcast<'_>) {
    let chunk_size = u32::from(broadcast.chunk_size).max(1);
    let mut writer = ChunkWriter::new();
    let mut wire = Vec::new();
    let control =
        MessageHeader { chunk_stream_id: 2, type_id: 1, message_stream_id: 0, timestamp: Timestamp(0) };
    let size = Bytes::copy_from_slice(&chunk_size.to_be_bytes());
    writer.write(&mut wire, control, &size);
    writer.set_chunk_size(chunk_size);
    let mut written = vec![(control, size)];
    for message in &broadcast.messages {
        let media = message.media();
        let header = MessageHeader {
            chunk_stream_id: u32::from(message.chunk_stream_id).max(3),
            type_id: media.kind.type_id(),
            message_stream_id: message.message_stream_id,
            timestamp: media.timestamp,
        };
        writer.write(&mut wire, header, &media.payload);
        written.push((header, media.payload));
    }
    assert_eq!(read_all(broadcast, &wire), written);
}

fn stateless_chunks_and_back(broadcast: &Broadcast<'_>) {
    let mut wire = Vec::new();
    let mut written = Vec::new();
    for message in &broadcast.messages {
        let media = message.media();
        // The reader was told no other chunk size than the default.
        wire.extend(media_to_wire(
            media.kind,
            media.timestamp.0,
            message.message_stream_id,
            128,
            &media.payload,
        ));
        written.push((media.kind.type_id(), message.message_stream_id, media));
    }
    let read = read_all(broadcast, &wire);
    assert_eq!(read.len(), written.len());
    for ((header, payload), (type_id, message_stream_id, media)) in read.into_iter().zip(written) {
        assert_eq!((header.type_id, header.message_stream_id), (type_id, message_stream_id));
        assert_eq!((header.timestamp, payload), (media.timestamp, media.payload));
    }
}

fn broadcast_and_back(broadcast: &Broadcast<'_>) {
    let action = ClientAction::Publish { name: "key".into() };
    let config = ClientConfig {
        chunk_size: u32::from(broadcast.chunk_size).max(1),
        ..ClientConfig::new("room", "rtmp://localhost/room", action)
    };
    let mut client = ClientPeer::new(config, [1; 32], *NOW);
    let mut server = ServerPeer::new(ServerConfig::default(), [2; 32], *NOW);
    let mut received = Vec::new();
    let mut ended = false;
    let mut started = false;
    let mut unsent = broadcast.messages.iter();
    let crumb = usize::from(broadcast.crumb) + 1;
    loop {
        let mut idle = true;
        while let Some(output) = client.poll_output() {
            idle = false;
            match output {
                Output::Transmit(bytes) => {
                    for piece in bytes.chunks(crumb) {
                        server.handle(*NOW, Input::Bytes(piece)).expect("a server reads what we write");
                    }
                }
                Output::Event(ClientEvent::Started) => started = true,
                Output::Event(_) => {}
                Output::Close(_) => ended = true,
            }
        }
        while let Some(output) = server.poll_output() {
            idle = false;
            match output {
                Output::Transmit(bytes) => {
                    for piece in bytes.chunks(crumb) {
                        client.handle(*NOW, Input::Bytes(piece)).expect("a client reads what we write");
                    }
                }
                Output::Event(Event::PublishRequested(request)) => {
                    server.accept(request.request).expect("the request stands");
                }
                Output::Event(Event::Media(media)) => received.push(media),
                Output::Event(_) => {}
                Output::Close(close) => panic!("the server closes: {close:?}"),
            }
        }
        if !idle {
            continue;
        }
        assert!(started, "the publish never began");
        match unsent.next() {
            Some(message) => client.send_media(&message.media()).expect("we publish"),
            None if !ended => client.unpublish(),
            None => break,
        }
    }
    let sent: Vec<Media> = broadcast.messages.iter().map(Fuzzed::media).collect();
    assert_eq!(received, sent);
}
