//! A registry on a real Redis, and a publisher's steps at it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::events::{EndReason, Facts, SessionCard};
use onair_cluster::ids::{LiveKeyId, NodeId, RoomId, SessionId, Shard};
use onair_cluster::registry::redis::{ConnectError, RedisRegistry, RedisSettings};
use onair_cluster::registry::{
    Acquired, Batch, Claim, Confirmed, KeyRecord, Registry, RegistryError, Release, Released, Renewal,
    Renewed,
};
use onair_cluster::time::UnixMs;
use onair_testkit::redis::{Cluster, Replicated, Server};
use prometheus_client::registry::Registry as Metrics;
use tokio::time::Instant;

/// Longer than any failover, or anything else that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn sentinel_url(redis: &Replicated) -> String {
    format!("redis+sentinel://{}/{}", places(redis.sentinels()), Replicated::MASTER_NAME)
}

pub(crate) fn cluster_url(redis: &Cluster) -> String {
    format!("redis+cluster://{}", places(redis.servers()))
}

fn places(servers: &[Server]) -> String {
    servers.iter().map(|server| server.addr().to_string()).collect::<Vec<_>>().join(",")
}

pub(crate) fn settings(url: &str) -> RedisSettings {
    RedisSettings::new(url.parse().unwrap(), "test".parse().unwrap())
}

pub(crate) async fn try_connect(settings: &RedisSettings) -> Result<Arc<RedisRegistry>, ConnectError> {
    RedisRegistry::connect(settings, &mut Metrics::default()).await
}

pub(crate) async fn connect(url: &str) -> Arc<RedisRegistry> {
    try_connect(&settings(url)).await.unwrap()
}

/// Says of every shard that it has its keys and never had a session.
pub(crate) async fn open_all(registry: &RedisRegistry) {
    for shard in Shard::all() {
        registry.tick(shard, 10).await.unwrap();
        registry.recovered(shard, true).await.unwrap();
    }
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

pub(crate) fn record(room: &RoomId) -> KeyRecord {
    KeyRecord {
        max_duration: Some(Duration::from_secs(3600)),
        max_bitrate: Some(6_000_000),
        expires_at: UnixMs::now().plus(Duration::from_secs(3600)),
        ..super::record(room)
    }
}

pub(crate) async fn put_key(registry: &RedisRegistry, room: &RoomId) -> LiveKeyId {
    let record = record(room);
    registry.put_key(&record).await.unwrap();
    record.live_key_id
}

pub(crate) fn claim(room: &RoomId, key: &LiveKeyId, on: &str) -> Claim {
    super::claim(SessionId::random(), room, key, &node(on))
}

type Answer<T> = Result<Confirmed<T>, RegistryError>;

pub(crate) async fn acquire(registry: &RedisRegistry, claim: &Claim) -> Answer<Acquired> {
    let batch = Batch { claims: vec![claim.clone()], ..Batch::default() };
    registry.commit(&batch).await.claims.remove(0)
}

pub(crate) async fn renew(registry: &RedisRegistry, card: &SessionCard) -> Answer<Renewed> {
    let renewals = vec![Renewal { card: card.clone(), facts: Facts::default() }];
    registry.commit(&Batch { renewals, ..Batch::default() }).await.renewals.remove(0)
}

pub(crate) async fn release(registry: &RedisRegistry, card: &SessionCard) -> Answer<Released> {
    let release = Release { card: card.clone(), facts: Facts::default(), reason: EndReason::Unpublished };
    let batch = Batch { releases: vec![release], ..Batch::default() };
    registry.commit(&batch).await.releases.remove(0)
}

/// Claims again and again until the grant is confirmed.
pub(crate) async fn granted(registry: &RedisRegistry, claim: &Claim) -> SessionCard {
    until("a confirmed grant", || async {
        match acquire(registry, claim).await {
            Ok(Confirmed { answer: Acquired::Granted(grant), confirmed: true }) => Some(grant.card),
            _ => None,
        }
    })
    .await
}

/// Asks until there is an answer.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
