//! What the codec's tests share: real captures, and peers that accept everything and note what happens.

// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

pub mod hex;
pub mod pair;
pub mod raw;

use std::time::{Duration, Instant};

use onair_codec::{
    ClientAction, ClientConfig, ClientEvent, ClientPeer, Close, Event, Input, Output, PeerError, RequestId,
    ServerConfig, ServerPeer,
};

pub const SEED: [u8; 32] = [42; 32];

/// Bytes that one side of a real connection sent.
pub fn capture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/captures/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of all captured publishers.
pub const PUBLISHERS: [&str; 9] = [
    "obs-29-h264-aac",
    "ffmpeg-5.1-h264-aac",
    "ffmpeg-5.1-extended-timestamp",
    "ffmpeg-9.0-h264-aac",
    "ffmpeg-9.0-hevc-aac",
    "ffmpeg-9.0-av1-opus",
    "ffmpeg-9.0-vp9-flac",
    "ffmpeg-9.0-multitrack",
    "gstreamer-1.22-h264-aac",
];

/// The app and stream name of all captures.
pub const ROOM: &str = "room-42";
pub const KEY: &str = "eyJhbGciOiJFZERTQSJ9.capture.key";

/// A server that grants every request at once.
pub struct Server {
    pub peer: ServerPeer,
    pub start: Instant,
    pub events: Vec<Event>,
    pub sent: Vec<u8>,
    pub close: Option<Close>,
    pub granted: Vec<RequestId>,
}

impl Server {
    pub fn new() -> Self {
        Self::with(ServerConfig::default())
    }

    pub fn with(config: ServerConfig) -> Self {
        // The codec is told the time; the tests' time begins at any moment and then stands still or is moved by hand.
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        Self {
            peer: ServerPeer::new(config, SEED, start),
            start,
            events: Vec::new(),
            sent: Vec::new(),
            close: None,
            granted: Vec::new(),
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        self.feed_at(Duration::ZERO, bytes)
    }

    pub fn feed_at(&mut self, at: Duration, bytes: &[u8]) -> Result<(), PeerError> {
        let result = self.peer.handle(self.start + at, Input::Bytes(bytes));
        self.drain();
        result
    }

    /// Feeds what a publisher sent, cut where real life cuts it: behind its `publish`, since it waits for the answer.
    pub fn feed_publisher(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        let (request, media) = bytes.split_at(publish_end(bytes));
        self.feed(request)?;
        self.feed(media)
    }

    pub fn timeout_at(&mut self, at: Duration) -> Result<(), PeerError> {
        let result = self.peer.handle(self.start + at, Input::Timeout);
        self.drain();
        result
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Transmit(bytes) => self.sent.extend_from_slice(&bytes),
                Output::Event(event) => {
                    let request = match &event {
                        Event::PublishRequested(request) => Some(request.request),
                        Event::PlayRequested(request) => Some(request.request),
                        _ => None,
                    };
                    self.events.push(event);
                    if let Some(request) = request {
                        self.peer.accept(request).unwrap();
                        self.granted.push(request);
                    }
                }
                Output::Close(close) => self.close = Some(close),
            }
        }
    }
}

/// How many bytes of a capture end with the publish or play command.
pub fn publish_end(bytes: &[u8]) -> usize {
    let mut server = Server::new();
    for (at, byte) in bytes.iter().enumerate() {
        server.feed(&[*byte]).unwrap();
        if !server.granted.is_empty() {
            return at + 1;
        }
    }
    panic!("the capture requests nothing");
}

/// A client that notes what happens.
pub struct Client {
    pub peer: ClientPeer,
    pub start: Instant,
    pub events: Vec<ClientEvent>,
    pub sent: Vec<u8>,
    pub close: Option<Close>,
}

impl Client {
    pub fn publisher() -> Self {
        Self::new(ClientAction::Publish { name: KEY.into() })
    }

    pub fn player() -> Self {
        Self::new(ClientAction::Play { name: KEY.into() })
    }

    pub fn new(action: ClientAction) -> Self {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let config = ClientConfig::new(ROOM, format!("rtmp://127.0.0.1/{ROOM}"), action);
        let peer = ClientPeer::new(config, SEED, start);
        let mut client = Self { peer, start, events: Vec::new(), sent: Vec::new(), close: None };
        client.drain();
        client
    }

    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        let result = self.peer.handle(self.start, Input::Bytes(bytes));
        self.drain();
        result
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Transmit(bytes) => self.sent.extend_from_slice(&bytes),
                Output::Event(event) => self.events.push(event),
                Output::Close(close) => self.close = Some(close),
            }
        }
    }
}
