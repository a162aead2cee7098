//! Link: one RTMP connection on a socket that never blocks: handshake, commands, then media in one direction.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mio::net::TcpStream;
use onair_codec::Limits;
use onair_codec::amf0::Value;
use onair_codec::message::command::Command;
use onair_codec::message::control::Control;
use onair_codec::message::type_id;
use onair_codec::message::user_control::UserControl;
use socket2::{Domain, SockRef, Socket, Type};
use thiserror::Error;

use super::Acks;
use super::outbox::{Outbox, Part};
use crate::media::Stamp;
use crate::wire::requests::{self, C0C1, CONNECT, CREATE, REQUEST, Requests, S0S1S2, S1};
use crate::wire::skim::{SkimError, Skimmed, Skimmer};

/// A server that lets so much wait has stopped reading.
const WAITING_MAX: usize = 4 << 20;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// The server answered `connect`.
    Connected,
    /// `publish` or `play` is on its way.
    Requested,
    /// It was granted.
    Started,
    /// The server refused, and said why.
    Refused(String),
    /// The server says that what we play is over.
    Over,
    /// A picture, with its stamp if it is one of ours.
    Picture(Option<Stamp>),
}

/// Why a connection is over.
#[derive(Debug, Error)]
pub(super) enum Gone {
    #[error("closed by the server")]
    Closed,
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
    #[error("not RTMP: {0}")]
    Protocol(#[from] SkimError),
    #[error("the server stopped reading")]
    Stuck,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Connect,
    Create,
    Request,
    Started,
    Over,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: TcpStream,
    phase: Phase,
    requests: Arc<Requests>,
    acks: Acks,
    /// S0, S1 and S2, as far as they are here; empty after the handshake.
    handshake: Vec<u8>,
    skimmer: Skimmer,
    outbox: Outbox,
    message_stream_id: u32,
    received: u64,
    acknowledged: u64,
    /// After how many bytes the server wants an acknowledgement.
    window: u64,
}

impl Link {
    /// Begins a connection to `to`, from `from` if that matters.
    pub(super) fn open(
        to: SocketAddr,
        from: Option<SocketAddr>,
        requests: Arc<Requests>,
        acks: Acks,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(from) = from {
            // Each address has ports of its own, those in TIME_WAIT included.
            socket.set_reuse_address(true)?;
            socket.bind(&from.into())?;
        }
        match socket.connect(&to.into()) {
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            other => other?,
        }
        let mut link = Self {
            socket: TcpStream::from_std(socket.into()),
            phase: Phase::Handshake,
            requests,
            acks,
            handshake: Vec::new(),
            skimmer: Skimmer::default(),
            outbox: Outbox::default(),
            message_stream_id: 1,
            received: 0,
            acknowledged: 0,
            window: u64::MAX,
        };
        link.apply_acks()?;
        // What is written before the connection stands waits until it does, or fails with it.
        link.outbox.write(&mut link.socket, &[Part::Shared(&C0C1)])?;
        Ok(link)
    }

    /// Whether the server granted what was asked for.
    pub(super) fn is_started(&self) -> bool {
        self.phase == Phase::Started
    }

    /// Bytes that have come from the server.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// The socket can be written.
    pub(super) fn on_writable(&mut self) -> Result<(), Gone> {
        Ok(self.outbox.flush(&mut self.socket)?)
    }

    /// The socket can be read. Reads until nothing is left; `has_ended` says that the end of it is among that.
    pub(super) fn on_readable(
        &mut self,
        buffer: &mut [u8],
        has_ended: bool,
        out: &mut Vec<Happening>,
    ) -> Result<(), Gone> {
        loop {
            let n = match self.socket.read(buffer) {
                Ok(0) => return Err(Gone::Closed),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            self.received += n as u64;
            self.on_bytes(&buffer[..n], out)?;
            if self.acks != Acks::Kernel {
                self.apply_acks()?;
            }
            if self.received - self.acknowledged >= self.window {
                self.acknowledged = self.received;
                self.say(&[Part::Own(&requests::acknowledgement(self.received))])?;
            }
            // Less than there was room for: the next bytes make a new event.
            if n < buffer.len() && !has_ended {
                return Ok(());
            }
        }
    }

    /// Writes media.
    pub(super) fn say(&mut self, parts: &[Part<'_>]) -> Result<(), Gone> {
        self.outbox.write(&mut self.socket, parts)?;
        if self.outbox.bytes() > WAITING_MAX { Err(Gone::Stuck) } else { Ok(()) }
    }

    /// The message stream that the server gave us.
    pub(super) const fn message_stream_id(&self) -> u32 {
        self.message_stream_id
    }

    /// Says goodbye and that nothing more will come. The server should close.
    pub(super) fn goodbye(&mut self) -> Result<(), Gone> {
        self.phase = Phase::Over;
        let goodbye = self.requests.goodbye(self.message_stream_id);
        self.say(&[Part::Shared(&goodbye)])?;
        Ok(self.socket.shutdown(Shutdown::Write)?)
    }

    /// Closes without a word, so that the other end sees a reset.
    pub(super) fn reset(self) {
        let _closing_anyway = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    fn apply_acks(&self) -> io::Result<()> {
        match self.acks {
            Acks::Kernel => Ok(()),
            Acks::AtOnce => SockRef::from(&self.socket).set_tcp_quickack(true),
            Acks::Delayed => SockRef::from(&self.socket).set_tcp_quickack(false),
        }
    }

    fn on_bytes(&mut self, mut bytes: &[u8], out: &mut Vec<Happening>) -> Result<(), Gone> {
        if self.phase == Phase::Handshake {
            let missing = (S0S1S2 - self.handshake.len()).min(bytes.len());
            let (now, later) = bytes.split_at(missing);
            self.handshake.extend_from_slice(now);
            if self.handshake.len() < S0S1S2 {
                return Ok(());
            }
            bytes = later;
            let answer = std::mem::take(&mut self.handshake);
            let requests = self.requests.clone();
            self.phase = Phase::Connect;
            self.say(&[Part::Own(&answer[S1]), Part::Shared(&requests.connect)])?;
        }
        let mut skimmer = std::mem::take(&mut self.skimmer);
        let mut said = Ok(());
        let skimmed = skimmer.feed(bytes, |message| {
            if said.is_ok() {
                said = self.on_message(message, out);
            }
        });
        self.skimmer = skimmer;
        said?;
        Ok(skimmed?)
    }

    fn on_message(&mut self, message: Skimmed<'_>, out: &mut Vec<Happening>) -> Result<(), Gone> {
        match message.type_id {
            type_id::VIDEO => {
                // Frame type and packet type: a header of the codec is no picture.
                let is_picture = message.head.get(1).is_some_and(|packet| *packet == 1);
                if is_picture {
                    out.push(Happening::Picture(Stamp::read(message.head)));
                }
            }
            type_id::COMMAND_AMF0 | type_id::COMMAND_AMF3 => {
                let limits = Limits::default().amf;
                if let Some(command) = Command::parse(message.type_id, message.head, &limits) {
                    self.on_command(&command, out)?;
                }
            }
            type_id::WINDOW_ACK_SIZE => {
                if let Some(Control::WindowAckSize(window)) = Control::parse(message.type_id, message.head) {
                    self.window = u64::from(window.max(1));
                }
            }
            type_id::USER_CONTROL => {
                if let Some(UserControl::PingRequest(timestamp)) = UserControl::parse(message.head) {
                    self.say(&[Part::Own(&requests::pong(timestamp))])?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_command(&mut self, command: &Command, out: &mut Vec<Happening>) -> Result<(), Gone> {
        // Transaction ids are small whole numbers that we chose.
        #[allow(clippy::float_cmp, reason = "echoed bit by bit")]
        let is_answer_to = |transaction: f64| command.transaction_id == transaction;
        match (command.name.as_bytes(), self.phase) {
            (b"_result", Phase::Connect) if is_answer_to(CONNECT) => {
                out.push(Happening::Connected);
                self.phase = Phase::Create;
                let create: Bytes = self.requests.create.clone();
                self.say(&[Part::Shared(&create)])
            }
            (b"_result", Phase::Create) if is_answer_to(CREATE) => {
                self.message_stream_id = command.argument(0).and_then(Value::as_u32).unwrap_or(1);
                out.push(Happening::Requested);
                self.phase = Phase::Request;
                let request = self.requests.request(self.message_stream_id);
                self.say(&[Part::Shared(&request)])
            }
            (b"_result", Phase::Request) if is_answer_to(REQUEST) => {
                self.start(out);
                Ok(())
            }
            (b"_error", Phase::Connect | Phase::Create | Phase::Request)
                if [CONNECT, CREATE, REQUEST].into_iter().any(is_answer_to) =>
            {
                self.refuse(command, out);
                Ok(())
            }
            (b"onStatus", Phase::Request | Phase::Started) => {
                self.on_status(command, out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_status(&mut self, command: &Command, out: &mut Vec<Happening>) {
        match (info(command, "code").as_str(), self.phase) {
            ("NetStream.Publish.Start" | "NetStream.Play.Start", Phase::Request) => self.start(out),
            ("NetStream.Play.UnpublishNotify" | "NetStream.Play.Stop" | "NetStream.Play.Complete", _) => {
                out.push(Happening::Over);
            }
            _ if info(command, "level") == "error" => self.refuse(command, out),
            _ => {}
        }
    }

    fn start(&mut self, out: &mut Vec<Happening>) {
        self.phase = Phase::Started;
        out.push(Happening::Started);
    }

    fn refuse(&mut self, command: &Command, out: &mut Vec<Happening>) {
        self.phase = Phase::Over;
        let code = info(command, "code");
        let description = info(command, "description");
        out.push(Happening::Refused(format!("{code} ({description})")));
    }
}

/// A text of the info object; empty when there is none.
fn info(command: &Command, name: &str) -> String {
    let text = command.argument(0).and_then(|info| info.get(name)).and_then(Value::as_str_bytes);
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}
