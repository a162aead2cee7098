//! Two Managers on one PostgreSQL, and clients of the feed that hop between them: nothing is missed, nothing comes twice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::{Shard, UnixMs};
use onair_manager::live_db::{Outbox, OutboxRow, PostgresLiveDb, PostgresOptions};
use onair_testkit::postgres::Postgres;
use tokio::task::JoinSet;

use crate::listener::Listener;
use crate::support::{Api, Session, Setup, TOKEN};

/// One PostgreSQL, one registry, and whatever Managers are started on them.
struct Cluster {
    postgres: Postgres,
    url: String,
    registry: Arc<LocalRegistry>,
}

impl Cluster {
    fn start() -> Self {
        let postgres = Postgres::start();
        let url = postgres.url(&postgres.create_database());
        Self { postgres, url, registry: Setup::new().registry }
    }

    async fn live_db(&self) -> Arc<PostgresLiveDb> {
        let options = PostgresOptions::new(self.url.clone(), "onair".to_owned());
        Arc::new(PostgresLiveDb::open(&options).await.unwrap())
    }

    /// A Manager of this name at `http`.
    async fn manager(&self, node: &str, http: SocketAddr) -> Api {
        let registry = Arc::clone(&self.registry);
        let shared = Some(Arc::clone(&registry) as _);
        let setup = Setup { http, node: node.to_owned(), registry, shared, ..Setup::new() };
        setup.start_on(self.live_db().await).await.unwrap()
    }

    /// A broadcast in `room`, from its start to its end.
    async fn broadcast(&self, room: &str) {
        let session = Session::of_room(&self.registry, room, "ingest-1").await;
        session.live(&self.registry, UnixMs::now()).await.end(&self.registry, EndReason::Unpublished).await;
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// All messages there are, shard by shard.
async fn outbox(live_db: &dyn Outbox) -> Vec<OutboxRow> {
    let mut all = Vec::new();
    for shard in Shard::all() {
        all.extend(live_db.feed(shard, 0, 1_000_000).await.unwrap());
    }
    all
}

/// A client that stays with a Manager for a while and then goes to another one, until it has seen what is asked for.
struct Hopper {
    addrs: Vec<SocketAddr>,
    query: &'static str,
    last_id: Option<String>,
    seen: Vec<String>,
    hops: usize,
}

impl Hopper {
    async fn run(mut self, is_over: Arc<AtomicBool>) -> Self {
        // Nobody is left out at the end: the last round lasts until nothing has come for a while.
        while !is_over.load(Ordering::SeqCst) {
            let patience = Duration::from_millis(rand::random_range(1..80));
            self.visit(patience).await;
        }
        self.visit(Duration::from_secs(3)).await;
        self
    }

    /// Listens for `patience`, and goes away in the middle of whatever is said then.
    async fn visit(&mut self, patience: Duration) {
        let addr = self.addrs[self.hops % self.addrs.len()];
        self.hops += 1;
        let Some(mut listener) = Listener::try_open(addr, TOKEN, self.query, self.last_id.as_deref()).await
        else {
            return;
        };
        let until = tokio::time::Instant::now() + patience;
        while let Ok(Ok(Some(block))) = tokio::time::timeout_at(until, listener.try_block()).await {
            assert_ne!(block.event.as_deref(), Some("reset"), "{block:?}");
            if block.data.is_some() {
                self.seen.push(block.ce("id"));
            }
            self.last_id = block.id.or_else(|| self.last_id.take());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_hop_between_two_managers_and_miss_nothing_and_see_nothing_twice() {
    let cluster = Cluster::start();
    let (one, two) = (cluster.manager("m1", ANY_PORT).await, cluster.manager("m2", ANY_PORT).await);
    let (addr_one, addr_two) = (one.handle.http_addr(), two.handle.http_addr());
    let begin = Listener::begun(addr_one, TOKEN).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut hoppers = JoinSet::new();
    for n in 0..6 {
        let mut addrs = vec![addr_one, addr_two];
        addrs.rotate_left(n % 2);
        let query = if n < 4 { "" } else { "?room=room-7" };
        let hopper = Hopper { addrs, query, last_id: Some(begin.clone()), seen: Vec::new(), hops: 0 };
        hoppers.spawn(hopper.run(Arc::clone(&is_over)));
    }

    let began = std::time::Instant::now();
    let mut two = Some(two);
    for round in 0..60 {
        for room in 0..32 {
            cluster.broadcast(&format!("room-{room}")).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Twice, the second Manager stops and starts anew in the middle of it.
        if round == 20 || round == 40 {
            two.take().unwrap().handle.stop(Duration::from_secs(20)).await;
            two = Some(cluster.manager("m2", addr_two).await);
        }
    }
    one.stored().await;
    println!("60 rounds of 32 broadcasts in {:?}", began.elapsed());
    is_over.store(true, Ordering::SeqCst);

    let rows = outbox(&*one.live_db).await;
    assert_eq!(rows.len(), 60 * 32 * 2);
    let place: HashMap<&str, (&str, u64)> =
        rows.iter().map(|row| (row.event_id.as_str(), (row.room_id.as_str(), row.seq))).collect();
    while let Some(hopper) = hoppers.join_next().await {
        let Hopper { seen, hops, query, .. } = hopper.unwrap();
        println!("{} events in {hops} visits {query}", seen.len());
        let mut newest: HashMap<&str, u64> = HashMap::new();
        for id in &seen {
            let (room, seq) = place[id.as_str()];
            let before = newest.insert(room, seq);
            assert!(before < Some(seq), "{id} of {room} twice, or too late");
        }
        let wanted = if query.is_empty() { rows.len() } else { 60 * 2 };
        assert_eq!(seen.len(), wanted, "no repeats, so as many are all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_clients_of_every_manager_soon_after_its_commit() {
    let cluster = Cluster::start();
    let (one, two) = (cluster.manager("m1", ANY_PORT).await, cluster.manager("m2", ANY_PORT).await);
    let mut listeners = JoinSet::new();
    let ready = Arc::new(tokio::sync::Barrier::new(3));
    for (name, api) in [("one", &one), ("other", &two)] {
        let (addr, ready) = (api.handle.http_addr(), Arc::clone(&ready));
        listeners.spawn(async move {
            let mut listener = Listener::open(addr, TOKEN, "", None).await;
            while listener.last_id.is_none() {
                listener.block().await.unwrap();
            }
            ready.wait().await;
            let mut heard = Vec::new();
            for _ in 0..400 {
                let id = listener.event().await.ce("id");
                heard.push((id, UnixMs::now()));
            }
            (name, heard)
        });
    }
    ready.wait().await;
    for n in 0..200 {
        cluster.broadcast(&format!("room-{n}")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut all = Vec::new();
    while let Some(listener) = listeners.join_next().await {
        all.push(listener.unwrap());
    }
    // `created_at` is from before the transaction: this is commit and way together.
    let rows = outbox(&*one.live_db).await;
    let written: HashMap<_, _> = rows.iter().map(|row| (row.event_id.as_str(), row.created_at)).collect();
    for (name, heard) in all {
        let mut took: Vec<_> = heard.iter().map(|(id, at)| at.since(written[id.as_str()])).collect();
        took.sort_unstable();
        println!(
            "client of the {name} Manager: written to heard p50 {} ms, p99 {} ms, max {} ms",
            took[took.len() / 2],
            took[took.len() * 99 / 100],
            took[took.len() - 1]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_back_under_a_connected_client_resets_it() {
    let cluster = Cluster::start();
    let one = cluster.manager("m1", ANY_PORT).await;
    let mut listener = Listener::open(one.handle.http_addr(), TOKEN, "", None).await;
    while listener.last_id.is_none() {
        listener.block().await.unwrap();
    }
    cluster.broadcast("r").await;
    listener.event_ids(2).await;
    let database = cluster.url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    cluster
        .postgres
        .query(&database, "BEGIN; DELETE FROM outbox; UPDATE shard_owner SET last_seq = 0; COMMIT");
    let reset = listener.event().await;
    assert_eq!(reset.event.as_deref(), Some("reset"));
    assert_eq!(reset.data.unwrap()["reason"], "interrupted");
    cluster.broadcast("r").await;
    assert_eq!(listener.event_ids(2).await.len(), 2);
}
