//! How soon publishers hear `NetStream.Publish.Start` when 200 of them come each second, over real sockets, with their keys
//! verified and their leases taken: from before the TCP connection, and from the publish command. Once with the registry in the
//! process, once with Redis beside a node and its Manager. A measurement, not a test: run it on a quiet machine.

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use onair_loadtest::address::Address as RtmpAddress;
use onair_loadtest::client::{Client, ClientError, Want};
use onair_testkit::redis::Redis;
use support::{Address, Fleet, Node, Store};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, sleep_until};

const RATE: u32 = 200;
const SECONDS: u32 = 15;
/// How long each stays: so many leases are kept at a time.
const STAYS: Duration = Duration::from_secs(5);

fn main() {
    // `cargo test --all-targets` runs this too, and shall not wait for it.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    {
        let node = Node::start();
        let api = node.api();
        let address = |n| support::node::new_address(&api, &format!("producer-{n}"), &serde_json::json!({}));
        let addresses: Vec<_> = (0..RATE * SECONDS).map(address).collect();
        println!("one process, its own registry");
        report(runtime.block_on(publish_all(node.rtmp, &addresses)));
    }
    let fleet = Fleet::start(Store::Single(Redis::start()), 1);
    let addresses = fleet.addresses((RATE * SECONDS) as usize);
    println!("a node, a Manager and Redis");
    let redis = fleet.store.single();
    let cpu = || -> f64 {
        ["used_cpu_sys", "used_cpu_user"]
            .map(|field| redis.info(field).and_then(|n| n.parse().ok()).unwrap_or(0.0))
            .iter()
            .sum()
    };
    let (before, began) = (cpu(), std::time::Instant::now());
    report(runtime.block_on(publish_all(fleet.nodes[0].rtmp, &addresses)));
    println!("  Redis {:.1} % of a core", (cpu() - before) / began.elapsed().as_secs_f64() * 100.0);
}

/// What one publisher lived through.
struct Start {
    from_connect: Duration,
    from_publish: Duration,
}

/// Everyone publishes once, each at its moment, whatever became of those before.
async fn publish_all(node: SocketAddr, addresses: &[Address]) -> Vec<Result<Start, ClientError>> {
    let began = Instant::now() + Duration::from_secs(1);
    let mut publishing = Vec::new();
    for (nth, address) in (0..).zip(addresses) {
        let at =
            RtmpAddress { host: node.to_string(), app: address.room.clone(), name: address.live_key.clone() };
        sleep_until(began + Duration::from_secs(1) * nth / RATE).await;
        publishing.push(tokio::spawn(async move {
            let client = Client::start(&at, Want::Publish, None).await?;
            let start = Start { from_connect: client.started_after(), from_publish: client.answered_after() };
            sleep(STAYS).await;
            client.unpublish().await?;
            Ok(start)
        }));
    }
    let mut starts = Vec::new();
    for publishing in publishing {
        starts.push(publishing.await.expect("no panic"));
    }
    starts
}

fn report(starts: Vec<Result<Start, ClientError>>) {
    let asked = starts.len();
    let (starts, refused): (Vec<_>, Vec<_>) = starts.into_iter().partition(Result::is_ok);
    let starts: Vec<Start> = starts.into_iter().filter_map(Result::ok).collect();
    for error in refused.into_iter().filter_map(Result::err).take(3) {
        println!("  not on air: {error}");
    }
    println!("  {} of {asked} on air, at {RATE} a second", starts.len());
    let print = |what: &str, mut took: Vec<Duration>| {
        took.sort_unstable();
        let at = |share: usize| {
            took.get(took.len().saturating_sub(1) * share / 1_000).copied().unwrap_or_default()
        };
        println!(
            "  {what} to Publish.Start: p50 {:?}, p90 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
            at(500),
            at(900),
            at(990),
            at(999),
            at(1_000)
        );
    };
    print("TCP connect", starts.iter().map(|start| start.from_connect).collect());
    print("publish command", starts.iter().map(|start| start.from_publish).collect());
}
