//! Pump: the task beside a connection's actor that moves its bytes. It reads the socket, feeds the protocol's state
//! machine, hands media to the room and frames to the player; the actor hears of control only.
//!
//! Back-pressure is simply not reading. Nothing here waits for the actor, the registry or another connection.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_cluster::time::BootTime;
use onair_codec::{Close, Event, Input, Output, PlayEnding, RequestId, ServerConfig, ServerPeer, Status};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::outbox::Outbox;
use super::player::Player;
use super::publisher::{FactsChange, Publisher};
use crate::config::IngestConfig;
use crate::reports::Reports;
use crate::room::Wants;
use crate::stop::StopReason;

/// Bytes read per system call. One buffer per thread: it is never held across an await, so idle connections cost none.
const READ_BYTES: usize = 64 * 1024;
/// Reads in a row before others get their turn.
const READS_PER_TURN: usize = 8;
/// Traffic after which a connection adds its own to the node's meters, which all connections share.
const REPORT_BYTES: u64 = 256 * 1024;
/// How long a peer that was told why may take to read it before the socket is closed under it.
const LINGER: Duration = Duration::from_millis(1500);
/// Far enough to mean never.
const NEVER: Duration = Duration::from_secs(24 * 3600);

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

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
    /// Facts of the running session changed.
    fn facts(&self, change: FactsChange);
}

/// Everything a pump needs.
pub(crate) struct Pump<L> {
    socket: TcpStream,
    peer: ServerPeer,
    outbox: Outbox,
    config: Arc<IngestConfig>,
    reports: Reports,
    commands: mpsc::Receiver<Command>,
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

/// What a pump leaves behind.
#[derive(Clone, Debug)]
pub(crate) struct Remains {
    pub(crate) reason: StopReason,
    pub(crate) skipped: u64,
}

impl<L: Listener> Pump<L> {
    pub(crate) fn new(
        socket: TcpStream,
        config: Arc<IngestConfig>,
        reports: Reports,
        commands: mpsc::Receiver<Command>,
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
            socket,
            peer,
            outbox: Outbox::default(),
            config,
            reports,
            commands,
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

    /// Runs until the connection is over; the socket is closed when this returns.
    pub(crate) async fn run(mut self) -> Remains {
        let reason = self.turn_until_over().await;
        self.report_traffic();
        let skipped = match &self.role {
            Role::Player(player) => player.reader.skipped(),
            Role::None | Role::Publisher(_) => 0,
        };
        self.end_publisher(reason.is_for_good());
        Remains { reason, skipped }
    }

    async fn turn_until_over(&mut self) -> StopReason {
        let timer = sleep_until((Instant::now() + NEVER).into());
        tokio::pin!(timer);
        loop {
            let now = Instant::now();
            self.drain_peer(now);
            if let Err(over) = self.write(now) {
                return over;
            }
            if let Some(over) = self.closed(now).await {
                return over;
            }
            if self.read_bytes + self.written_bytes > REPORT_BYTES {
                self.report_traffic();
            }
            // Deadlines mostly move away; the timer is set again only when one comes nearer, and looked at when it fires.
            let deadline = self.next_deadline(now);
            if deadline < timer.deadline().into_std() || timer.is_elapsed() {
                timer.as_mut().reset(deadline.into());
            }
            let interest = if self.outbox.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let idle_player = self.outbox.is_empty() && self.closing.is_none();
            let player = match &mut self.role {
                Role::Player(player) if idle_player => Some(player),
                _ => None,
            };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    // The actor is gone without a word: it crashed.
                    None => return StopReason::Crash,
                },
                ready = self.socket.ready(interest) => {
                    if ready.is_err() {
                        return self.peer_closed();
                    }
                    if ready.is_ok_and(|ready| ready.is_readable() || ready.is_read_closed())
                        && let Err(over) = self.read()
                    {
                        return over;
                    }
                }
                () = async { match player { Some(player) => player.reader.changed().await, None => std::future::pending().await } } => {}
                () = &mut timer => if let Some(over) = self.on_time(Instant::now()) { self.begin_close(over, ""); },
            }
        }
    }

    /// Reads what is there, a bounded number of times, and feeds it to the state machine.
    fn read(&mut self) -> Result<(), StopReason> {
        let mut reads = 0;
        while reads < READS_PER_TURN {
            reads += 1;
            let outcome = READ_BUFFER.with_borrow_mut(|buffer| match self.socket.try_read(buffer) {
                Ok(0) => Err(self.peer_closed()),
                Ok(n) => {
                    self.read_bytes += n as u64;
                    if self.closing.is_none() {
                        let now = Instant::now();
                        let fed = self.peer.handle(now, Input::Bytes(&buffer[..n]));
                        self.drain_peer(now);
                        fed.map_err(StopReason::Protocol)?;
                    }
                    Ok(n == buffer.len())
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(_) => Err(self.peer_closed()),
            })?;
            if !outcome {
                break;
            }
        }
        Ok(())
    }

    /// Takes everything the state machine has to say.
    fn drain_peer(&mut self, now: Instant) {
        let mut boot = None;
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Transmit(bytes) => self.outbox.push(bytes),
                Output::Event(Event::Media(media)) => {
                    #[cfg(feature = "fault-injection")]
                    if let Some(change) = crate::faults::in_pump(&media) {
                        self.listener.facts(change);
                    }
                    if let Role::Publisher(publisher) = &mut self.role {
                        publisher.media(media, now, *boot.get_or_insert_with(BootTime::now));
                    }
                }
                Output::Event(event) => self.on_control(event),
                Output::Close(close) => self.on_close(close, now),
            }
        }
        if let Role::Publisher(publisher) = &mut self.role
            && let Some(change) = publisher.take_facts(now)
        {
            self.listener.facts(change);
        }
    }

    fn on_control(&mut self, event: Event) {
        match &event {
            Event::Unpublished(request) if self.request == Some(*request) => {
                self.end_publisher(true);
                self.request = None;
                self.said_goodbye = true;
            }
            Event::PlayStopped(request) if self.request == Some(*request) => {
                self.role = Role::None;
                self.request = None;
                self.said_goodbye = true;
            }
            Event::Paused { paused, .. } => self.change_wants(|wants| wants.paused = *paused),
            Event::ReceiveAudio { wanted, .. } => self.change_wants(|wants| wants.audio = *wanted),
            Event::ReceiveVideo { wanted, .. } => self.change_wants(|wants| wants.video = *wanted),
            _ => {}
        }
        self.listener.control(event);
    }

    fn change_wants(&mut self, change: impl FnOnce(&mut Wants)) {
        if let Role::Player(player) = &mut self.role {
            let mut wants = player.reader.wants();
            change(&mut wants);
            player.reader.set_wants(wants);
        }
    }

    fn on_close(&mut self, close: Close, now: Instant) {
        let reason = match close {
            Close::HandshakeTimeout => StopReason::HandshakeTimeout,
            Close::RequestTimeout => StopReason::RequestTimeout,
            Close::Rejected => StopReason::Refused("connect"),
            _ => StopReason::Finished,
        };
        self.closing.get_or_insert(Closing { reason, deadline: now + LINGER, half_closed: false });
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Publish { request, publisher } => {
                // An unknown request: the encoder took it back meanwhile. The publisher is dropped, its actor knows.
                if self.peer.accept(request).is_ok() {
                    self.request = Some(request);
                    self.role = Role::Publisher(publisher);
                    self.said_goodbye = false;
                }
            }
            Command::Play(player) => {
                if self.peer.accept(player.request).is_ok() {
                    self.request = Some(player.request);
                    self.role = Role::Player(player);
                }
            }
            Command::Refuse { request, status, text, label } => {
                if self.peer.reject(request, status, &text).is_ok() {
                    self.drain_peer(now);
                    self.closing = Some(Closing {
                        reason: StopReason::Refused(label),
                        deadline: now + LINGER,
                        half_closed: false,
                    });
                }
            }
            Command::Finish { reason, text } => {
                self.end_publisher(reason.is_for_good());
                self.begin_close(reason, &text);
            }
        }
    }

    fn end_publisher(&mut self, for_good: bool) {
        if matches!(self.role, Role::Publisher(_))
            && let Role::Publisher(publisher) = std::mem::replace(&mut self.role, Role::None)
        {
            let dropped = &publisher.dropped;
            self.reports.dropped("withheld", dropped.withheld);
            self.reports.dropped("fenced", dropped.fenced);
            self.reports.dropped("useless", dropped.useless);
            publisher.end(for_good);
        }
    }

    /// Tells the peer why, then flushes, half-closes and waits a moment for it to read that.
    fn begin_close(&mut self, reason: StopReason, text: &str) {
        if self.closing.is_some() {
            return;
        }
        let now = Instant::now();
        if let Some(request) = self.request.take() {
            match (&self.role, &reason) {
                (Role::Player(_), StopReason::PlayNotFound) => {
                    let _unknown =
                        self.peer.reject(request, Status::PlayStreamNotFound, "nobody is on air here");
                }
                (Role::Player(_), _) => self.peer.end_play(request, PlayEnding::Stopped),
                _ if !text.is_empty() => {
                    let _unknown = self.peer.reject(request, reason.status(), text);
                }
                _ => {}
            }
        }
        self.closing = Some(Closing { reason, deadline: now + LINGER, half_closed: false });
        self.drain_peer(now);
    }

    fn write(&mut self, now: Instant) -> Result<(), StopReason> {
        loop {
            if self.outbox.is_empty()
                && self.closing.is_none()
                && let Role::Player(player) = &mut self.role
            {
                player.fill(&mut self.outbox);
            }
            if self.outbox.is_empty() {
                self.write_stalled_since = None;
                return Ok(());
            }
            let written = self.outbox.write_to(&self.socket).map_err(|_| self.peer_closed())?;
            self.written_bytes += written;
            if !self.outbox.is_empty() {
                if written > 0 || self.write_stalled_since.is_none() {
                    self.write_stalled_since = Some(now);
                }
                return Ok(());
            }
        }
    }

    /// Whether a closing connection is done.
    async fn closed(&mut self, now: Instant) -> Option<StopReason> {
        let closing = self.closing.as_mut()?;
        if now >= closing.deadline {
            return Some(closing.reason.clone());
        }
        if self.outbox.is_empty() && !closing.half_closed {
            closing.half_closed = true;
            // FIN after the last word: a reset would destroy it in the peer's receive queue.
            if tokio::io::AsyncWriteExt::shutdown(&mut self.socket).await.is_err() {
                return Some(closing.reason.clone());
            }
        }
        None
    }

    fn next_deadline(&mut self, now: Instant) -> Instant {
        let mut deadline = now + NEVER;
        let mut consider = |at: Option<Instant>| {
            if let Some(at) = at {
                deadline = deadline.min(at);
            }
        };
        if let Some(closing) = &self.closing {
            return closing.deadline;
        }
        consider(self.peer.poll_timeout());
        consider(self.write_stalled_since.map(|since| since + self.config.write_timeout));
        match &self.role {
            Role::None => {}
            Role::Publisher(publisher) => {
                consider(Some(
                    publisher.silent_at(self.config.first_media_timeout, self.config.idle_timeout),
                ));
            }
            Role::Player(player) => {
                consider(player.give_up_at(self.config.play_wait, self.config.rejoin_wait));
            }
        }
        deadline
    }

    /// A deadline may have passed: why the connection must end, if it must.
    fn on_time(&mut self, now: Instant) -> Option<StopReason> {
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            if let Err(error) = self.peer.handle(now, Input::Timeout) {
                return Some(StopReason::Protocol(error));
            }
            self.drain_peer(now);
        }
        if self.write_stalled_since.is_some_and(|since| since + self.config.write_timeout <= now) {
            return Some(StopReason::WriteTimeout);
        }
        match &self.role {
            Role::None => None,
            Role::Publisher(publisher) => {
                let silent =
                    publisher.silent_at(self.config.first_media_timeout, self.config.idle_timeout) <= now;
                let heard = publisher.heard_any();
                silent.then_some(if heard { StopReason::IdleTimeout } else { StopReason::FirstMediaTimeout })
            }
            Role::Player(player) => {
                let over = player
                    .give_up_at(self.config.play_wait, self.config.rejoin_wait)
                    .is_some_and(|at| at <= now);
                over.then_some(if player.seen_any() {
                    StopReason::PlayEnded
                } else {
                    StopReason::PlayNotFound
                })
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
