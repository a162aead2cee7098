//! Pair: a client peer and a server peer over a simulated wire, in virtual time.
//!
//! What one side transmits arrives at the other after `latency`, cut into pieces of `crumb` bytes. Time jumps from one
//! happening to the next; nothing here ever waits.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onair_codec::{
    ClientAction, ClientConfig, ClientEvent, ClientPeer, Close, Event, Input, Output, PeerError,
    ServerConfig, ServerPeer,
};

use super::{KEY, ROOM, SEED};

/// One direction of the wire.
#[derive(Default)]
struct Direction {
    in_flight: VecDeque<(Instant, Vec<u8>)>,
    cut: bool,
}

impl Direction {
    fn send(&mut self, at: Instant, bytes: &[u8], crumb: usize) {
        if !self.cut {
            self.in_flight.extend(bytes.chunks(crumb).map(|piece| (at, piece.to_vec())));
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.in_flight.front().map(|(at, _)| *at)
    }

    fn take_due(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.in_flight.pop_front_if(|(at, _)| *at <= now).map(|(_, bytes)| bytes)
    }
}

/// Both ends, the wire between them, and everything that came of it.
pub struct Pair {
    pub now: Instant,
    pub start: Instant,
    pub latency: Duration,
    pub crumb: usize,
    pub server: ServerPeer,
    pub client: ClientPeer,
    pub server_events: Vec<Event>,
    pub client_events: Vec<ClientEvent>,
    pub server_end: Option<Result<Close, PeerError>>,
    pub client_end: Option<Result<Close, PeerError>>,
    to_server: Direction,
    to_client: Direction,
}

impl Pair {
    pub fn publisher() -> Self {
        Self::new(ClientAction::Publish { name: KEY.into() }, ServerConfig::default())
    }

    pub fn player() -> Self {
        Self::new(ClientAction::Play { name: KEY.into() }, ServerConfig::default())
    }

    pub fn new(action: ClientAction, server: ServerConfig) -> Self {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let client = ClientConfig::new(ROOM, format!("rtmp://localhost/{ROOM}"), action);
        Self {
            now: start,
            start,
            latency: Duration::from_millis(20),
            crumb: usize::MAX,
            server: ServerPeer::new(server, SEED, start),
            client: ClientPeer::new(client, SEED, start),
            server_events: Vec::new(),
            client_events: Vec::new(),
            server_end: None,
            client_end: None,
            to_server: Direction::default(),
            to_client: Direction::default(),
        }
    }

    /// From now on nothing the client sends arrives, nor what it sent and is still under way.
    pub fn lose_client(&mut self) {
        self.lose_client_after(0);
    }

    /// The same, but the first pieces of what is under way still arrive.
    pub fn lose_client_after(&mut self, pieces: usize) {
        self.drain();
        self.to_server.in_flight.truncate(pieces);
        self.to_server.cut = true;
    }

    /// The same for the server.
    pub fn lose_server(&mut self) {
        self.to_client = Direction { cut: true, ..Direction::default() };
    }

    /// Sends bytes to the client that the server's application wrote behind its peer's.
    pub fn send_to_client(&mut self, bytes: &[u8]) {
        self.drain();
        self.to_client.send(self.now + self.latency, bytes, self.crumb);
    }

    /// Runs until nothing is left to happen, or for `span` of virtual time.
    pub fn drive(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.drain();
            let next = [
                self.to_server.next_at(),
                self.to_client.next_at(),
                self.server.poll_timeout(),
                self.client.poll_timeout(),
            ];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// Whether such an event came to the server.
    pub fn server_saw(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.server_events.iter().any(what)
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn step(&mut self) {
        let bytes = self.to_server.take_due(self.now);
        if bytes.is_some() || self.server.poll_timeout().is_some_and(|at| at <= self.now) {
            let input = bytes.as_deref().map_or(Input::Timeout, Input::Bytes);
            if let Err(error) = self.server.handle(self.now, input) {
                self.server_end.get_or_insert(Err(error));
            }
            self.drain();
        }
        let bytes = self.to_client.take_due(self.now);
        if bytes.is_some() || self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            let input = bytes.as_deref().map_or(Input::Timeout, Input::Bytes);
            if let Err(error) = self.client.handle(self.now, input) {
                self.client_end.get_or_insert(Err(error));
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        let arrival = self.now + self.latency;
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit(bytes) => self.to_client.send(arrival, &bytes, self.crumb),
                Output::Event(event) => self.server_events.push(event),
                Output::Close(close) => {
                    self.server_end.get_or_insert(Ok(close));
                }
            }
        }
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Transmit(bytes) => self.to_server.send(arrival, &bytes, self.crumb),
                Output::Event(event) => self.client_events.push(event),
                Output::Close(close) => {
                    self.client_end.get_or_insert(Ok(close));
                }
            }
        }
    }
}
