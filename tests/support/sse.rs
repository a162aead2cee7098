//! A client of the event feed that loses its connection again and again and goes on where it was, at any Manager.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::api::Api;
use super::wait::eventually;

/// A Manager that says nothing for so long is gone; heartbeats come more often.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// How long a follower waits for the next event before it tries its luck elsewhere.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What came, field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: String,
    pub at: Instant,
}

/// One connection to `/v1/events`.
pub struct Feed {
    reader: BufReader<Chunks>,
    last_id: Option<String>,
}

impl Feed {
    /// Connects, with what the last event's id was if there was one, and with query parameters (`?room=…`, or nothing).
    pub fn connect(at: SocketAddr, token: &str, query: &str, last_id: Option<&str>) -> io::Result<Self> {
        let mut socket = TcpStream::connect_timeout(&at, Duration::from_secs(2))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE_MAX))?;
        let last = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        write!(
            socket,
            "GET /v1/events{query} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\n\
             Accept: text/event-stream\r\n{last}\r\n"
        )?;
        let mut socket = BufReader::new(socket);
        let status = line(&mut socket)?;
        if !status.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(status));
        }
        let mut is_chunked = false;
        loop {
            let header = line(&mut socket)?.to_ascii_lowercase();
            is_chunked |= header == "transfer-encoding: chunked";
            if header.is_empty() {
                break;
            }
        }
        assert!(is_chunked, "a feed has no length");
        let chunks = Chunks { socket, left: 0 };
        Ok(Self { reader: BufReader::new(chunks), last_id: last_id.map(str::to_owned) })
    }

    /// The next event. An error when the connection is lost, or was silent for too long.
    pub fn next(&mut self) -> io::Result<Event> {
        let mut event =
            Event { id: String::new(), kind: String::new(), data: String::new(), at: Instant::now() };
        loop {
            let line = line(&mut self.reader)?;
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                // A blank line ends an event; without data there is none (HTML Living Standard § 9.2.6).
                "" if line.is_empty() => {
                    self.last_id =
                        (!event.id.is_empty()).then(|| event.id.clone()).or_else(|| self.last_id.take());
                    if !event.data.is_empty() {
                        return Ok(Event { at: Instant::now(), ..event });
                    }
                    event.kind.clear();
                }
                "id" => event.id = value.to_owned(),
                "event" => event.kind = value.to_owned(),
                "data" => {
                    if !event.data.is_empty() {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                }
                _ => {}
            }
        }
    }

    /// What to come back with.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Gives up waiting for an event after `silence`.
    pub fn patience(&self, silence: Duration) {
        let socket = self.reader.get_ref().socket.get_ref();
        socket.set_read_timeout(Some(silence)).expect("a timeout");
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The body of an answer in chunks (RFC 9112 § 7.1).
struct Chunks {
    socket: BufReader<TcpStream>,
    left: u64,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let size = line(&mut self.socket)?;
            self.left = u64::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| io::Error::other(format!("no chunk size: {size}")))?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.socket.read(&mut buffer[..most])?;
        self.left -= count as u64;
        if self.left == 0 && count > 0 {
            line(&mut self.socket)?;
        }
        Ok(count)
    }
}

/// What a follower has seen.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    pub events: Vec<Event>,
    pub connections: usize,
    /// Where it goes on.
    pub last_id: Option<String>,
    /// What went wrong with connections.
    pub troubles: Vec<String>,
}

/// Reads the feed from its beginning and changes Managers at random, until it is told to stop.
pub struct Follower {
    stop: Arc<AtomicBool>,
    followed: Arc<Mutex<Followed>>,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Follows at `apis`, from now on: when this returns, what happens is told.
    pub fn start(apis: &[Api], seed: u64) -> Self {
        let (stop, followed) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Followed>>::default());
        let task = Task {
            apis: apis.to_vec(),
            rng: StdRng::seed_from_u64(seed),
            last_id: None,
            stop: stop.clone(),
            followed: followed.clone(),
        };
        let follower = Self { stop, followed, thread: thread::spawn(move || task.run()) };
        eventually("a place in the feed", super::LONG, || follower.followed().last_id);
        follower
    }

    pub fn followed(&self) -> Followed {
        lock(&self.followed).clone()
    }

    /// How many events it has.
    pub fn count(&self) -> usize {
        lock(&self.followed).events.len()
    }

    /// Leaves, and gives what it saw.
    pub fn stop(self) -> Followed {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic");
        lock(&self.followed).clone()
    }
}

fn lock(followed: &Mutex<Followed>) -> MutexGuard<'_, Followed> {
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Task {
    apis: Vec<Api>,
    rng: StdRng,
    last_id: Option<String>,
    stop: Arc<AtomicBool>,
    followed: Arc<Mutex<Followed>>,
}

impl Task {
    fn run(mut self) {
        while !self.is_over() {
            let api = self.apis[self.rng.random_range(0..self.apis.len())].clone();
            if let Err(error) = self.follow(&api) {
                lock(&self.followed).troubles.push(format!("{}: {error}", api.addr()));
                thread::sleep(Duration::from_millis(200));
            }
        }
    }

    /// For some seconds, or until the connection is lost. Where it was is kept in any case.
    fn follow(&mut self, api: &Api) -> io::Result<()> {
        let until = Instant::now() + Duration::from_millis(self.rng.random_range(200..4_000));
        let mut feed = Feed::connect(api.addr(), api.token(), "", self.last_id.as_deref())?;
        lock(&self.followed).connections += 1;
        // A pause may cut an event in two. Its rest would be lost, so the connection is given up.
        feed.patience(PAUSE_MAX);
        let outcome = loop {
            // Without an id, what comes while nobody is connected would be missed.
            if self.is_over() || (Instant::now() > until && feed.last_id().is_some()) {
                break Ok(());
            }
            match feed.next() {
                Ok(event) => lock(&self.followed).events.push(event),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.last_id = feed.last_id().map(str::to_owned);
        lock(&self.followed).last_id.clone_from(&self.last_id);
        outcome
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
