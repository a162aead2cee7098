//! RawClient: a client without manners, which sends just what a test tells it to.

use onair_codec::amf0::{AmfLimits, Value};
use onair_codec::chunk::{ChunkReader, ChunkWriter, MessageHeader};
use onair_codec::handshake::BLOCK_BYTES;
use onair_codec::message::command::{Command, encode};
use onair_codec::message::control::Control;
use onair_codec::message::{Message, type_id};
use onair_codec::{Close, Event};
use onair_codec::{
    ExtendedTimestamps, Input, Limits, Output, PeerError, RequestId, ServerConfig, ServerPeer, Timestamp,
};
use std::time::{Duration, Instant};

use super::SEED;

/// A server peer under test and the raw end of its wire. Requests are not granted by themselves.
pub struct Raw {
    pub server: ServerPeer,
    pub now: Instant,
    pub events: Vec<Event>,
    pub close: Option<Close>,
    /// Messages that the server sent and that were not looked at yet.
    pub inbox: Vec<Message>,
    writer: ChunkWriter,
    reader: ChunkReader,
    handshake_left: usize,
}

impl Raw {
    /// Behind the handshake.
    pub fn new() -> Self {
        Self::with(ServerConfig::default())
    }

    pub fn with(config: ServerConfig) -> Self {
        let mut raw = Self::before_handshake(config);
        let hello = [&[3][..], &[0; BLOCK_BYTES], &[0; BLOCK_BYTES]].concat();
        raw.send_bytes(&hello).unwrap();
        assert_eq!(raw.handshake_left, 0);
        raw
    }

    pub fn before_handshake(config: ServerConfig) -> Self {
        #[allow(clippy::disallowed_methods)]
        let now = Instant::now();
        Self {
            server: ServerPeer::new(config, SEED, now),
            now,
            events: Vec::new(),
            close: None,
            inbox: Vec::new(),
            writer: ChunkWriter::new(),
            reader: ChunkReader::new(Limits::default(), ExtendedTimestamps::Strict),
            handshake_left: 1 + 2 * BLOCK_BYTES,
        }
    }

    /// Behind `connect` and `createStream` (message stream 1), with an empty inbox.
    pub fn connected() -> Self {
        Self::connected_with(ServerConfig::default())
    }

    pub fn connected_with(config: ServerConfig) -> Self {
        let mut raw = Self::with(config);
        raw.connect("live").unwrap();
        raw.command(0, "createStream", 2.0, &[Value::Null]).unwrap();
        raw.inbox.clear();
        raw.events.clear();
        raw
    }

    /// Behind an accepted publish on message stream 1.
    pub fn publishing() -> Self {
        Self::publishing_with(ServerConfig::default())
    }

    pub fn publishing_with(config: ServerConfig) -> Self {
        let mut raw = Self::connected_with(config);
        let request = raw.publish(1, "key");
        raw.server.accept(request).unwrap();
        raw.drain();
        raw.inbox.clear();
        raw.events.clear();
        raw
    }

    pub fn connect(&mut self, app: &str) -> Result<(), PeerError> {
        let object = Value::object([("app", Value::string(app)), ("tcUrl", Value::string("rtmp://h/live"))]);
        self.command(0, "connect", 1.0, &[object])
    }

    /// Sends `publish` and returns the request that came of it.
    pub fn publish(&mut self, id: u32, name: &str) -> RequestId {
        let values = [Value::Null, Value::string(name), Value::from_static("live")];
        self.command(id, "publish", 5.0, &values).unwrap();
        match self.events.last() {
            Some(Event::PublishRequested(request)) => request.request,
            other => panic!("{other:?}"),
        }
    }

    /// Sends `play` and returns the request that came of it.
    pub fn play(&mut self, id: u32, name: &str) -> RequestId {
        self.command(id, "play", 4.0, &[Value::Null, Value::string(name), Value::Number(-2000.0)]).unwrap();
        match self.events.last() {
            Some(Event::PlayRequested(request)) => request.request,
            other => panic!("{other:?}"),
        }
    }

    pub fn command(
        &mut self,
        id: u32,
        name: &'static str,
        transaction_id: f64,
        values: &[Value],
    ) -> Result<(), PeerError> {
        self.message(3, type_id::COMMAND_AMF0, id, 0, &encode(name, transaction_id, values))
    }

    pub fn control(&mut self, control: Control) -> Result<(), PeerError> {
        let result = self.message(2, control.type_id(), 0, 0, &control.to_body());
        if let Control::SetChunkSize(size) = control {
            self.writer.set_chunk_size(size);
        }
        result
    }

    pub fn media(&mut self, type_id: u8, timestamp: u32, payload: &[u8]) -> Result<(), PeerError> {
        self.message(4, type_id, 1, timestamp, payload)
    }

    pub fn message(
        &mut self,
        chunk_stream_id: u32,
        type_id: u8,
        message_stream_id: u32,
        timestamp: u32,
        payload: &[u8],
    ) -> Result<(), PeerError> {
        let timestamp = Timestamp(timestamp);
        let header = MessageHeader { chunk_stream_id, type_id, message_stream_id, timestamp };
        let mut wire = Vec::new();
        self.writer.write(&mut wire, header, payload);
        self.send_bytes(&wire)
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        let result = self.server.handle(self.now, Input::Bytes(bytes));
        self.drain();
        result
    }

    pub fn wait(&mut self, span: Duration) -> Result<(), PeerError> {
        self.now += span;
        let result = self.server.handle(self.now, Input::Timeout);
        self.drain();
        result
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit(bytes) => self.receive(&bytes),
                Output::Event(event) => self.events.push(event),
                Output::Close(close) => self.close = Some(close),
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let (_, mut chunks) = bytes.split_at(bytes.len().min(self.handshake_left));
        self.handshake_left -= bytes.len() - chunks.len();
        while let Some(message) = self.reader.read(self.now, &mut chunks).unwrap() {
            self.inbox.push(message);
        }
    }

    /// The commands in the inbox, with the message stream each came on. Empties the inbox.
    pub fn take_commands(&mut self) -> Vec<(u32, Command)> {
        let commands = self.inbox.drain(..).filter(|message| message.type_id == type_id::COMMAND_AMF0);
        commands.map(|message| (message.message_stream_id, parse(&message))).collect()
    }

    /// The one command in the inbox.
    pub fn take_command(&mut self) -> (u32, Command) {
        let mut commands = self.take_commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        commands.remove(0)
    }

    /// The codes of all `onStatus` in the inbox, with the message stream each came on. Empties the inbox.
    pub fn take_statuses(&mut self) -> Vec<(u32, String)> {
        let commands = self.take_commands().into_iter();
        let statuses = commands.filter(|(_, command)| command.name.as_bytes() == b"onStatus");
        statuses.map(|(id, command)| (id, text(&command, "code"))).collect()
    }
}

/// Reads a command message.
pub fn parse(message: &Message) -> Command {
    Command::parse(message.type_id, &message.payload, &AmfLimits::default()).unwrap()
}

/// A text of the info object, the first argument.
pub fn text(command: &Command, name: &str) -> String {
    let value = command.argument(0).and_then(|info| info.get(name)).and_then(Value::as_str_bytes);
    String::from_utf8(value.unwrap_or_else(|| panic!("no {name} in {command:?}")).to_vec()).unwrap()
}
