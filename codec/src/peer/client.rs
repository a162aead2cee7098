//! ClientPeer: our side towards a server, as a publisher or a player. For relays between nodes, tests and load.
//!
//! It walks one way: handshake, `connect`, `createStream`, then `publish` or `play`, each step when the server has
//! answered the one before.

mod config;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::link::Link;
use super::status::{Status, code};
use super::{Close, Input, Output};
use crate::amf0::Value;
use crate::chunk::ExtendedTimestamps;
use crate::error::PeerError;
use crate::handshake::{ClientHandshake, Progress};
use crate::media::{Media, MediaKind};
use crate::message::command::{self, Command};
use crate::message::control::Control;
use crate::message::user_control::UserControl;
use crate::message::{Message, aggregate, data, type_id};
use crate::rate::Rate;

pub use config::{ClientAction, ClientConfig, ClientEvent, NotPublishing};

/// Where a client stands. Numbers are the transaction ids it waits for.
#[derive(Debug)]
enum Phase {
    Handshake(ClientHandshake),
    Connecting,
    Creating { transaction_id: f64 },
    Requesting { message_stream_id: u32 },
    Started { message_stream_id: u32 },
    Closed,
}

const CONNECT: f64 = 1.0;

/// Milliseconds of buffer that a player claims, as `FFmpeg` does.
const BUFFER_MS: u32 = 3000;

/// The client's end of one RTMP connection.
///
/// **One mutation, then drain**: after `new` and after each method that takes `&mut self`, call
/// [`ClientPeer::poll_output`] until it returns `None`.
#[derive(Debug)]
pub struct ClientPeer {
    config: ClientConfig,
    phase: Phase,
    link: Link,
    events: VecDeque<ClientEvent>,
    close: Option<Close>,
    handshake_deadline: Instant,
    request_deadline: Instant,
    commands: Rate,
}

impl ClientPeer {
    /// A peer for a connection that was made at `now`. `seed` should be random: the handshake's filler bytes come
    /// from it.
    pub fn new(config: ClientConfig, seed: [u8; 32], now: Instant) -> Self {
        let mut link = Link::new(&config.limits, ExtendedTimestamps::Heuristic);
        let handshake = ClientHandshake::new(seed, &mut link.wire);
        Self {
            phase: Phase::Handshake(handshake),
            link,
            events: VecDeque::new(),
            close: None,
            handshake_deadline: now + config.handshake_timeout,
            request_deadline: now + config.request_timeout,
            commands: Rate::new(config.limits.commands_per_second_max, Duration::from_secs(1)),
            config,
        }
    }

    /// Takes what happened. Bytes are always taken as a whole.
    ///
    /// # Errors
    /// [`PeerError`] when the server broke the protocol or passed a bound. Drain what is left, then close.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), PeerError> {
        if matches!(self.phase, Phase::Closed) {
            return Ok(());
        }
        if let Some((deadline, close)) = self.own_deadline()
            && now >= deadline
        {
            self.close(close);
            return Ok(());
        }
        let handled = match input {
            Input::Bytes(bytes) => self.on_bytes(now, bytes),
            Input::Timeout => Ok(()),
        };
        let handled = handled.and_then(|()| self.link.check_partial_age(now));
        if handled.is_err() {
            self.phase = Phase::Closed;
        }
        handled
    }

    /// The next thing to do, or `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output<ClientEvent>> {
        if let Some(wire) = self.link.take_wire() {
            return Some(Output::Transmit(wire));
        }
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        self.close.take().map(Output::Close)
    }

    /// When `handle` wants [`Input::Timeout`], if no bytes arrive before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if matches!(self.phase, Phase::Closed) {
            return None;
        }
        let own = self.own_deadline().map(|(deadline, _)| deadline);
        [own, self.link.partial_deadline()].into_iter().flatten().min()
    }

    /// Sends one media message. Metadata gets its `@setDataFrame` back.
    ///
    /// # Errors
    /// [`NotPublishing`] before [`ClientEvent::Started`] of a publish, and after its end.
    pub fn send_media(&mut self, media: &Media) -> Result<(), NotPublishing> {
        let (Phase::Started { message_stream_id }, ClientAction::Publish { .. }) =
            (&self.phase, &self.config.action)
        else {
            return Err(NotPublishing);
        };
        let id = *message_stream_id;
        if media.kind == MediaKind::Data && media.payload.starts_with(data::ON_META_DATA) {
            let body = [data::SET_DATA_FRAME, &media.payload].concat();
            self.link.send_media(id, media, &body);
        } else {
            self.link.send_media(id, media, &media.payload);
        }
        Ok(())
    }

    /// Says goodbye as encoders do, and closes. Does nothing before the publish or play has begun, or after its end.
    pub fn unpublish(&mut self) {
        let Phase::Started { message_stream_id } = self.phase else { return };
        if let ClientAction::Publish { name } = &self.config.action {
            let body = command::encode("FCUnpublish", 6.0, &[Value::Null, Value::string(name.expose())]);
            self.link.send_connection_command(&body);
        }
        let id = Value::Number(f64::from(message_stream_id));
        self.link.send_connection_command(&command::encode("deleteStream", 7.0, &[Value::Null, id]));
        self.close(Close::Unpublished);
    }

    /// Bytes received on this connection, handshake included.
    pub const fn bytes_received(&self) -> u64 {
        self.link.received()
    }

    /// The total that the server acknowledged last, modulo 2^32; `None` if it never did.
    pub const fn bytes_acknowledged(&self) -> Option<u32> {
        self.link.peer_acknowledged()
    }

    fn own_deadline(&self) -> Option<(Instant, Close)> {
        match self.phase {
            Phase::Handshake(_) => Some((self.handshake_deadline, Close::HandshakeTimeout)),
            Phase::Started { .. } | Phase::Closed => None,
            _ => Some((self.request_deadline, Close::RequestTimeout)),
        }
    }

    fn close(&mut self, close: Close) {
        self.phase = Phase::Closed;
        self.close = Some(close);
    }

    fn on_bytes(&mut self, now: Instant, mut input: &[u8]) -> Result<(), PeerError> {
        self.link.count(input.len());
        if let Phase::Handshake(handshake) = &mut self.phase {
            match handshake.read(&mut input, &mut self.link.wire)? {
                Progress::Waiting => return Ok(()),
                Progress::Done => self.connect(),
            }
        }
        while !matches!(self.phase, Phase::Closed) {
            let Some(message) = self.link.read(now, &mut input)? else { break };
            self.on_message(now, message)?;
        }
        self.link.settle(now);
        Ok(())
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.link.send_control(Control::SetChunkSize(
            self.config.chunk_size.clamp(1, crate::chunk::MESSAGE_BYTES_MAX),
        ));
        let object = Value::object([
            ("app", Value::string(&self.config.app)),
            ("type", Value::from_static("nonprivate")),
            ("flashVer", Value::string(&self.config.flash_version)),
            // We take every codec as it comes.
            ("fourCcList", Value::StrictArray(vec![Value::from_static("*")])),
            ("tcUrl", Value::string(&self.config.tc_url)),
        ]);
        self.link.send_connection_command(&command::encode("connect", CONNECT, &[object]));
    }

    fn on_message(&mut self, now: Instant, message: Message) -> Result<(), PeerError> {
        match message.type_id {
            type_id::COMMAND_AMF0 | type_id::COMMAND_AMF3 => {
                if !self.commands.allow(now) {
                    return Err(PeerError::CommandFlood {
                        limit: self.config.limits.commands_per_second_max,
                    });
                }
                let command = Command::parse(message.type_id, &message.payload, &self.config.limits.amf);
                if let Some(command) = command {
                    self.on_command(&command);
                }
            }
            type_id::AUDIO | type_id::VIDEO | type_id::DATA_AMF0 | type_id::DATA_AMF3 => {
                self.on_media(message);
            }
            type_id::AGGREGATE => {
                if let Some(parts) = aggregate::split(&message) {
                    parts.for_each(|part| self.on_media(part));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Some servers send media before they say that it begins.
    fn on_media(&mut self, message: Message) {
        let playing = matches!(self.phase, Phase::Requesting { .. } | Phase::Started { .. })
            && matches!(self.config.action, ClientAction::Play { .. });
        if !playing {
            return;
        }
        let (kind, payload) = match message.type_id {
            type_id::AUDIO => (MediaKind::Audio, Some(message.payload)),
            type_id::VIDEO => (MediaKind::Video, Some(message.payload)),
            _ => (MediaKind::Data, data::to_plain(message.type_id, &message.payload)),
        };
        if let Some(payload) = payload {
            self.events.push_back(ClientEvent::Media(Media { kind, timestamp: message.timestamp, payload }));
        }
    }

    fn on_command(&mut self, command: &Command) {
        let transaction_id = command.transaction_id;
        match (command.name.as_bytes(), &self.phase) {
            (b"_result", Phase::Connecting) if transaction_id == CONNECT => self.on_connected(),
            (b"_result", Phase::Creating { transaction_id: awaited }) if transaction_id == *awaited => {
                self.on_created(command);
            }
            (b"_error", Phase::Connecting) if transaction_id == CONNECT => self.on_refused(command),
            (b"_error", Phase::Creating { transaction_id: awaited }) if transaction_id == *awaited => {
                self.on_refused(command);
            }
            (b"onStatus", Phase::Requesting { .. } | Phase::Started { .. }) => self.on_status(command),
            (b"close", _) => self.close(Close::PeerClosed),
            _ => {}
        }
    }

    fn on_connected(&mut self) {
        self.events.push_back(ClientEvent::Connected);
        let mut transaction_id = CONNECT;
        match &self.config.action {
            ClientAction::Publish { name } => {
                for prelude in ["releaseStream", "FCPublish"] {
                    transaction_id += 1.0;
                    let values = [Value::Null, Value::string(name.expose())];
                    self.link.send_connection_command(&command::encode(prelude, transaction_id, &values));
                }
            }
            ClientAction::Play { .. } => {
                self.link.send_control(Control::WindowAckSize(self.config.window_ack_size));
            }
        }
        transaction_id += 1.0;
        self.link.send_connection_command(&command::encode("createStream", transaction_id, &[Value::Null]));
        self.phase = Phase::Creating { transaction_id };
    }

    fn on_created(&mut self, command: &Command) {
        let Some(message_stream_id) = command.argument(0).and_then(Value::as_u32) else {
            return self.on_refused(command);
        };
        match &self.config.action {
            ClientAction::Publish { name } => {
                let values = [Value::Null, Value::string(name.expose()), Value::from_static("live")];
                self.link.send_command(message_stream_id, &command::encode("publish", 5.0, &values));
            }
            ClientAction::Play { name } => {
                let values = [Value::Null, Value::string(name.expose()), Value::Number(-2000.0)];
                self.link.send_command(message_stream_id, &command::encode("play", 4.0, &values));
                let buffer_ms = BUFFER_MS;
                self.link.send_user_control(UserControl::SetBufferLength { message_stream_id, buffer_ms });
            }
        }
        self.phase = Phase::Requesting { message_stream_id };
    }

    fn on_refused(&mut self, command: &Command) {
        let (code, description) = (info_text(command, "code"), info_text(command, "description"));
        self.events.push_back(ClientEvent::Refused { code, description });
        self.close(Close::Refused);
    }

    fn on_status(&mut self, command: &Command) {
        let code = info_text(command, "code");
        let is_error = info_text(command, "level") == "error";
        match (&self.phase, code.as_str()) {
            (Phase::Requesting { message_stream_id }, code::PUBLISH_START | code::PLAY_START) => {
                self.phase = Phase::Started { message_stream_id: *message_stream_id };
                self.events.push_back(ClientEvent::Started);
            }
            (Phase::Requesting { .. }, _) if is_error => self.on_refused(command),
            (
                Phase::Started { .. },
                code::UNPUBLISH_NOTIFY | code::PLAY_STOP | code::PLAY_COMPLETE | code::UNPUBLISH_SUCCESS,
            ) => self.events.push_back(ClientEvent::Ended { code }),
            (Phase::Started { .. }, known) if is_error || known == Status::PlayStreamNotFound.code() => {
                self.on_refused(command);
            }
            _ => {}
        }
    }
}

/// A text of the info object; empty when there is none.
fn info_text(command: &Command, name: &str) -> String {
    let text = command.argument(0).and_then(|info| info.get(name)).and_then(Value::as_str_bytes);
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}
