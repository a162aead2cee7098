//! The panics themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::live_key::LiveKeySigner;
use onair_cluster::nodes::LocalNodes;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{
    Acquired, Batch, Claim, KeyRecord, LeaseTimes, Registry, Release, Renewal, Takeover,
};
use onair_cluster::{Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionId, Shard, UnixMs};
use tempfile::TempDir;

use super::Point;
use crate::core::Core;
use crate::island::{self, Shore};
use crate::live_db::SqliteLiveDb;
use crate::parts::{AdminToken, ManagerParts, NodeStatus, RegistryLife};
use crate::{ManagerConfig, ManagerMetrics};

struct World {
    core: Arc<Core>,
    registry: Arc<LocalRegistry>,
    shore: Shore,
    _dir: TempDir,
}

async fn start() -> World {
    let dir = tempfile::tempdir().unwrap();
    let live_db = Arc::new(SqliteLiveDb::open(dir.path()).await.unwrap());
    let registry = Arc::new(LocalRegistry::new(LeaseTimes::default()));
    let mut prometheus = prometheus_client::registry::Registry::default();
    let metrics = ManagerMetrics::register(&mut prometheus);
    let parts = ManagerParts {
        registry: Arc::clone(&registry) as Arc<dyn Registry>,
        registry_life: RegistryLife::OurOwn,
        nodes: Arc::new(LocalNodes::default()),
        signer: LiveKeySigner::generate("onair").unwrap(),
        issuers: Vec::new(),
        admin_token: AdminToken::new("0123456789abcdef").unwrap(),
        metrics,
        prometheus: Arc::new(prometheus),
        node_status: Arc::new(|| NodeStatus { ready: true, state: String::new(), degraded: vec![] }),
    };
    let node = NodeId::parse("node-1").unwrap();
    let http = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ManagerConfig::new(http, dir.path().into(), "localhost".to_owned(), node);
    let core = Arc::new(Core::new(config, parts, live_db));
    let shore = island::spawn(Arc::clone(&core)).await.unwrap();
    World { core, registry, shore, _dir: dir }
}

/// A session from grant to end; its id.
async fn come_and_go(registry: &LocalRegistry, n: usize) -> SessionId {
    let room = RoomId::parse(&format!("room-{n}")).unwrap();
    let key = LiveKeyId::random(&room);
    let record = KeyRecord {
        live_key_id: key.clone(),
        room_id: room.clone(),
        producer_id: ProducerId::parse("p").unwrap(),
        takeover: Takeover::Idle,
        max_duration: None,
        max_bitrate: None,
        revoked: false,
        expires_at: UnixMs::now().plus(Duration::from_secs(60)),
    };
    registry.put_key(&record).await.unwrap();
    let session_id = SessionId::random();
    let claim = Claim {
        session_id,
        room_id: room,
        live_key_id: key,
        node_id: NodeId::parse("node-1").unwrap(),
        client_addr: "127.0.0.1".parse().unwrap(),
        client_agent: String::new(),
        issued: None,
    };
    let reply = registry.commit(&Batch { claims: vec![claim], ..Batch::default() }).await;
    let Ok(Acquired::Granted(grant)) = reply.claims.into_iter().next().unwrap().map(|c| c.answer) else {
        panic!("not granted");
    };
    let facts = Facts { live_at: Some(UnixMs::now()), ..Facts::default() };
    let renewal = Renewal { card: grant.card.clone(), facts: facts.clone() };
    registry.commit(&Batch { renewals: vec![renewal], ..Batch::default() }).await;
    let release = Release { card: grant.card, facts, reason: EndReason::Unpublished };
    registry.commit(&Batch { releases: vec![release], ..Batch::default() }).await;
    session_id
}

async fn stored(world: &World) {
    let mut progress = world.core.stored.subscribe();
    loop {
        progress.borrow_and_update();
        let mut left = 0;
        for shard in Shard::all() {
            left += world.registry.events(shard, 1_000).await.unwrap().len();
        }
        if left == 0 {
            return;
        }
        tokio::time::timeout(Duration::from_secs(30), progress.changed()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_panic_of_the_actor_or_a_child_loses_no_event_and_repeats_none() {
    let world = start().await;
    let mut sessions = Vec::new();
    // A lane reconciles at its start, so another fall comes first.
    let rounds: [&[Point]; 4] = [
        &[Point::InHandler],
        &[Point::BeforeCommit],
        &[Point::AfterCommit],
        &[Point::InBeat, Point::InReconcile],
    ];
    let mut falls = 0;
    for (n, points) in rounds.into_iter().enumerate() {
        points.iter().for_each(|point| world.core.seam.arm(*point, 1));
        falls += points.len() as u64;
        // Rooms of all shards: many lanes are at work when the actor falls.
        for m in 0..150 {
            sessions.push(come_and_go(&world.registry, n * 1_000 + m).await);
        }
        let all_fell = async {
            while world.core.metrics.actor_restarts.get() < falls {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all_fell).await.unwrap();
        stored(&world).await;
        assert!(world.core.seam.is_disarmed(), "{points:?}: not met");
        assert!(world.core.fell_lately(), "a fall is shown");
        // Ownership lives outside the actor: no shard was lost with it.
        assert_eq!(world.core.ownership.terms().len(), usize::from(Shard::COUNT));
    }
    assert_eq!(world.core.metrics.actor_restarts.get(), falls);
    assert_eq!(world.core.metrics.terms_fenced.get(), 0);
    assert!(!*world.shore.ended.borrow());
    let mut told = Vec::new();
    for shard in Shard::all() {
        told.extend(world.core.live_db.feed(shard, 0, 10_000).await.unwrap());
    }
    assert_eq!(told.len(), 2 * sessions.len());
    for session in sessions {
        let ours: Vec<_> = told.iter().filter(|row| row.event_id.starts_with(&session.to_string())).collect();
        assert_eq!(ours.len(), 2);
        assert!(ours[0].kind.contains("started") && ours[1].kind.contains("ended"));
        let row = world.core.live_db.session(&session).await.unwrap().unwrap();
        assert_eq!(row.end.unwrap().reason, EndReason::Unpublished);
    }
}

#[tokio::test]
async fn an_actor_that_falls_again_and_again_ends_the_island() {
    let world = start().await;
    world.core.seam.arm(Point::InHandler, 100);
    come_and_go(&world.registry, 1).await;
    let mut ended = world.shore.ended;
    let is_over = ended.wait_for(|is_ended| *is_ended);
    tokio::time::timeout(Duration::from_secs(30), is_over).await.unwrap().unwrap();
    assert_eq!(world.core.metrics.actor_restarts.get(), 6);
    drop(world.shore.stop);
}
