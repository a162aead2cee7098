//! A Manager with a Kafka to ship to, and broadcasts that come and go on a registry of its own.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::events::{AudioFacts, EndReason, VideoFacts};
use onair_cluster::live_key::LiveKeySigner;
use onair_cluster::nodes::LocalNodes;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{
    Acquired, Batch, Claim, KeyRecord, LeaseTimes, Registry, Release, Renewal, Takeover,
};
use onair_cluster::{Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, Shard, UnixMs};
use onair_manager::kafka::{IfMissing, KafkaSettings, Security};
use onair_manager::live_db::{LiveDb, OutboxRow, PostgresLiveDb, PostgresOptions, SqliteLiveDb};
use onair_manager::{
    AdminToken, ManagerConfig, ManagerError, ManagerHandle, ManagerMetrics, ManagerParts, NodeStatus,
    RegistryLife,
};
use onair_testkit::kafka::{Kafka, Record};
use tempfile::TempDir;

/// The topic of each test is its own, so that tests may share a broker.
pub(crate) fn settings(brokers: &str, topic: &str) -> KafkaSettings {
    KafkaSettings {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        if_missing: IfMissing::Create { partitions: 3, replication: Some(1) },
        security: Security::default(),
    }
}

/// A running Manager.
pub(crate) struct Manager {
    pub(crate) handle: ManagerHandle,
    pub(crate) registry: Arc<LocalRegistry>,
    pub(crate) live_db: Arc<dyn LiveDb>,
    pub(crate) home: TempDir,
}

impl Manager {
    pub(crate) async fn start(kafka: KafkaSettings) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), Some(kafka)).await
    }

    /// On what an earlier one left in `home`.
    pub(crate) async fn start_in(home: TempDir, kafka: Option<KafkaSettings>) -> Self {
        Self::launch(home, kafka).await.unwrap()
    }

    pub(crate) async fn try_start(kafka: KafkaSettings) -> Result<(), ManagerError> {
        Self::launch(tempfile::tempdir().unwrap(), Some(kafka)).await.map(|_| ())
    }

    async fn launch(home: TempDir, kafka: Option<KafkaSettings>) -> Result<Self, ManagerError> {
        let live_db = Arc::new(SqliteLiveDb::open(home.path()).await.unwrap());
        Self::launch_on(live_db, home, kafka).await
    }

    /// On a PostgreSQL.
    pub(crate) async fn start_on(postgres: &str, kafka: KafkaSettings) -> Self {
        let options = PostgresOptions::new(postgres.to_owned(), "onair".to_owned());
        let live_db = Arc::new(PostgresLiveDb::open(&options).await.unwrap());
        Self::launch_on(live_db, tempfile::tempdir().unwrap(), Some(kafka)).await.unwrap()
    }

    async fn launch_on(
        live_db: Arc<dyn LiveDb>,
        home: TempDir,
        kafka: Option<KafkaSettings>,
    ) -> Result<Self, ManagerError> {
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
        let config = ManagerConfig::new(http, home.path().into(), "localhost".to_owned(), node);
        let config = ManagerConfig { kafka, ..config };
        let handle = onair_manager::start_on(config, parts, Arc::clone(&live_db));
        Ok(Self { handle: handle.await?, registry, live_db, home })
    }

    /// Stops it and returns its files.
    pub(crate) async fn stop(self, patience: Duration) -> TempDir {
        let Self { handle, home, .. } = self;
        handle.stop(patience).await;
        home
    }

    /// A broadcast of `room`, from its start to its end.
    pub(crate) async fn broadcast(&self, room: &str) -> String {
        self.broadcast_of(room, "h264").await
    }

    /// The same with another codec.
    pub(crate) async fn broadcast_of(&self, room: &str, codec: &str) -> String {
        let live = Live::start(&self.registry, room, codec).await;
        live.end(&self.registry, EndReason::Unpublished).await
    }

    /// All messages of the outbox, by shard and number.
    pub(crate) async fn outbox(&self) -> Vec<OutboxRow> {
        let mut all = Vec::new();
        for shard in Shard::all() {
            all.extend(self.live_db.feed(shard, 0, 100_000).await.unwrap());
        }
        all
    }

    /// Waits until `count` messages are in the outbox and none of them waits for Kafka.
    pub(crate) async fn shipped(&self, count: usize) -> Vec<OutboxRow> {
        eventually("all messages to be shipped", async || {
            let outbox = self.outbox().await;
            outbox.len() == count && outbox.iter().all(|row| row.shipped_at.is_some())
        })
        .await;
        self.outbox().await
    }

    /// Waits until `count` messages are in the outbox, shipped or not.
    pub(crate) async fn written(&self, count: usize) {
        eventually("all messages to be written", async || self.outbox().await.len() == count).await;
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// What `/readyz` says does not work.
    pub(crate) fn degraded(&self) -> Vec<String> {
        let json: serde_json::Value = serde_json::from_str(&self.get("/readyz")).unwrap();
        let names = json["degraded"].as_array().unwrap();
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.handle.http_addr());
        ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
    }
}

/// A session that is live.
pub(crate) struct Live {
    card: SessionCard,
    facts: Facts,
}

impl Live {
    pub(crate) async fn start(registry: &LocalRegistry, room: &str, codec: &str) -> Self {
        let room: RoomId = room.parse().unwrap();
        let key = LiveKeyId::random(&room);
        let record = KeyRecord {
            live_key_id: key.clone(),
            room_id: room.clone(),
            producer_id: ProducerId::parse(&format!("p-{room}")).unwrap(),
            takeover: Takeover::Idle,
            max_duration: None,
            max_bitrate: None,
            revoked: false,
            expires_at: UnixMs::now().plus(Duration::from_secs(3_600)),
        };
        registry.put_key(&record).await.unwrap();
        let claim = Claim {
            session_id: SessionId::random(),
            room_id: room,
            live_key_id: key,
            node_id: NodeId::parse("node-1").unwrap(),
            client_addr: "192.0.2.7".parse().unwrap(),
            client_agent: "obs 30".to_owned(),
            issued: None,
        };
        let reply = registry.commit(&Batch { claims: vec![claim], ..Batch::default() }).await;
        let Ok(Acquired::Granted(grant)) = reply.claims.into_iter().next().unwrap().map(|c| c.answer) else {
            panic!("not granted");
        };
        let now = UnixMs::now();
        let facts = Facts {
            live_at: Some(now),
            last_media_at: Some(now),
            bytes_in: 1_000,
            video: Some(VideoFacts {
                codec: codec.to_owned(),
                width: Some(1280),
                height: Some(720),
                fps: Some(30.0),
            }),
            audio: Some(AudioFacts { codec: "aac".to_owned(), sample_rate: Some(48_000), channels: Some(2) }),
            ..Facts::default()
        };
        let renewal = Renewal { card: grant.card.clone(), facts: facts.clone() };
        registry.commit(&Batch { renewals: vec![renewal], ..Batch::default() }).await;
        Self { card: grant.card, facts }
    }

    /// Ends it. Returns its id.
    pub(crate) async fn end(self, registry: &LocalRegistry, reason: EndReason) -> String {
        let id = self.card.session_id.to_string();
        let release = Release { card: self.card, facts: self.facts, reason };
        registry.commit(&Batch { releases: vec![release], ..Batch::default() }).await;
        id
    }
}

/// Compares the topic with the outbox: nothing is missing or foreign, and without repeats each room is told in the outbox's order.
/// Returns how many repeats there were.
pub(crate) fn compare(outbox: &[OutboxRow], records: &[Record]) -> usize {
    let mut seen = HashSet::new();
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut partitions: BTreeMap<&str, i32> = BTreeMap::new();
    for record in records {
        let (id, room) = (record.header("ce_id"), record.header("ce_subject"));
        assert_eq!(record.key.as_deref(), Some(room));
        assert_eq!(*partitions.entry(room).or_insert(record.partition), record.partition, "{room}");
        if seen.insert(id) {
            told.entry(room).or_default().push(id);
        }
    }
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in outbox {
        expected.entry(row.room_id.as_str()).or_default().push(&row.event_id);
    }
    assert_eq!(told, expected);
    let sequences = |room: &str| {
        let of_room = records.iter().filter(move |record| record.header("ce_subject") == room);
        let mut all: Vec<_> = of_room.map(|record| record.header("ce_sequence").to_owned()).collect();
        all.dedup();
        all
    };
    if seen.len() == records.len() {
        for room in told.keys() {
            assert!(sequences(room).is_sorted(), "{room}");
        }
    }
    records.len() - seen.len()
}

/// All that is in `topic` now.
pub(crate) fn records(kafka: &Kafka, topic: &str) -> Vec<Record> {
    kafka.read(topic).rest()
}

/// Waits for a condition that nobody announces; generous, since only a failure waits that long.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < patience, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
