//! What ownership costs on a real Redis on loopback: claims through the keeper at a steady rate, beside few leases and beside
//! many, renewals by the ten thousand, and what Redis pays for them in time and memory. Prints figures; needs `redis-server`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use onair_cluster::events::{EndReason, Facts};
use onair_cluster::ids::{NodeId, RoomId, Shard};
use onair_cluster::keeper::{Keeper, Policy};
use onair_cluster::registry::redis::{RedisRegistry, RedisSettings};
use onair_cluster::registry::{Acquired, Batch, Confirmed, KeyRecord, Registry, Release, Renewal};
use onair_cluster::time::UnixMs;
use onair_testkit::redis::{Redis, Replicated, Server};
use prometheus_client::registry::Registry as Metrics;
use support::{claim, record};

const LEASES: usize = 10_000;
const RATES: [u64; 2] = [100, 1_000];
/// Two beats of renewals at least.
const SECONDS: u64 = 7;

fn main() {
    // `cargo test --all-targets` runs this too, and shall not wait for it.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        println!("a single Redis");
        let redis = Redis::start();
        let registry = connect(&redis.url()).await;
        for kept in [0, LEASES] {
            claims(&redis, &registry, kept).await;
        }
        leases(&redis, &registry).await;
        println!("a primary, two replicas and three Sentinels, one replica confirming");
        let redis = Replicated::start(2, 3);
        let registry = connect(&redis.url()).await;
        for kept in [0, LEASES] {
            claims(redis.primary(), &registry, kept).await;
        }
    });
}

async fn connect(url: &str) -> Arc<RedisRegistry> {
    let settings = RedisSettings::new(url.parse().unwrap(), "bench".parse().unwrap());
    let registry = RedisRegistry::connect(&settings, &mut Metrics::default()).await.unwrap();
    for shard in Shard::all() {
        registry.tick(shard, 1).await.unwrap();
        registry.recovered(shard, true).await.unwrap();
    }
    registry
}

/// Claims at some rates, each room once, through the keeper as a connection would, while the keeper holds `kept` leases
/// besides those that come.
async fn claims(redis: &Server, registry: &Arc<RedisRegistry>, kept: usize) {
    let mut metrics = Metrics::default();
    let keeper =
        Keeper::new(registry.clone(), NodeId::parse("node-1").unwrap(), Policy::default(), &mut metrics);
    let running = keeper.clone();
    let running = tokio::spawn(async move { running.run().await });
    let mut held = Vec::new();
    for keys in keys(registry, kept).await.chunks(500) {
        let claimed = join_all(keys.iter().map(|key| keeper.claim(claim(key)))).await;
        held.extend(claimed.into_iter().map(Result::unwrap));
    }
    for rate in RATES {
        let keys = keys(registry, usize::try_from(rate * SECONDS).unwrap()).await;
        let (before, began) = (cpu(redis), Instant::now());
        let mut claiming = Vec::new();
        for (nth, key) in (0..).zip(&keys) {
            // By the clock, not one after the other: a late one must not hold up the next.
            tokio::time::sleep_until(
                (began + Duration::from_secs(nth) / u32::try_from(rate).unwrap()).into(),
            )
            .await;
            let (keeper, claim) = (keeper.clone(), claim(key));
            claiming.push(tokio::spawn(async move {
                let asked = Instant::now();
                let lease = keeper.claim(claim).await;
                (asked.elapsed(), lease)
            }));
        }
        let mut took = Vec::new();
        for claiming in claiming {
            let (time, lease) = claiming.await.unwrap();
            took.push(time);
            held.push(lease.unwrap());
        }
        let busy = (cpu(redis) - before) / began.elapsed().as_secs_f64();
        took.sort();
        let at = |share: usize| took[(took.len() - 1) * share / 1_000];
        println!(
            "  claims at {rate}/s beside {kept} leases: p50 {:?}, p99 {:?}, p99.9 {:?}, worst {:?}; Redis {:.1} % of a \
             core, renewals included",
            at(500),
            at(990),
            at(999),
            at(1_000),
            busy * 100.0
        );
    }
    join_all(held.into_iter().map(|lease| lease.end(EndReason::Unpublished))).await;
    running.abort();
}

/// Takes what a Manager would have taken: read events are no longer in memory.
async fn read_events(registry: &RedisRegistry) {
    for shard in Shard::all() {
        let last = registry.events(shard, usize::from(u16::MAX)).await.unwrap().last().map(|event| event.n);
        registry.acknowledge(shard, last.unwrap_or_default()).await.unwrap();
    }
}

/// Ten thousand leases: their memory, and what one renewal of all costs.
async fn leases(redis: &Server, registry: &Arc<RedisRegistry>) {
    let keys = keys(registry, LEASES).await;
    // What the claims before left behind.
    read_events(registry).await;
    let before = number(redis, "used_memory");
    let mut cards = Vec::new();
    for keys in keys.chunks(200) {
        let batch = Batch { claims: keys.iter().map(claim).collect(), ..Batch::default() };
        for answer in registry.commit(&batch).await.claims {
            let Ok(Confirmed { answer: Acquired::Granted(grant), .. }) = answer else { panic!("{answer:?}") };
            cards.push(grant.card);
        }
    }
    read_events(registry).await;
    let each = (number(redis, "used_memory") - before) / number_of(LEASES);
    println!("  {LEASES} leases: {each:.0} bytes each, events read");

    // Sorted by shard and in slices, as the keeper sends them. The first round goes live, the others only renew.
    cards.sort_by_key(|card| card.room_id.shard());
    let live_at = UnixMs::now();
    let facts = Facts { live_at: Some(live_at), last_media_at: Some(live_at), ..Facts::default() };
    for round in 0..4 {
        let (before, began) = (cpu(redis), Instant::now());
        let mut kept = 0;
        for cards in cards.chunks(256) {
            let renewals = cards.iter().map(|card| Renewal { card: card.clone(), facts: facts.clone() });
            let reply = registry.commit(&Batch { renewals: renewals.collect(), ..Batch::default() }).await;
            kept += reply.renewals.iter().filter(|kept| kept.is_ok()).count();
        }
        let (busy, took) = (cpu(redis) - before, began.elapsed());
        let what = if round == 0 { "going live" } else { "renewing" };
        println!("  {what}, {kept} of {LEASES} in slices: {took:?}, {:.0} ms of Redis", busy * 1_000.0);
    }
    for cards in cards.chunks(500) {
        let ends = cards.iter().map(|card| Release {
            card: card.clone(),
            facts: Facts::default(),
            reason: EndReason::Unpublished,
        });
        registry.commit(&Batch { releases: ends.collect(), ..Batch::default() }).await;
    }
}

async fn keys(registry: &Arc<RedisRegistry>, count: usize) -> Vec<KeyRecord> {
    let mut keys = Vec::new();
    for _ in 0..count {
        let key = record(&RoomId::random());
        registry.put_key(&key).await.unwrap();
        keys.push(key);
    }
    keys
}

/// Seconds that Redis has computed since it started.
fn cpu(redis: &Server) -> f64 {
    number(redis, "used_cpu_sys") + number(redis, "used_cpu_user")
}

fn number(redis: &Server, field: &str) -> f64 {
    redis.info(field).and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn number_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
