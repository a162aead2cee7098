//! Pump: what moves a connection's bytes, beside its actor. It reads the socket, feeds the protocol's state
//! machine, hands media to the room and frames to the player; the actor hears of control only.
//!
//! A [reactor](crate::reactor) gives it its turns. Back-pressure is simply not reading. Nothing here waits: not for the actor, not for
//! the registry, not for another connection.

mod deadlines;
mod decisions;
mod looks;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_codec::{Event, Input, RequestId, ServerConfig, ServerPeer, Status};

use self::looks::Looks;
use super::outbox::Outbox;
use super::player::Player;
use super::publisher::{FactsChange, Publisher};
use crate::config::IngestConfig;
use crate::reactor::{Place, Ready, Turn};
use crate::read_buffer::{self, READS_PER_TURN};
use crate::reports::Reports;
use crate::socket::Socket;
use crate::stop::StopReason;

/// Turns of reading after a failed write: what the kernel can have queued.
const LAST_TURNS: usize = 16;
/// Bytes waiting to be written beyond which nothing is read: control replies are the only part of it that a peer can drive.
const OUTBOX_BYTES_MAX: usize = 512 * 1024;
/// Traffic after which a connection adds its own to the node's meters, which all connections share.
const REPORT_BYTES: u64 = 256 * 1024;
/// How long a peer that was told why may take to read it before the socket is closed under it.
const LINGER: Duration = Duration::from_millis(1500);
/// Far enough to mean never.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What the actor tells its pump.
#[derive(Debug)]
pub(crate) enum Command {
    /// The lease is held: answer the publish and take media.
    Publish { request: RequestId, publisher: Box<Publisher> },
    /// Let the player in.
    Play(Box<Player>),
    /// Refuse, tell why, close.
    Refuse { request: RequestId, status: Status, text: String, label: &'static str },
    /// Tell why, close.
    Finish { reason: StopReason, text: String },
}

/// What the pump tells its actor.
pub(crate) trait Listener: Send + 'static {
    /// The state machine's control events.
    fn control(&self, event: Event);
    /// The player has something to see.
    fn watching(&self);
    /// Facts of the running session changed.
    fn facts(&self, change: FactsChange);
    /// The running session is over by the pump's own finding; the socket closes in a moment.
    fn ending(&self, reason: StopReason);
}

/// Everything a pump needs.
pub(crate) struct Pump<L> {
    socket: Socket,
    /// What the socket's last event said, until a read or a write found otherwise.
    can_read: bool,
    can_write: bool,
    /// Behind what can be read is the end.
    has_ended: bool,
    looks: Looks,
    peer: ServerPeer,
    /// When the state machine wants to be told of the time.
    peer_deadline: Option<Instant>,
    outbox: Outbox,
    config: Arc<IngestConfig>,
    reports: Reports,
    listener: L,
    role: Role,
    /// The publish or play that was accepted.
    request: Option<RequestId>,
    /// Set when all that is left is to flush and close.
    closing: Option<Closing>,
    write_stalled_since: Option<Instant>,
    /// The last publish or play was ended by the peer in so many words.
    said_goodbye: bool,
    /// Bytes not yet in the metrics.
    read_bytes: u64,
    written_bytes: u64,
}

enum Role {
    None,
    Publisher(Box<Publisher>),
    Player(Box<Player>),
}

struct Closing {
    reason: StopReason,
    deadline: Instant,
    half_closed: bool,
}

impl Closing {
    fn new(reason: StopReason, now: Instant) -> Self {
        Self { reason, deadline: now + LINGER, half_closed: false }
    }
}

/// What a pump leaves behind.
#[derive(Clone, Debug)]
pub(crate) struct Remains {
    pub(crate) reason: StopReason,
    pub(crate) skipped: u64,
}

impl<L: Listener> Pump<L> {
    pub(crate) fn new(
        socket: std::net::TcpStream,
        config: Arc<IngestConfig>,
        reports: Reports,
        listener: L,
    ) -> Self {
        let server = ServerConfig {
            limits: config.limits.clone(),
            chunk_size: config.chunk_size,
            handshake_timeout: config.handshake_timeout,
            request_timeout: config.request_timeout,
            ..ServerConfig::default()
        };
        let peer = ServerPeer::new(server, rand::random(), Instant::now());
        Self {
            socket: Socket::new(socket),
            can_read: false,
            can_write: true,
            has_ended: false,
            looks: Looks::new(config.gather_reads),
            peer,
            peer_deadline: None,
            outbox: Outbox::default(),
            config,
            reports,
            listener,
            role: Role::None,
            request: None,
            closing: None,
            write_stalled_since: None,
            said_goodbye: false,
            read_bytes: 0,
            written_bytes: 0,
        }
    }

    /// Has its socket watched.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn begin(&mut self, place: &Place<'_>) -> io::Result<()> {
        self.peer_deadline = self.peer.poll_timeout();
        self.socket.watch(place.registry, place.token)
    }

    /// The socket has something to read, or room to write.
    pub(crate) const fn ready(&mut self, ready: Ready) {
        self.can_read |= ready.reads;
        self.can_write |= ready.writes;
        self.has_ended |= ready.has_ended;
    }

    /// Does what there is to do. `None` when the connection is over.
    pub(crate) fn turn(&mut self, now: Instant, place: &Place<'_>) -> Result<Turn, Remains> {
        self.try_turn(now, place).map_err(|reason| self.leave(reason))
    }

    fn leave(&mut self, reason: StopReason) -> Remains {
        self.report_traffic();
        let skipped = match &self.role {
            Role::Player(player) => player.reader.skipped(),
            Role::None | Role::Publisher(_) => 0,
        };
        self.end_publisher(reason.is_for_good());
        Remains { reason, skipped }
    }

    fn try_turn(&mut self, now: Instant, place: &Place<'_>) -> Result<Turn, StopReason> {
        let mut more = false;
        // What it reads slowly it may not ask for quickly.
        let may_read = self.can_read && self.outbox.bytes() < OUTBOX_BYTES_MAX;
        let rings = matches!(&self.role, Role::Publisher(publisher) if publisher.rings_at().is_some_and(|at| at <= now));
        // Readers are told of all there is.
        if may_read || (!self.socket.is_watched() && (rings || self.looks.is_due(now))) {
            more = self.look(now)?;
        }
        if let Role::Publisher(publisher) = &mut self.role {
            publisher.ring(now);
        }
        if self.write(now).is_err() {
            return Err(self.last_words(now));
        }
        if let Some(over) = self.closed(now) {
            return Err(over);
        }
        if self.watch_or_not(now, place).is_err() {
            return Err(self.peer_closed());
        }
        if self.read_bytes + self.written_bytes > REPORT_BYTES {
            self.report_traffic();
        }
        let deadline = self.next_deadline(now);
        if deadline <= now {
            if let Some(over) = self.on_time(now) {
                self.begin_close(over, "");
            }
            return Ok(Turn::Again);
        }
        Ok(if more { Turn::Again } else { Turn::Wait(deadline) })
    }

    /// Whether the reactor should watch the socket: not while a broadcast flows and there is time to gather what it sends.
    fn watch_or_not(&mut self, now: Instant, place: &Place<'_>) -> io::Result<()> {
        if self.is_live() && self.outbox.is_empty() && self.closing.is_none() && self.looks.is_steady() {
            if self.socket.is_watched() {
                self.looks.begin(now);
                self.socket.leave_alone(place.registry)?;
            }
            return Ok(());
        }
        self.socket.watch(place.registry, place.token)
    }

    /// Whether a broadcast's media flows.
    fn is_live(&self) -> bool {
        matches!(&self.role, Role::Publisher(publisher) if publisher.is_live())
    }

    /// Reads, and remembers whether there was anything.
    fn look(&mut self, now: Instant) -> Result<bool, StopReason> {
        let before = self.read_bytes;
        let more = self.read(now)?;
        self.looks.looked(now, self.read_bytes > before);
        Ok(more)
    }

    /// Reads what is there, a bounded number of times, and feeds it to the state machine. True when there may be more.
    fn read(&mut self, now: Instant) -> Result<bool, StopReason> {
        for _ in 0..READS_PER_TURN {
            let more = read_buffer::with(|buffer| match self.socket.try_read(buffer, now) {
                Ok(0) => Err(self.peer_closed()),
                Ok(n) => {
                    self.read_bytes += n as u64;
                    if self.closing.is_none() {
                        let fed = self.peer.handle(now, Input::Bytes(&buffer[..n]));
                        self.drain_peer(now);
                        fed.map_err(StopReason::Protocol)?;
                    }
                    if matches!(self.role, Role::None) && self.outbox.is_empty() {
                        // quirk: FFmpeg leaves Nagle's algorithm on and sends its commands in small writes, some of which earn no
                        // answer: each would wait 40 ms for the kernel's delayed acknowledgement. An answer carries it.
                        self.socket.acknowledge_at_once(true);
                    }
                    // Less than was asked for: there is no more, and an event when there is. Only of the end there was one already.
                    Ok(n == buffer.len() || self.has_ended)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(_) => Err(self.peer_closed()),
            })?;
            if !more {
                self.can_read = false;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// We cannot write any more. The peer may have said goodbye before it closed: that is still there to be read.
    fn last_words(&mut self, now: Instant) -> StopReason {
        for _ in 0..LAST_TURNS {
            match self.read(now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(over) => return over,
            }
        }
        self.peer_closed()
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        loop {
            if self.outbox.is_empty()
                && self.closing.is_none()
                && let Role::Player(player) = &mut self.role
                && player.fill(&mut self.outbox)
            {
                self.listener.watching();
            }
            if self.outbox.is_empty() {
                self.write_stalled_since = None;
                return Ok(());
            }
            let written = if self.can_write {
                self.outbox.write_to(|slices| self.socket.try_write_vectored(slices))?
            } else {
                0
            };
            self.written_bytes += written;
            if !self.outbox.is_empty() {
                self.can_write = false;
                if written > 0 || self.write_stalled_since.is_none() {
                    self.write_stalled_since = Some(now);
                }
                return Ok(());
            }
        }
    }

    /// The peer closed: what it was doing tells what that means.
    fn peer_closed(&self) -> StopReason {
        if let Some(closing) = &self.closing {
            return closing.reason.clone();
        }
        if self.said_goodbye { StopReason::Finished } else { StopReason::PeerClosed }
    }

    fn report_traffic(&mut self) {
        self.reports.moved(std::mem::take(&mut self.read_bytes), std::mem::take(&mut self.written_bytes));
    }
}
