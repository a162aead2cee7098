//! ServerPeer: our side towards one publisher or player, from its first byte to its goodbye.
//!
//! Commands are answered in [`commands`]; what needs a decision of the application waits as a request and is answered
//! in [`requests`]. Media flows only while a publish stands accepted.

mod commands;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::Link;
use super::state::{MessageStreams, Phase};
use super::{Close, Event, Input, Output};
use crate::chunk::{ExtendedTimestamps, ReaderStats};
use crate::error::PeerError;
use crate::handshake::{Progress, ServerHandshake};
use crate::limits::Limits;
use crate::media::{Media, MediaKind};
use crate::message::user_control::UserControl;
use crate::message::{Message, aggregate, data, type_id};
use crate::rate::Rate;

pub use requests::{PlayEnding, RequestError};

/// How a [`ServerPeer`] behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Bounds on the client. Shared: a server has thousands of peers under the same ones.
    pub limits: Arc<Limits>,
    /// Payload bytes of the chunks we send, 1 to 0xFFFFFF. Announced before `connect` is answered, and never
    /// changed; `FFmpeg` publishers take it over for their own chunks.
    pub chunk_size: u32,
    /// After how many bytes we want an acknowledgement. A courtesy: nothing depends on it.
    pub window_ack_size: u32,
    /// Time for the whole handshake, from the connection on. Half of it for the client's first 1537 bytes.
    pub handshake_timeout: Duration,
    /// Time until a publish or play is requested, from the connection on; and again after one that the client ended.
    pub request_timeout: Duration,
    /// Whether clients may leave extended timestamps out where old librtmp does.
    pub extended_timestamps: ExtendedTimestamps,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Arc::default(),
            chunk_size: 60_000,
            window_ack_size: 2_500_000,
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            extended_timestamps: ExtendedTimestamps::Heuristic,
        }
    }
}

/// Counts of what was ignored instead of ending the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Media messages while no publish stood accepted.
    pub media_dropped: u64,
    /// Audio and video messages too short to hold anything.
    pub media_empty: u64,
    /// Messages whose body made no sense.
    pub malformed: u64,
    /// What the chunk layer forgave.
    pub reader: ReaderStats,
}

/// An audio or video message begins with one or two bytes that say what it holds; a shorter one holds nothing.
const MEDIA_BYTES_MIN: usize = 2;

/// The server's end of one RTMP connection.
///
/// **One mutation, then drain**: after each method that takes `&mut self`, call [`ServerPeer::poll_output`] until
/// it returns `None`.
///
/// Methods come in four kinds: input ([`handle`](Self::handle)), drain ([`poll_output`](Self::poll_output),
/// [`poll_timeout`](Self::poll_timeout)), decisions of the application ([`accept`](Self::accept),
/// [`reject`](Self::reject), [`end_play`](Self::end_play), [`ping`](Self::ping)), and getters.
///
/// Media that is sent to an accepted play is none of the peer's business: the application writes
/// [`media_to_wire`](crate::media_to_wire) bytes behind what the peer transmits, with [`ServerConfig::chunk_size`].
#[derive(Debug)]
pub struct ServerPeer {
    config: ServerConfig,
    phase: Phase,
    link: Link,
    streams: MessageStreams,
    events: VecDeque<Event>,
    close: Option<Close>,
    first_bytes_deadline: Instant,
    handshake_deadline: Instant,
    request_deadline: Option<Instant>,
    bytes_before_accept: u64,
    commands: Rate,
    counters: Counters,
}

impl ServerPeer {
    /// A peer for a connection that was accepted at `now`. `seed` should be random: the handshake's filler bytes
    /// come from it.
    pub fn new(config: ServerConfig, seed: [u8; 32], now: Instant) -> Self {
        Self {
            phase: Phase::Handshake(Box::new(ServerHandshake::new(seed))),
            link: Link::new(&config.limits, config.extended_timestamps),
            streams: MessageStreams::new(config.limits.message_streams_max),
            events: VecDeque::new(),
            close: None,
            first_bytes_deadline: now + config.handshake_timeout / 2,
            handshake_deadline: now + config.handshake_timeout,
            request_deadline: Some(now + config.request_timeout),
            bytes_before_accept: 0,
            commands: Rate::new(config.limits.commands_per_second_max, Duration::from_secs(1)),
            counters: Counters::default(),
            config,
        }
    }

    /// Takes what happened. Bytes are always taken as a whole.
    ///
    /// # Errors
    /// [`PeerError`] when the client broke the protocol or passed a bound. Drain what is left, then close.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), PeerError> {
        if matches!(self.phase, Phase::Closed) {
            return Ok(());
        }
        if let Some(close) = self.expired(now) {
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
    pub fn poll_output(&mut self) -> Option<Output> {
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
        let own = match &self.phase {
            Phase::Closed => return None,
            Phase::Handshake(handshake) if !handshake.has_c1() => Some(self.first_bytes_deadline),
            Phase::Handshake(_) => Some(self.handshake_deadline),
            Phase::Connecting | Phase::Connected(_) => None,
        };
        [own, self.request_deadline, self.link.partial_deadline()].into_iter().flatten().min()
    }

    /// Asks the client for a sign of life. Publishers may never answer; any byte of theirs is as good.
    pub fn ping(&mut self, timestamp: u32) {
        if matches!(self.phase, Phase::Connecting | Phase::Connected(_)) {
            self.link.send_user_control(UserControl::PingRequest(timestamp));
        }
    }

    /// Bytes received on this connection, handshake included.
    pub const fn bytes_received(&self) -> u64 {
        self.link.received()
    }

    /// The total that the client acknowledged last, modulo 2^32; `None` if it never did. It is the client's claim,
    /// for statistics only.
    pub const fn bytes_acknowledged(&self) -> Option<u32> {
        self.link.peer_acknowledged()
    }

    /// Bytes of memory held by unfinished messages.
    pub fn reserved_bytes(&self) -> usize {
        self.link.reserved_bytes()
    }

    /// Counts of what was ignored so far.
    pub const fn counters(&self) -> Counters {
        Counters { reader: self.link.reader_stats(), ..self.counters }
    }

    fn expired(&self, now: Instant) -> Option<Close> {
        let handshake_deadline = match &self.phase {
            Phase::Handshake(handshake) if !handshake.has_c1() => Some(self.first_bytes_deadline),
            Phase::Handshake(_) => Some(self.handshake_deadline),
            _ => None,
        };
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if passed(handshake_deadline) {
            return Some(Close::HandshakeTimeout);
        }
        passed(self.request_deadline).then_some(Close::RequestTimeout)
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
                Progress::Done => self.phase = Phase::Connecting,
            }
        }
        while !matches!(self.phase, Phase::Closed) {
            let before = input.len();
            let message = self.link.read(now, &mut input)?;
            self.charge(before - input.len())?;
            let Some(message) = message else { break };
            self.on_message(now, message)?;
        }
        self.link.settle(now);
        Ok(())
    }

    /// A client that nobody accepted may not send for ever.
    fn charge(&mut self, bytes: usize) -> Result<(), PeerError> {
        if self.streams.any_accepted() {
            return Ok(());
        }
        self.bytes_before_accept += bytes as u64;
        let limit = self.config.limits.bytes_before_accept_max;
        if self.bytes_before_accept > limit {
            return Err(PeerError::BytesBeforeAccept { limit });
        }
        Ok(())
    }

    fn on_message(&mut self, now: Instant, message: Message) -> Result<(), PeerError> {
        match message.type_id {
            type_id::COMMAND_AMF0 | type_id::COMMAND_AMF3 => self.on_command(now, &message)?,
            type_id::AUDIO | type_id::VIDEO | type_id::DATA_AMF0 | type_id::DATA_AMF3 => {
                self.on_media(message);
            }
            type_id::AGGREGATE => match aggregate::split(&message) {
                Some(parts) => parts.for_each(|part| self.on_media(part)),
                None => self.counters.malformed += 1,
            },
            _ => {}
        }
        Ok(())
    }

    /// Media belongs to the one publish of this connection, on whatever message stream it comes.
    fn on_media(&mut self, message: Message) {
        if !self.streams.is_publishing() {
            self.counters.media_dropped += 1;
            return;
        }
        let kind = match message.type_id {
            type_id::AUDIO => MediaKind::Audio,
            type_id::VIDEO => MediaKind::Video,
            _ => MediaKind::Data,
        };
        let payload = match kind {
            MediaKind::Data => match data::to_plain(message.type_id, &message.payload) {
                Some(body) => body,
                None => {
                    self.counters.malformed += 1;
                    return;
                }
            },
            MediaKind::Audio | MediaKind::Video if message.payload.len() < MEDIA_BYTES_MIN => {
                self.counters.media_empty += 1;
                return;
            }
            MediaKind::Audio | MediaKind::Video => message.payload,
        };
        self.events.push_back(Event::Media(Media { kind, timestamp: message.timestamp, payload }));
    }
}
