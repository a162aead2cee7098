//! Anything a client can do to a ServerPeer, and anything its application can answer, in any order and at any time.
//!
//! Two peers are told the same: one gets bytes as they come, the other in crumbs. Their events must not differ.

#![no_main]

use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onair_codec::amf0::{Value, write_all};
use onair_codec::chunk::{ChunkWriter, MessageHeader};
use onair_codec::{
    Event, Input, Output, PeerError, PlayEnding, RequestId, ServerConfig, ServerPeer, Status, Timestamp,
};

#[derive(Debug, Arbitrary)]
struct Story<'a> {
    begins: Beginning,
    crumb: u8,
    operations: Vec<Operation<'a>>,
}

/// How far a well-behaved client came before the story begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Arbitrary)]
enum Beginning {
    FirstByte,
    Handshake,
    Connected,
    Publishing,
    Playing,
}

#[derive(Debug, Arbitrary)]
enum Operation<'a> {
    /// Bytes as they are.
    Bytes(&'a [u8]),
    /// A whole message of any type.
    Message {
        chunk_stream_id: u8,
        type_id: u8,
        message_stream_id: u8,
        timestamp: u32,
        body: &'a [u8],
    },
    /// Audio, video, data or an aggregate, where a publisher would send it.
    Media {
        kind: u8,
        timestamp: u32,
        body: &'a [u8],
    },
    /// A command that the peer knows, with arguments it may not expect.
    Command {
        name: Name,
        transaction_id: i8,
        message_stream_id: u8,
        amf3: bool,
        arguments: Vec<Argument<'a>>,
    },
    /// The chunk size of all that follows.
    ChunkSize(u16),
    /// Time passes, and the timer that was asked for goes off.
    Wait {
        milliseconds: u16,
    },
    Accept {
        request: u8,
    },
    Reject {
        request: u8,
    },
    EndPlay {
        request: u8,
        stops: bool,
    },
    Ping(u32),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Name {
    Connect,
    ReleaseStream,
    FcPublish,
    CreateStream,
    Publish,
    Play,
    DeleteStream,
    CloseStream,
    FcUnpublish,
    Pause,
    ReceiveAudio,
    ReceiveVideo,
    Close,
    CheckBandwidth,
    Unknown,
}

#[derive(Debug, Arbitrary)]
enum Argument<'a> {
    Null,
    Number(f64),
    Boolean(bool),
    Text(&'a [u8]),
    ConnectObject { app: &'a [u8] },
    Raw(&'a [u8]),
}

/// A peer, what it said so far, and whether it is done.
struct Side {
    peer: ServerPeer,
    events: Vec<Event>,
    end: Option<Result<onair_codec::Close, PeerError>>,
}

fuzz_target!(|story: Story<'_>| {
    let mut now = Instant::now();
    let mut whole = Side::new(now);
    let mut crumbs = Side::new(now);
    let crumb = usize::from(story.crumb) + 1;
    let mut writer = ChunkWriter::new();
    let mut requests: Vec<RequestId> = Vec::new();

    if story.begins >= Beginning::Handshake {
        // Version 3, C1 of zeros, C2 of zeros: nobody checks the echo.
        let hands = [&[3][..], &[0; 2 * 1536]].concat();
        tell(&mut whole, &mut crumbs, crumb, now, &hands);
    }
    if story.begins >= Beginning::Connected {
        let connect = [Argument::ConnectObject { app: b"room" }];
        tell(&mut whole, &mut crumbs, crumb, now, &command(&mut writer, Name::Connect, 0, &connect));
        tell(
            &mut whole,
            &mut crumbs,
            crumb,
            now,
            &command(&mut writer, Name::CreateStream, 0, &[Argument::Null]),
        );
    }
    if story.begins >= Beginning::Publishing {
        let name = if story.begins == Beginning::Playing { Name::Play } else { Name::Publish };
        let arguments = [Argument::Null, Argument::Text(b"key")];
        tell(&mut whole, &mut crumbs, crumb, now, &command(&mut writer, name, 1, &arguments));
        requests = whole.events.iter().filter_map(request_of).collect();
        answer(&mut whole, &mut crumbs, &requests, 0, |peer, id| {
            peer.accept(id).expect("the request stands")
        });
    }
    for operation in &story.operations {
        match operation {
            Operation::Wait { milliseconds } => {
                now += Duration::from_millis(u64::from(*milliseconds));
                whole.go_off(now);
                crumbs.go_off(now);
            }
            Operation::Accept { request } => {
                answer(&mut whole, &mut crumbs, &requests, *request, |peer, id| {
                    let _ = peer.accept(id);
                })
            }
            Operation::Reject { request } => {
                answer(&mut whole, &mut crumbs, &requests, *request, |peer, id| {
                    let _ = peer.reject(id, Status::PublishDenied, "not today");
                })
            }
            Operation::EndPlay { request, stops } => {
                let ending = if *stops { PlayEnding::Stopped } else { PlayEnding::Unpublished };
                answer(&mut whole, &mut crumbs, &requests, *request, |peer, id| peer.end_play(id, ending));
            }
            Operation::Ping(timestamp) => {
                whole.act(|peer| peer.ping(*timestamp));
                crumbs.act(|peer| peer.ping(*timestamp));
            }
            told => tell(&mut whole, &mut crumbs, crumb, now, &told.wire(&mut writer)),
        }
        assert_eq!(whole.events, crumbs.events);
        assert_eq!(whole.end, crumbs.end);
        requests = whole.events.iter().filter_map(request_of).collect();
    }
});

fn request_of(event: &Event) -> Option<RequestId> {
    match event {
        Event::PublishRequested(request) => Some(request.request),
        Event::PlayRequested(request) => Some(request.request),
        _ => None,
    }
}

fn tell(whole: &mut Side, crumbs: &mut Side, crumb: usize, now: Instant, bytes: &[u8]) {
    whole.hear(now, bytes);
    bytes.chunks(crumb).for_each(|piece| crumbs.hear(now, piece));
}

fn answer(
    whole: &mut Side,
    crumbs: &mut Side,
    requests: &[RequestId],
    request: u8,
    act: impl Fn(&mut ServerPeer, RequestId),
) {
    // Most stories have one request, so every number means one of those there are.
    if let Some(&id) = requests.get(usize::from(request) % requests.len().max(1)) {
        whole.act(|peer| act(peer, id));
        crumbs.act(|peer| act(peer, id));
    }
}

impl Side {
    fn new(now: Instant) -> Self {
        let peer = ServerPeer::new(ServerConfig::default(), [7; 32], now);
        Self { peer, events: Vec::new(), end: None }
    }

    fn hear(&mut self, now: Instant, bytes: &[u8]) {
        if let Err(error) = self.peer.handle(now, Input::Bytes(bytes)) {
            assert!(self.end.is_none(), "an error after the end");
            self.drain();
            self.end = Some(Err(error));
        }
        self.drain();
        // At most twice what arrived, and a first reserve for each message in assembly.
        let arrived = usize::try_from(self.peer.bytes_received()).unwrap_or(usize::MAX);
        assert!(self.peer.reserved_bytes() <= arrived.saturating_mul(2).saturating_add(1 << 20));
    }

    fn go_off(&mut self, now: Instant) {
        if self.peer.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        if let Err(error) = self.peer.handle(now, Input::Timeout) {
            self.end.get_or_insert(Err(error));
        }
        self.drain();
        assert!(self.peer.poll_timeout().is_none_or(|at| at > now), "a timer that goes off for ever");
    }

    fn act(&mut self, act: impl FnOnce(&mut ServerPeer)) {
        act(&mut self.peer);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            let done = self.end.is_some();
            match output {
                Output::Transmit(bytes) => assert!(!bytes.is_empty() && !done),
                Output::Event(event) => {
                    assert!(!done, "an event after the end");
                    let _ = format!("{event:?}");
                    self.events.push(event);
                }
                Output::Close(close) => {
                    assert!(!done, "a second end");
                    self.end = Some(Ok(close));
                }
            }
        }
    }
}

fn command(
    writer: &mut ChunkWriter,
    name: Name,
    message_stream_id: u8,
    arguments: &[Argument<'_>],
) -> Vec<u8> {
    let mut body = write_all(&[name.text().into(), 1.0.into()]);
    arguments.iter().for_each(|argument| argument.write(&mut body));
    let header = MessageHeader {
        chunk_stream_id: 3,
        type_id: 20,
        message_stream_id: u32::from(message_stream_id),
        timestamp: Timestamp(0),
    };
    let mut wire = Vec::new();
    writer.write(&mut wire, header, &body);
    wire
}

impl Operation<'_> {
    fn wire(&self, writer: &mut ChunkWriter) -> Vec<u8> {
        let mut wire = Vec::new();
        match self {
            Self::Bytes(bytes) => wire.extend_from_slice(bytes),
            Self::Message { chunk_stream_id, type_id, message_stream_id, timestamp, body } => {
                let header = MessageHeader {
                    chunk_stream_id: u32::from(*chunk_stream_id),
                    type_id: *type_id,
                    message_stream_id: u32::from(*message_stream_id),
                    timestamp: Timestamp(*timestamp),
                };
                writer.write(&mut wire, header, body);
            }
            Self::Media { kind, timestamp, body } => {
                let type_id = [8, 9, 18, 15, 22][usize::from(*kind) % 5];
                let header = MessageHeader {
                    chunk_stream_id: 4,
                    type_id,
                    message_stream_id: 1,
                    timestamp: Timestamp(*timestamp),
                };
                writer.write(&mut wire, header, body);
            }
            Self::Command { name, transaction_id, message_stream_id, amf3, arguments } => {
                let mut body = if *amf3 { vec![0] } else { Vec::new() };
                body.extend(write_all(&[name.text().into(), f64::from(*transaction_id).into()]));
                arguments.iter().for_each(|argument| argument.write(&mut body));
                let header = MessageHeader {
                    chunk_stream_id: 3,
                    type_id: if *amf3 { 17 } else { 20 },
                    message_stream_id: u32::from(*message_stream_id),
                    timestamp: Timestamp(0),
                };
                writer.write(&mut wire, header, &body);
            }
            Self::ChunkSize(size) => {
                let size = u32::from(*size).max(1);
                let header = MessageHeader {
                    chunk_stream_id: 2,
                    type_id: 1,
                    message_stream_id: 0,
                    timestamp: Timestamp(0),
                };
                writer.write(&mut wire, header, &size.to_be_bytes());
                writer.set_chunk_size(size);
            }
            _ => {}
        }
        wire
    }
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ReleaseStream => "releaseStream",
            Self::FcPublish => "FCPublish",
            Self::CreateStream => "createStream",
            Self::Publish => "publish",
            Self::Play => "play",
            Self::DeleteStream => "deleteStream",
            Self::CloseStream => "closeStream",
            Self::FcUnpublish => "FCUnpublish",
            Self::Pause => "pause",
            Self::ReceiveAudio => "receiveAudio",
            Self::ReceiveVideo => "receiveVideo",
            Self::Close => "close",
            Self::CheckBandwidth => "_checkbw",
            Self::Unknown => "sing",
        }
    }
}

impl Argument<'_> {
    fn write(&self, body: &mut Vec<u8>) {
        let text = |text: &[u8]| Value::String(Bytes::copy_from_slice(text));
        let value = match self {
            Self::Null => Value::Null,
            Self::Number(number) => Value::Number(*number),
            Self::Boolean(flag) => Value::Boolean(*flag),
            Self::Text(bytes) => text(bytes),
            Self::ConnectObject { app } => Value::object([("app", text(app)), ("tcUrl", text(app))]),
            Self::Raw(bytes) => return body.extend_from_slice(bytes),
        };
        body.extend(write_all([&value]));
    }
}
