//! One PostgreSQL, one registry, and Managers that come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use onair_cluster::live_key::LiveKeySigner;
use onair_cluster::nodes::LocalNodes;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{LeaseTimes, Registry};
use onair_cluster::{NodeId, RoomId, SessionCard, Shard, UnixMs};
use onair_manager::live_db::{Ledger, Outbox, PostgresLiveDb, PostgresOptions};
use onair_manager::{
    AdminToken, ManagerConfig, ManagerHandle, ManagerMetrics, ManagerParts, NodeStatus, RegistryLife,
};
use onair_testkit::postgres::Postgres;
use serde_json::Value;

use crate::frozen::{Gated, Ice};

const TOKEN: &str = "a-test-token-of-32-characters-ok";
/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) server: Arc<Postgres>,
    database: String,
    pub(crate) registry: Arc<LocalRegistry>,
    /// The test's own view.
    pub(crate) live_db: PostgresLiveDb,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(shared_server()).await
    }

    pub(crate) async fn on(server: Arc<Postgres>) -> Self {
        let database = server.create_database();
        let registry = LocalRegistry::start(LeaseTimes::default());
        let live_db = PostgresLiveDb::open(&options(&server, &database)).await.unwrap();
        Self { server, database, registry, live_db }
    }

    pub(crate) async fn manager(&self, name: &str) -> Running {
        self.manager_on(name, Arc::clone(&self.registry) as Arc<dyn Registry>).await
    }

    pub(crate) async fn manager_on(&self, name: &str, registry: Arc<dyn Registry>) -> Running {
        let (ice, live_db) = Ice::open(options(&self.server, &self.database)).await;
        let mut prometheus = prometheus_client::registry::Registry::default();
        let metrics = ManagerMetrics::register(&mut prometheus);
        let parts = ManagerParts {
            registry: Arc::new(Gated { inner: registry, gate: Arc::clone(&ice.gate) }),
            registry_life: RegistryLife::Shared,
            nodes: Arc::new(LocalNodes::default()),
            signer: LiveKeySigner::generate("onair").unwrap(),
            issuers: Vec::new(),
            admin_token: AdminToken::new(TOKEN).unwrap(),
            metrics,
            prometheus: Arc::new(prometheus),
            node_status: Arc::new(|| NodeStatus {
                ready: true,
                state: "serving".to_owned(),
                degraded: vec![],
            }),
        };
        let http = SocketAddr::from(([127, 0, 0, 1], 0));
        let node_id = NodeId::parse(name).unwrap();
        let config = ManagerConfig::new(http, "unused".into(), "localhost".to_owned(), node_id);
        let handle = onair_manager::start_on(config, parts, Arc::new(live_db)).await.unwrap();
        let base = format!("http://{}", handle.http_addr());
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Running { handle: Some(handle), ice, base, agent }
    }

    /// Waits until every event is stored and acknowledged.
    pub(crate) async fn all_read(&self) {
        eventually("the last event to be stored", async || self.unread().await == 0).await;
    }

    pub(crate) async fn unread(&self) -> usize {
        let mut unread = 0;
        for shard in Shard::all() {
            unread += self.registry.events(shard, 10_000).await.unwrap().len();
        }
        unread
    }

    /// For how long the oldest unread event has waited.
    pub(crate) async fn lag(&self) -> Duration {
        let mut oldest = UnixMs::now();
        for shard in Shard::all() {
            let first = self.registry.events(shard, 1).await.unwrap();
            oldest = first.first().map_or(oldest, |event| oldest.min(event.at));
        }
        Duration::from_millis(UnixMs::now().since(oldest))
    }

    /// Every session of every room was told of once, in order, and is on record with its end.
    pub(crate) async fn check(&self, rooms: &BTreeMap<RoomId, Vec<SessionCard>>) {
        self.all_read().await;
        let mut told: BTreeMap<RoomId, Vec<String>> = BTreeMap::new();
        for shard in Shard::all() {
            let rows = self.live_db.feed(shard, 0, 1_000_000).await.unwrap();
            assert!(rows.iter().map(|row| row.seq).eq(1..=rows.len() as u64), "gaps in shard {shard}");
            for row in rows {
                told.entry(row.room_id).or_default().push(row.event_id);
            }
        }
        let mut sessions = 0;
        for (room, cards) in rooms {
            sessions += cards.len();
            let expected: Vec<_> = cards
                .iter()
                .flat_map(|card| ["live", "ended"].map(|kind| format!("{}/{kind}", card.session_id)))
                .collect();
            assert_eq!(told.remove(room).unwrap_or_default(), expected, "{room}");
            let last = cards.last().unwrap();
            let row = self.live_db.session(&last.session_id).await.unwrap().unwrap();
            assert!(row.end.is_some() && row.card == *last);
        }
        assert!(told.is_empty(), "told of others: {told:?}");
        println!("{sessions} sessions in {} rooms, each told once and in order", rooms.len());
    }
}

/// One server for all tests that run at the same time; it ends with the last of them.
fn shared_server() -> Arc<Postgres> {
    static SERVER: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    server.upgrade().unwrap_or_else(|| {
        let new = Arc::new(Postgres::start());
        *server = Arc::downgrade(&new);
        new
    })
}

fn options(server: &Postgres, database: &str) -> PostgresOptions {
    let mut options = PostgresOptions::new(server.url(database), "onair".to_owned());
    options.connections_max = 6;
    options
}

/// A Manager at work.
pub(crate) struct Running {
    handle: Option<ManagerHandle>,
    pub(crate) ice: Ice,
    base: String,
    agent: ureq::Agent,
}

impl Running {
    /// Status, answer, and how long it took.
    pub(crate) fn get(&self, path: &str) -> (u16, Value, Duration) {
        let began = Instant::now();
        let request = self.agent.get(format!("{}{path}", self.base));
        let mut answer = request.header("authorization", format!("Bearer {TOKEN}")).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (answer.status().as_u16(), json, began.elapsed())
    }

    /// How the Manager fares, as `/readyz` says.
    pub(crate) fn fares(&self) -> Value {
        self.get("/readyz").1["manager"].clone()
    }

    pub(crate) fn owned(&self) -> u64 {
        self.fares()["shards_owned"].as_u64().unwrap()
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let Value::String(text) = self.get("/metrics").1 else { return 0.0 };
        let line = text.lines().find(|line| line.starts_with(&format!("onair_manager_{name} ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    }

    pub(crate) async fn stop(mut self) {
        self.handle.take().unwrap().stop(Duration::from_secs(5)).await;
    }

    /// Nothing is finished, nothing given up.
    pub(crate) fn kill(mut self) {
        drop(self.handle.take());
    }
}

pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}
