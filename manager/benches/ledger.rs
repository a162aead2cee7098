//! How many lifecycle events a second one Manager takes from the registry to PostgreSQL, and on to Kafka. Everything is real; no
//! figure is a promise, since all of it shares this machine.
//!
//! Method: sessions come and go while no Manager runs, so that their events wait; then a Manager starts. Told is the time until
//! all is stored, and until all is shipped. `SESSIONS=20000` makes it longer.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench is no interface, and says by panicking that it cannot go on"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_cluster::events::EndReason;
use onair_cluster::live_key::LiveKeySigner;
use onair_cluster::nodes::LocalNodes;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::redis::{RedisRegistry, RedisSettings};
use onair_cluster::registry::{Acquired, Batch, Claim, KeyRecord, LeaseTimes, Registry, Release, Takeover};
use onair_cluster::{Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionId, Shard, UnixMs};
use onair_manager::kafka::{IfMissing, KafkaSettings, Security};
use onair_manager::live_db::{LiveDb, Outbox, PostgresLiveDb, PostgresOptions};
use onair_manager::{
    AdminToken, ManagerConfig, ManagerHandle, ManagerMetrics, ManagerParts, NodeStatus, RegistryLife,
};
use onair_testkit::kafka::Kafka;
use onair_testkit::postgres::Postgres;
use onair_testkit::redis::Redis;

/// Rooms that are used in turn; each has one session at a time.
const ROOMS: usize = 256;
/// Events of a session.
const EVENTS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let postgres = Postgres::start();
        let redis = Redis::start();
        let kafka = Kafka::start();
        let local = || LocalRegistry::start(LeaseTimes::default()) as Arc<dyn Registry>;
        measure("local registry", local(), &postgres, None).await;
        measure("Redis", on(&redis).await, &postgres, None).await;
        measure("local registry, shipped", local(), &postgres, Some(&kafka)).await;
        let other = Redis::start();
        measure("Redis, shipped", on(&other).await, &postgres, Some(&kafka)).await;
    });
}

async fn on(redis: &Redis) -> Arc<dyn Registry> {
    let settings = RedisSettings::new(redis.url().parse().unwrap(), "bench".parse().unwrap());
    let metrics = &mut prometheus_client::registry::Registry::default();
    let registry = RedisRegistry::connect(&settings, metrics).await.unwrap();
    for shard in Shard::all() {
        registry.tick(shard, 1).await.unwrap();
        registry.recovered(shard, true).await.unwrap();
    }
    registry
}

async fn measure(what: &str, registry: Arc<dyn Registry>, postgres: &Postgres, kafka: Option<&Kafka>) {
    let sessions: usize = std::env::var("SESSIONS").map_or(6_000, |text| text.parse().unwrap());
    let sessions = sessions.div_ceil(ROOMS) * ROOMS;
    fill(&*registry, sessions / ROOMS).await;
    let options = PostgresOptions::new(postgres.url(&postgres.create_database()), "bench".to_owned());
    let live_db = Arc::new(PostgresLiveDb::open(&options).await.unwrap());
    let began = Instant::now();
    let manager = start(registry, Arc::clone(&live_db) as Arc<dyn LiveDb>, kafka).await;
    let stored = until(&began, async || {
        let spans = live_db.feed_span().await.unwrap();
        spans.iter().map(|span| span.last).sum::<u64>() == 2 * sessions as u64
    })
    .await;
    let per_second = |took: Duration| (EVENTS * sessions) as f64 / took.as_secs_f64();
    print!("{what}: {} events stored in {stored:.2?}, {:.0} a second", EVENTS * sessions, per_second(stored));
    if kafka.is_some() {
        let shipped = until(&began, async || live_db.unshipped_count().await.unwrap() == 0).await;
        print!(
            "; shipped as {} messages in {shipped:.2?}, {:.0} events a second",
            2 * sessions,
            per_second(shipped)
        );
    }
    println!();
    manager.stop(Duration::from_secs(5)).await;
}

async fn until(began: &Instant, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    while !is_so().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// `rounds` sessions of each room, all over.
async fn fill(registry: &dyn Registry, rounds: usize) {
    let rooms: Vec<_> = (0..ROOMS).map(|n| RoomId::parse(&format!("room-{n}")).unwrap()).collect();
    let mut keys = Vec::new();
    for room in &rooms {
        let record = KeyRecord {
            live_key_id: LiveKeyId::random(room),
            room_id: room.clone(),
            producer_id: ProducerId::parse("producer").unwrap(),
            takeover: Takeover::Idle,
            max_duration: None,
            max_bitrate: None,
            revoked: false,
            expires_at: UnixMs::now().plus(Duration::from_secs(3_600)),
        };
        registry.put_key(&record).await.unwrap();
        keys.push(record.live_key_id);
    }
    for _ in 0..rounds {
        let claim = |(room, key): (&RoomId, &LiveKeyId)| Claim {
            session_id: SessionId::random(),
            room_id: room.clone(),
            live_key_id: key.clone(),
            node_id: NodeId::parse("ingest-1").unwrap(),
            client_addr: "192.0.2.7".parse().unwrap(),
            client_agent: "bench".to_owned(),
            issued: None,
        };
        let claims = rooms.iter().zip(&keys).map(claim).collect();
        let reply = registry.commit(&Batch { claims, ..Batch::default() }).await;
        let now = Some(UnixMs::now());
        let facts = Facts { live_at: now, last_media_at: now, bytes_in: 1, ..Facts::default() };
        let mut batch = Batch::default();
        for answer in reply.claims {
            let Acquired::Granted(grant) = answer.unwrap().answer else { panic!("not granted") };
            let reason = EndReason::Unpublished;
            // A release that knows of a start tells it, too.
            batch.releases.push(Release { card: grant.card, facts: facts.clone(), reason });
        }
        registry.commit(&batch).await;
    }
}

async fn start(
    registry: Arc<dyn Registry>,
    live_db: Arc<dyn LiveDb>,
    kafka: Option<&Kafka>,
) -> ManagerHandle {
    let mut prometheus = prometheus_client::registry::Registry::default();
    let metrics = ManagerMetrics::register(&mut prometheus);
    let parts = ManagerParts {
        registry,
        registry_life: RegistryLife::Shared,
        nodes: Arc::new(LocalNodes::default()),
        signer: LiveKeySigner::generate("onair").unwrap(),
        issuers: Vec::new(),
        admin_token: AdminToken::new("0123456789abcdef").unwrap(),
        metrics,
        prometheus: Arc::new(prometheus),
        node_status: Arc::new(|| NodeStatus { ready: true, state: String::new(), degraded: vec![] }),
    };
    let http = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = NodeId::parse("manager-1").unwrap();
    let mut config = ManagerConfig::new(http, "unused".into(), "localhost".to_owned(), node);
    config.kafka = kafka.map(|kafka| KafkaSettings {
        brokers: kafka.brokers(),
        topic: format!("bench-{}", rand_topic()),
        if_missing: IfMissing::Create { partitions: 12, replication: Some(1) },
        security: Security::default(),
    });
    onair_manager::start_on(config, parts, live_db).await.unwrap()
}

/// Topics are not shared between measurements.
fn rand_topic() -> u128 {
    SessionId::random().0
}
