//! What guessing rooms costs Redis, at 10 000 guesses a second: at the door of a node, as fast as this machine lets raw clients come,
//! and at the directory behind it, at the full rate. A measurement, not a test: run it on a quiet machine.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use onair_cluster::RoomId;
use onair_cluster::directory::Directory;
use onair_cluster::nodes::LocalNodes;
use onair_cluster::registry::redis::{RedisRegistry, RedisSettings};
use onair_testkit::redis::{Redis, Server};
use prometheus_client::registry::Registry as Metrics;
use support::{Fleet, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

const RATE: u32 = 10_000;
const SECONDS: u32 = 10;
/// Guesses on their way at the door; beyond that the clients wait, and the rate falls.
const OPEN_MAX: usize = 4_000;

fn main() {
    // `cargo test --all-targets` runs this too, and shall not wait for it.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let fleet = Fleet::with(Store::Single(Redis::start()), 1, &[("RTMP__PLAY_WAIT", "50ms")]);
    let redis = fleet.store.single();
    println!("at the door of a node");
    let idle = Cost::of(redis, || std::thread::sleep(Duration::from_secs(5)));
    let lookups = || fleet.nodes[0].metric("onair_directory_lookups_total");
    let before = lookups();
    let mut told = 0;
    let cost = Cost::of(redis, || told = runtime.block_on(at_the_door(fleet.nodes[0].rtmp)));
    println!(
        "  {:.0} guesses a second came through, {told} of {} were told that nobody is on air",
        f64::from(RATE * SECONDS) / cost.seconds,
        RATE * SECONDS
    );
    println!("  {:.0} a second asked the directory", (lookups() - before) / cost.seconds);
    cost.print("guessed at");
    idle.print("idle");
    drop(fleet);

    println!("at the directory");
    let redis = Redis::start();
    let cost = Cost::of(&redis, || runtime.block_on(at_the_directory(&redis.url())));
    println!("  {:.0} guesses a second", f64::from(RATE * SECONDS) / cost.seconds);
    cost.print("guessed at");
}

/// What Redis did meanwhile.
struct Cost {
    seconds: f64,
    commands: f64,
    cpu: f64,
}

impl Cost {
    fn of(redis: &Server, what: impl FnOnce()) -> Self {
        let number =
            |field| redis.info(field).and_then(|value| value.parse::<f64>().ok()).unwrap_or_default();
        let now = || (number("total_commands_processed"), number("used_cpu_sys") + number("used_cpu_user"));
        let (began, before) = (Instant::now(), now());
        what();
        let after = now();
        Self { seconds: began.elapsed().as_secs_f64(), commands: after.0 - before.0, cpu: after.1 - before.1 }
    }

    fn print(&self, when: &str) {
        println!(
            "  Redis {when}: {:.0} commands a second, {:.1} % of a core",
            self.commands / self.seconds,
            self.cpu / self.seconds * 100.0
        );
    }
}

/// Plays of rooms that nobody has, each on a connection of its own, by the clock. Returns how many were answered to the end.
async fn at_the_door(node: SocketAddr) -> usize {
    let (places, told) = (Arc::new(Semaphore::new(OPEN_MAX)), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    for nth in 0..RATE * SECONDS {
        sleep_until(began + Duration::from_secs(1) * nth / RATE).await;
        let place = places.clone().acquire_owned().await.expect("never closed");
        let told = told.clone();
        tokio::spawn(async move {
            if let Ok(Ok(true)) = timeout(Duration::from_secs(20), guess(node, nth)).await {
                told.fetch_add(1, Ordering::Relaxed);
            }
            drop(place);
        });
    }
    let _all = places.acquire_many(u32::try_from(OPEN_MAX).expect("small")).await;
    told.load(Ordering::Relaxed)
}

/// Says all that a player says in one breath and listens until the node closes. True if it said that nobody is on air.
async fn guess(node: SocketAddr, nth: u32) -> io::Result<bool> {
    let socket = TcpSocket::new_v4()?;
    // From many addresses, since few may wait from one.
    let [_, _, high, low] = (nth % 1_000 + 2).to_be_bytes();
    socket.bind((Ipv4Addr::new(127, 0, high + 1, low), 0).into())?;
    let mut socket = socket.connect(node).await?;
    socket.write_all(&conversation(&format!("guess-{nth}"))).await?;
    let mut answer = Vec::with_capacity(8 << 10);
    // A reset after the answer is an end, too.
    let _end = socket.read_to_end(&mut answer).await;
    let needle = b"NetStream.Play.StreamNotFound";
    Ok(answer.windows(needle.len()).any(|window| window == needle))
}

/// RTMP 1.0 §5.2 and §7.2: handshake, `connect`, `createStream` and `play`, without waiting for any answer.
fn conversation(room: &str) -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.resize(1 + 2 * 1_536, 0);
    let mut connect = [text("connect"), number(1.0), vec![3]].concat();
    for (name, value) in [("app", room), ("tcUrl", &format!("rtmp://127.0.0.1/{room}"))] {
        connect.extend([&text(name)[1..], &text(value)].concat());
    }
    connect.extend([0, 0, 9]);
    bytes.extend(command(0, &connect));
    bytes.extend(command(0, &[text("createStream"), number(2.0), vec![5]].concat()));
    bytes.extend(command(1, &[text("play"), number(3.0), vec![5], text("live")].concat()));
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text").to_be_bytes();
    [&[2][..], &length, text.as_bytes()].concat()
}

fn number(number: f64) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

/// One AMF0 command message in chunks of 128 bytes on chunk stream 3 (RTMP 1.0 §5.3.1).
fn command(message_stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short body").to_be_bytes();
    let mut bytes = [&[3, 0, 0, 0][..], &length[1..], &[20], &message_stream.to_le_bytes()].concat();
    for (nth, part) in body.chunks(128).enumerate() {
        if nth > 0 {
            bytes.push(0xc3);
        }
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The same behind the door: the guesses find the directory at the full rate.
async fn at_the_directory(url: &str) {
    let settings = RedisSettings::new(url.parse().expect("a URL"), "bench".parse().expect("a name"));
    let registry = RedisRegistry::connect(&settings, &mut Metrics::default()).await.expect("a registry");
    let directory = Directory::new(registry, Arc::new(LocalNodes::default()), &mut Metrics::default());
    let began = Instant::now();
    for nth in 0..RATE * SECONDS {
        sleep_until(began + Duration::from_secs(1) * nth / RATE).await;
        let (directory, room) = (directory.clone(), RoomId::parse(&format!("guess-{nth}")).expect("a room"));
        tokio::spawn(async move { directory.find(&room).await });
    }
}
