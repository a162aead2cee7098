//! Many encoders and players of our own, on one runtime: each attempt to publish has a number, which it stamps into its media
//! and gives as its agent, so that what players see and what the Live DB holds can be told apart to the last frame.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use onair_cluster::time::BootTime;
use onair_codec::ClientEvent;
use onair_loadtest::address::Address as RtmpAddress;
use onair_loadtest::client::{Client, ClientError, Want};
use onair_loadtest::media::{Broadcast, Shape, read_stamp};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, sleep, timeout};

use super::node::Address;

/// Little data, many frames: what matters here is whose they are.
pub const SMALL: Shape = Shape { kbps: 24, fps: 10, gop: 10 };

/// An encoder's patience with a server that does not answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// OBS tries again after 2 s, and then after half as long again each time: 2, 5, 9.5 and 16 s after the drop.
const RETRY_FIRST: Duration = Duration::from_secs(2);

/// What every attempt's agent begins with.
const AGENT: &str = "onair-test/";

/// One attempt to publish, as its encoder lived it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub id: u64,
    pub room: String,
    pub to: SocketAddr,
    pub asked_at: BootTime,
    /// `NetStream.Publish.Start` came.
    pub started_at: Option<BootTime>,
    /// It was refused, cut, or ended itself.
    pub over_at: Option<BootTime>,
    /// Why, if it was not its own will.
    pub trouble: Option<String>,
    /// Pictures given to the system; not all of them need have arrived.
    pub pictures: u64,
}

/// Media of one attempt, as it reached one player, without anything of another attempt in between.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub attempt: u64,
    /// Which of the player's connections brought it.
    pub connection: usize,
    pub first_number: u64,
    pub last_number: u64,
    pub pictures: u64,
    /// Numbers left out or repeated.
    pub gaps: u64,
    pub first_at: BootTime,
    pub last_at: BootTime,
    pub began_with_keyframe: bool,
}

/// What a player saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub room: String,
    pub runs: Vec<Run>,
    /// Connections it had that brought at least one picture.
    pub connections: usize,
    pub pictures: u64,
}

#[derive(Default)]
struct Book {
    attempts: Mutex<BTreeMap<u64, Attempt>>,
}

/// Encoders and players, and the book of all attempts.
pub struct Crowd {
    runtime: Runtime,
    book: Arc<Book>,
}

impl Crowd {
    pub fn new() -> Self {
        Self { runtime: Runtime::new().expect("a runtime"), book: Arc::default() }
    }

    /// Everything that was tried so far, in order.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.book.attempts().values().cloned().collect()
    }

    /// The last attempt in `room`.
    pub fn last_attempt(&self, room: &str) -> Option<Attempt> {
        self.book.attempts().values().rfind(|a| a.room == room).cloned()
    }

    /// The attempts that have been let in and are not over, by room.
    pub fn on_air(&self) -> Vec<Attempt> {
        let is_on_air = |a: &&Attempt| a.started_at.is_some() && a.over_at.is_none();
        self.book.attempts().values().filter(is_on_air).cloned().collect()
    }

    /// An encoder that publishes to the first of `nodes`, and whenever it is cut or refused tries the next as OBS would,
    /// until it is told to stop.
    pub fn encoder(&self, address: &Address, nodes: &[SocketAddr]) -> Encoder {
        self.encoder_from(None, address, nodes)
    }

    /// The same from another local address.
    pub fn encoder_from(&self, from: Option<IpAddr>, address: &Address, nodes: &[SocketAddr]) -> Encoder {
        let (stop, stopped) = watch::channel(false);
        let way_in = WayIn { book: self.book.clone(), address: address.clone(), from };
        let task = self.runtime.spawn(insist(way_in, nodes.to_vec(), stopped));
        Encoder { stop, task }
    }

    /// One attempt, and how it went: an encoder on air, or the refusal.
    pub fn publish(&self, from: Option<IpAddr>, address: &Address, to: SocketAddr) -> Result<OnAir, String> {
        let way_in = WayIn { book: self.book.clone(), address: address.clone(), from };
        self.runtime.block_on(way_in.publish(to))
    }

    /// A way in for a test's own encoder tasks.
    pub fn way_in(&self, address: &Address) -> WayIn {
        WayIn { book: self.book.clone(), address: address.clone(), from: None }
    }

    /// A player of `room` at `node`, which comes back whenever it is cut, until it is told to stop.
    pub fn player(&self, room: &str, node: SocketAddr) -> Watching {
        self.player_with(room, "live", node)
    }

    /// The same with a stream name of its own, for instance a play token.
    pub fn player_with(&self, room: &str, name: &str, node: SocketAddr) -> Watching {
        let (stop, stopped) = watch::channel(false);
        let seen = Arc::new(Mutex::new(Seen { room: room.to_owned(), ..Seen::default() }));
        let address = RtmpAddress { host: node.to_string(), app: room.to_owned(), name: name.to_owned() };
        let task = self.runtime.spawn(watch_room(address, seen.clone(), stopped));
        Watching { stop, task, seen }
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

impl Default for Crowd {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    fn attempts(&self) -> MutexGuard<'_, BTreeMap<u64, Attempt>> {
        self.attempts.lock().expect("no panic while held")
    }

    fn open(&self, room: &str, to: SocketAddr) -> u64 {
        let mut attempts = self.attempts();
        let id = attempts.len() as u64 + 1;
        let attempt = Attempt {
            id,
            room: room.to_owned(),
            to,
            asked_at: BootTime::now(),
            started_at: None,
            over_at: None,
            trouble: None,
            pictures: 0,
        };
        attempts.insert(id, attempt);
        id
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Attempt)) {
        change(self.attempts().get_mut(&id).expect("opened before"));
    }

    fn over(&self, id: u64, trouble: Option<String>) {
        self.change(id, |a| {
            a.over_at.get_or_insert_with(BootTime::now);
            a.trouble = a.trouble.take().or(trouble);
        });
    }
}

/// The attempt of an agent, if it is one of ours.
pub fn attempt_of_agent(agent: &str) -> Option<u64> {
    agent.strip_prefix(AGENT)?.parse().ok()
}

/// One address to publish to, and from where.
#[derive(Clone)]
pub struct WayIn {
    book: Arc<Book>,
    address: Address,
    from: Option<IpAddr>,
}

impl WayIn {
    /// One attempt at the node `to`.
    pub async fn publish(&self, to: SocketAddr) -> Result<OnAir, String> {
        let id = self.book.open(&self.address.room, to);
        let address = RtmpAddress {
            host: to.to_string(),
            app: self.address.room.clone(),
            name: self.address.live_key.clone(),
        };
        let from = self.from.map(|ip| SocketAddr::new(ip, 0));
        let agent = format!("{AGENT}{id}");
        let outcome = timeout(ANSWER_MAX, Client::start_as(&agent, &address, Want::Publish, from)).await;
        match outcome.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())) {
            Ok(client) => {
                self.book.change(id, |a| a.started_at = Some(BootTime::now()));
                Ok(OnAir {
                    id,
                    book: self.book.clone(),
                    client,
                    broadcast: Broadcast::of(SMALL, id),
                    has_begun: false,
                })
            }
            Err(error) => {
                self.book.over(id, Some(error.to_string()));
                Err(error.to_string())
            }
        }
    }

    /// To another address of its room.
    #[must_use]
    pub fn to(self, address: &Address) -> Self {
        Self { address: address.clone(), ..self }
    }

    /// From the local address `ip`.
    #[must_use]
    pub fn from(self, ip: IpAddr) -> Self {
        Self { from: Some(ip), ..self }
    }
}

/// An encoder that has been let in. Dropping it closes the socket without a goodbye.
pub struct OnAir {
    id: u64,
    book: Arc<Book>,
    client: Client,
    broadcast: Broadcast,
    has_begun: bool,
}

impl OnAir {
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Sends in real time until `stop` turns true (`Ok`) or the server cuts us (`Err`).
    pub async fn send_until(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), ClientError> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.client.send(&self.broadcast.headers()).await?;
        }
        let mut tick = tokio::time::interval(SMALL.interval());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(stop) => return Ok(()),
                step = self.client.step(|_| {}) => step?,
                _ = tick.tick() => {
                    self.client.send(&self.broadcast.next_picture()).await?;
                    self.book.change(self.id, |a| a.pictures += 1);
                }
            }
        }
    }

    /// Sends for `duration`, or until the server cuts us.
    pub async fn send_for(&mut self, duration: Duration) -> Result<(), ClientError> {
        let (stop, mut stopped) = watch::channel(false);
        match timeout(duration, self.send_until(&mut stopped)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                drop(stop);
                Ok(())
            }
        }
    }

    /// Sends nothing, until the server cuts us or `longest` has passed.
    pub async fn be_silent(&mut self, longest: Duration) -> Result<(), ClientError> {
        let ended = timeout(longest, async {
            loop {
                if let Err(error) = self.client.step(|_| {}).await {
                    return error;
                }
            }
        });
        ended.await.map_or(Ok(()), Err)
    }

    /// Notes that the server cut us.
    pub fn cut(self, error: &ClientError) {
        self.book.over(self.id, Some(error.to_string()));
    }

    /// Closes the socket without a goodbye.
    pub fn hang_up(self) {
        self.book.over(self.id, None);
    }

    /// Says goodbye.
    pub async fn unpublish(self) {
        self.book.over(self.id, None);
        let _ = self.client.unpublish().await;
    }
}

/// Resolves when `stop` is true, or can no longer become so.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// An encoder that insists.
pub struct Encoder {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Encoder {
    /// Says goodbye if it is on air, and returns when it has.
    pub fn stop(self, crowd: &Crowd) {
        self.stop.send_replace(true);
        crowd.runtime.block_on(self.task).expect("no panic");
    }
}

async fn insist(way_in: WayIn, nodes: Vec<SocketAddr>, mut stop: watch::Receiver<bool>) {
    let mut pause = RETRY_FIRST;
    for node in nodes.iter().cycle() {
        if let Ok(mut on_air) = way_in.publish(*node).await {
            pause = RETRY_FIRST;
            match on_air.send_until(&mut stop).await {
                Ok(()) => return on_air.unpublish().await,
                Err(error) => on_air.cut(&error),
            }
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = sleep(pause) => pause = pause * 3 / 2,
        }
    }
}

/// A player that watches.
pub struct Watching {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    seen: Arc<Mutex<Seen>>,
}

impl Watching {
    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic while held").clone()
    }

    /// The attempt whose media came last.
    pub fn watches(&self) -> Option<u64> {
        self.seen.lock().expect("no panic while held").runs.last().map(|run| run.attempt)
    }

    /// Leaves, and gives what it saw.
    pub fn stop(self, crowd: &Crowd) -> Seen {
        self.stop.send_replace(true);
        crowd.runtime.block_on(self.task).expect("no panic");
        let seen = self.seen.lock().expect("no panic while held");
        seen.clone()
    }
}

async fn watch_room(address: RtmpAddress, seen: Arc<Mutex<Seen>>, mut stop: watch::Receiver<bool>) {
    for connection in 0.. {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = watch_once(&address, connection, &seen) => {}
        }
        // A player's page would try again about as soon.
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = sleep(Duration::from_millis(300)) => {}
        }
    }
}

async fn watch_once(address: &RtmpAddress, connection: usize, seen: &Mutex<Seen>) -> Result<(), ClientError> {
    let mut client = Client::start(address, Want::Play, None).await?;
    loop {
        let mut is_over = false;
        client
            .step(|event| match event {
                ClientEvent::Media(media) => {
                    if let Some(stamp) = read_stamp(&media) {
                        let is_keyframe = media.payload.first().is_some_and(|byte| byte >> 4 == 1);
                        let mut seen = seen.lock().expect("no panic while held");
                        seen.note(connection, stamp.source, stamp.number, is_keyframe);
                    }
                }
                ClientEvent::Ended { .. } => is_over = true,
                _ => {}
            })
            .await?;
        if is_over {
            return Ok(());
        }
    }
}

impl Seen {
    fn note(&mut self, connection: usize, attempt: u64, number: u64, is_keyframe: bool) {
        let now = BootTime::now();
        self.pictures += 1;
        if self.runs.last().is_none_or(|run| run.connection != connection) {
            self.connections += 1;
        }
        match self.runs.last_mut().filter(|run| run.attempt == attempt && run.connection == connection) {
            Some(run) => {
                run.gaps += number.abs_diff(run.last_number + 1);
                run.last_number = number;
                run.pictures += 1;
                run.last_at = now;
            }
            None => self.runs.push(Run {
                attempt,
                connection,
                first_number: number,
                last_number: number,
                pictures: 1,
                gaps: 0,
                first_at: now,
                last_at: now,
                began_with_keyframe: is_keyframe,
            }),
        }
    }

    /// The attempts it saw, in order, each once per unbroken stretch.
    pub fn attempts(&self) -> Vec<u64> {
        let mut all: Vec<_> = self.runs.iter().map(|run| run.attempt).collect();
        all.dedup();
        all
    }
}

/// Waits on the crowd's clock; for tasks of tests that pace themselves.
pub async fn pause(duration: Duration) {
    tokio::time::sleep_until(Instant::now() + duration).await;
}
