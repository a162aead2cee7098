//! What ownership costs on a real Redis on loopback: claims through the keeper at a steady rate, renewals by the ten thousand,
//! and what Redis pays for them in time and memory. Prints figures; needs `redis-server`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on says so by panicking")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use onair_cluster::events::{EndReason, Facts};
use onair_cluster::ids::{LiveKeyId, NodeId, ProducerId, RoomId, SessionId, Shard};
use onair_cluster::keeper::{Keeper, Policy};
use onair_cluster::registry::redis::{RedisRegistry, RedisSettings};
use onair_cluster::registry::{
    Acquired, Batch, Claim, Confirmed, KeyRecord, Registry, Release, Renewal, Takeover,
};
use onair_cluster::time::UnixMs;
use onair_testkit::redis::Redis;
use prometheus_client::registry::Registry as Metrics;

const LEASES: usize = 10_000;
const SECONDS: usize = 5;

fn main() {
    // `cargo test --all-targets` runs this too, and shall not wait for it.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let redis = Redis::start();
        let settings = RedisSettings::new(redis.url().parse().unwrap(), "bench".parse().unwrap());
        let registry = RedisRegistry::connect(&settings, &mut Metrics::default()).await.unwrap();
        for shard in Shard::all() {
            registry.tick(shard, 1).await.unwrap();
            registry.recovered(shard, true).await.unwrap();
        }
        for rate in [100, 200, 1_000] {
            claims(&redis, &registry, rate).await;
        }
        leases(&redis, &registry).await;
    });
}

/// Claims at so many a second, each room once, through the keeper as a connection would.
async fn claims(redis: &Redis, registry: &Arc<RedisRegistry>, rate: usize) {
    let keys = keys(registry, rate * SECONDS).await;
    let mut metrics = Metrics::default();
    let keeper =
        Keeper::new(registry.clone(), NodeId::parse("node-1").unwrap(), Policy::default(), &mut metrics);
    let running = keeper.clone();
    let running = tokio::spawn(async move { running.run().await });
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
    let (before, began) = (cpu(redis), Instant::now());
    let mut claiming = Vec::new();
    for key in &keys {
        tick.tick().await;
        let (keeper, claim) = (keeper.clone(), claim(key));
        claiming.push(tokio::spawn(async move {
            let asked = Instant::now();
            let lease = keeper.claim(claim).await;
            (asked.elapsed(), lease)
        }));
    }
    let mut took = Vec::new();
    let mut held = Vec::new();
    for claiming in claiming {
        let (time, lease) = claiming.await.unwrap();
        took.push(time);
        held.push(lease.unwrap());
    }
    let busy = (cpu(redis) - before) / began.elapsed().as_secs_f64();
    took.sort();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    println!(
        "claims at {rate}/s: p50 {:?}, p99 {:?}, worst {:?}; Redis {:.1} % of a core, renewals included",
        at(50),
        at(99),
        at(100),
        busy * 100.0
    );
    join_all(held.into_iter().map(|lease| lease.end(EndReason::Unpublished))).await;
    running.abort();
}

/// Ten thousand leases: their memory, and what one renewal of all costs.
async fn leases(redis: &Redis, registry: &Arc<RedisRegistry>) {
    let keys = keys(registry, LEASES).await;
    let before = number(redis, "used_memory");
    let mut cards = Vec::new();
    for keys in keys.chunks(200) {
        let batch = Batch { claims: keys.iter().map(claim).collect(), ..Batch::default() };
        for answer in registry.commit(&batch).await.claims {
            let Ok(Confirmed { answer: Acquired::Granted(grant), .. }) = answer else { panic!("{answer:?}") };
            cards.push(grant.card);
        }
    }
    for shard in Shard::all() {
        let last = registry.events(shard, usize::from(u16::MAX)).await.unwrap().last().map(|event| event.n);
        registry.acknowledge(shard, last.unwrap_or_default()).await.unwrap();
    }
    let each = (number(redis, "used_memory") - before) / number_of(LEASES);
    println!("{LEASES} leases: {each:.0} bytes each, events read");

    let renewals = |at: UnixMs| {
        let facts = Facts { live_at: Some(at), last_media_at: Some(at), ..Facts::default() };
        cards.iter().map(|card| Renewal { card: card.clone(), facts: facts.clone() }).collect()
    };
    // The first goes live, the others only renew.
    let live_at = UnixMs::now();
    for round in 0..4 {
        let batch = Batch { renewals: renewals(live_at), ..Batch::default() };
        let (before, began) = (cpu(redis), Instant::now());
        let kept = registry.commit(&batch).await.renewals.iter().filter(|kept| kept.is_ok()).count();
        let (busy, took) = (cpu(redis) - before, began.elapsed());
        let what = if round == 0 { "going live" } else { "renewing" };
        println!("{what}, {kept} of {LEASES} at once: {took:?}, {:.0} ms of Redis", busy * 1_000.0);
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
        let room = RoomId::random();
        let key = KeyRecord {
            live_key_id: LiveKeyId::random(&room),
            room_id: room,
            producer_id: ProducerId::parse("producer-1").unwrap(),
            takeover: Takeover::Idle,
            max_duration: None,
            revoked: false,
            expires_at: UnixMs::now().plus(Duration::from_secs(3_600)),
        };
        registry.put_key(&key).await.unwrap();
        keys.push(key);
    }
    keys
}

fn claim(key: &KeyRecord) -> Claim {
    Claim {
        session_id: SessionId::random(),
        room_id: key.room_id.clone(),
        live_key_id: key.live_key_id.clone(),
        node_id: NodeId::parse("node-1").unwrap(),
        client_addr: IpAddr::from([127, 0, 0, 1]),
        client_agent: "FMLE/3.0 (compatible; FMSc/1.0)".to_owned(),
        issued: None,
    }
}

/// Seconds that Redis has computed since it started.
fn cpu(redis: &Redis) -> f64 {
    number(redis, "used_cpu_sys") + number(redis, "used_cpu_user")
}

fn number(redis: &Redis, field: &str) -> f64 {
    redis.info(field).and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn number_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
