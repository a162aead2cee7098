//! Peer: one connection of a floor: told what it wants to hear until it publishes or plays, then bytes.

use std::io::{self, ErrorKind, Write as _};
use std::sync::LazyLock;

use mio::net::TcpStream;
use onair_codec::amf0::Value;
use onair_codec::chunk::{ChunkWriter, MessageHeader};
use onair_codec::message::command::{Command, Level, on_status, result};
use onair_codec::message::control::Control;
use onair_codec::message::type_id;
use onair_codec::{Limits, Timestamp};

use crate::wire::requests::{CONNECT, CREATE};
use crate::wire::skim::{SkimError, Skimmer};

/// Bytes of C0, C1 and C2, and what of them must be here before the answer.
const C0C1C2: usize = 1 + 1536 + 1536;
const C0C1: usize = 1 + 1536;
/// A player that lets so much wait is cut, as every server does.
const BACKLOG_MAX: usize = 8 << 20;
/// Payload bytes per chunk, as the load test's publishers send them unless told otherwise.
const CHUNK_SIZE: u32 = 4096;

static CONNECTED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let size = Control::SetChunkSize(CHUNK_SIZE);
    let mut out = message(2, size.type_id(), 0, &size.to_body());
    let connected = result(CONNECT, Value::Null, Value::Null);
    out.extend(message(3, type_id::COMMAND_AMF0, 0, &connected));
    out
});
static CREATED: LazyLock<Vec<u8>> =
    LazyLock::new(|| message(3, type_id::COMMAND_AMF0, 0, &result(CREATE, Value::Null, Value::Number(1.0))));
static PUBLISHING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    message(3, type_id::COMMAND_AMF0, 1, &on_status(Level::Status, "NetStream.Publish.Start", ""))
});
static PLAYING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    message(3, type_id::COMMAND_AMF0, 1, &on_status(Level::Status, "NetStream.Play.Start", ""))
});

fn message(chunk_stream_id: u32, type_id: u8, message_stream_id: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = ChunkWriter::new();
    writer.set_chunk_size(CHUNK_SIZE);
    let header = MessageHeader { chunk_stream_id, type_id, message_stream_id, timestamp: Timestamp(0) };
    writer.write(&mut out, header, body);
    out
}

/// What bytes came to.
pub(super) enum Heard {
    /// Nothing that concerns anybody else.
    Nothing,
    /// It wants to publish in the room of this name.
    Publish(Vec<u8>),
    /// It wants to play it.
    Play(Vec<u8>),
    /// All of it is for the players of this room; and whether it ends between two messages.
    Media(usize, bool),
}

/// Where a connection stands.
#[derive(Debug)]
enum Phase {
    Handshake(Vec<u8>),
    Asking,
    Publishing(usize),
    Playing(usize),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) socket: TcpStream,
    phase: Phase,
    skimmer: Skimmer,
    backlog: Vec<u8>,
}

impl Peer {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, phase: Phase::Handshake(Vec::new()), skimmer: Skimmer::default(), backlog: Vec::new() }
    }

    /// The room that it publishes in or plays.
    pub(super) const fn room(&self) -> Option<usize> {
        match self.phase {
            Phase::Publishing(room) | Phase::Playing(room) => Some(room),
            _ => None,
        }
    }

    /// Takes bytes from the socket.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> io::Result<Heard> {
        match &mut self.phase {
            Phase::Handshake(so_far) => {
                let before = so_far.len();
                let (now, later) = bytes.split_at(bytes.len().min(C0C1C2 - before));
                so_far.extend_from_slice(now);
                let is_over = so_far.len() == C0C1C2;
                if before < C0C1 && so_far.len() >= C0C1 {
                    let c1 = &so_far[1..C0C1];
                    let answer = [&[3], c1, c1].concat();
                    self.write(&answer)?;
                }
                if is_over {
                    self.phase = Phase::Asking;
                    return self.answer(later);
                }
                Ok(Heard::Nothing)
            }
            Phase::Asking => self.answer(bytes),
            Phase::Publishing(room) => {
                let room = *room;
                self.skimmer.feed(bytes, |_| {}).map_err(strange)?;
                Ok(Heard::Media(room, self.skimmer.is_between()))
            }
            Phase::Playing(_) => Ok(Heard::Nothing),
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> io::Result<Heard> {
        let mut heard = Heard::Nothing;
        let mut answer = Vec::new();
        self.skimmer
            .feed(bytes, |message| {
                let Some(command) = Command::parse(message.type_id, message.head, &Limits::default().amf)
                else {
                    return;
                };
                let name = || command.argument(0).and_then(Value::as_str_bytes).unwrap_or_default().to_vec();
                match command.name.as_bytes() {
                    b"connect" => answer.extend_from_slice(&CONNECTED),
                    b"createStream" => answer.extend_from_slice(&CREATED),
                    b"publish" => heard = Heard::Publish(name()),
                    b"play" => heard = Heard::Play(name()),
                    _ => {}
                }
            })
            .map_err(strange)?;
        if !answer.is_empty() {
            self.write(&answer)?;
        }
        Ok(heard)
    }

    /// Grants what it wants.
    pub(super) fn grant(&mut self, room: usize, is_publisher: bool) -> io::Result<()> {
        if is_publisher {
            self.phase = Phase::Publishing(room);
            self.write(&PUBLISHING)
        } else {
            self.phase = Phase::Playing(room);
            self.write(&PLAYING)
        }
    }

    /// Writes as much as the socket takes; the rest waits.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.backlog.is_empty() { attempt(&mut self.socket, bytes)? } else { 0 };
        if taken < bytes.len() {
            self.backlog.extend_from_slice(&bytes[taken..]);
        }
        if self.backlog.len() > BACKLOG_MAX { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.backlog.is_empty() {
            let taken = attempt(&mut self.socket, &self.backlog)?;
            if taken == 0 {
                return Ok(());
            }
            self.backlog.drain(..taken);
        }
        self.backlog = Vec::new();
        Ok(())
    }
}

fn attempt(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(bytes) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(0),
            other => return other,
        }
    }
}

fn strange(error: SkimError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
