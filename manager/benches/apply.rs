//! How many lifecycle events a second each Live DB takes: batches of 1, 16 and 256 events, by one lane, and by eight at once.
//! Each batch is one transaction and one flush to disk, so small ones measure the disk and large ones the work. Beside
//! PostgreSQL a shipper reads and marks what was written, as it does in a Manager.
//!
//! `cargo bench -p onair-manager --bench apply`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench is no interface, and says by panicking that it cannot go on"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_cluster::events::EndReason;
use onair_cluster::nodes::Incarnation;
use onair_cluster::{
    Epoch, Event, EventKind, Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, Shard,
    UnixMs,
};
use onair_manager::live_db::{LiveDb, ManagerId, PostgresLiveDb, PostgresOptions, ShardTerm, SqliteLiveDb};
use onair_testkit::postgres::Postgres;

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(5);
/// Messages that a shipper marks at once.
const WINDOW: usize = 500;

/// An endless row of whole sessions, in rooms of one shard.
struct Source {
    rooms: Vec<RoomId>,
    next: u64,
    ready: Vec<Event>,
}

impl Source {
    fn new(shard: Shard) -> Self {
        let rooms = (0..).map(|n| RoomId::parse(&format!("room-{n}")).unwrap());
        let rooms = rooms.filter(|room| room.shard() == shard).take(50).collect();
        Self { rooms, next: 0, ready: Vec::new() }
    }

    fn take(&mut self, count: usize) -> Vec<Event> {
        while self.ready.len() < count {
            self.next += 1;
            let room = self.rooms[usize::try_from(self.next).unwrap() % self.rooms.len()].clone();
            self.ready.extend(session(room, self.next));
        }
        self.ready.drain(..count).collect()
    }
}

/// Granted, live, ended.
fn session(room_id: RoomId, epoch: u64) -> [Event; 3] {
    let card = SessionCard {
        session_id: SessionId::random(),
        live_key_id: LiveKeyId::random(&room_id),
        producer_id: ProducerId::parse(&format!("p-{room_id}")).unwrap(),
        epoch: Epoch(epoch),
        node_id: NodeId::parse("node-1").unwrap(),
        client_addr: "192.0.2.7".parse().unwrap(),
        client_agent: "bench".to_owned(),
        granted_at: UnixMs::now(),
        room_id,
    };
    let (at, shard) = (card.granted_at, card.room_id.shard());
    let facts = Facts { live_at: Some(at), last_media_at: Some(at), ..Facts::default() };
    let ended = EventKind::Ended { reason: EndReason::Unpublished, ended_at: at };
    [(EventKind::Granted, Facts::default()), (EventKind::Live, facts.clone()), (ended, facts)]
        .map(|(kind, facts)| Event { n: 1, shard, at, kind, session: card.clone(), facts })
}

/// Applies batches until time is up; how many events went in.
async fn lane(db: Arc<dyn LiveDb>, owned: ShardTerm, batch: usize, until: Instant) -> usize {
    let mut source = Source::new(owned.shard);
    let mut applied = 0;
    while Instant::now() < until {
        let events = source.take(batch);
        db.apply(&[owned], &events, UnixMs::now()).await.unwrap();
        applied += batch;
    }
    applied
}

/// Reads and marks messages until time is up; how many.
async fn ship(db: Arc<dyn LiveDb>, owned: ShardTerm, until: Instant) -> usize {
    let mut shipped = 0;
    while Instant::now() < until {
        let rows = db.unshipped(owned.shard, WINDOW).await.unwrap();
        if rows.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        db.mark_shipped(owned, &seqs, UnixMs::now()).await.unwrap();
        shipped += seqs.len();
    }
    shipped
}

async fn measure(store: &str, db: &Arc<dyn LiveDb>, batch: usize, lanes: usize, with_shippers: bool) {
    let me = ManagerId { node_id: NodeId::parse("node-1").unwrap(), incarnation: Incarnation::random() };
    let owned = db.beat(&me, Duration::from_secs(600)).await.unwrap().shards;
    let owned = &owned[..lanes];
    let began = Instant::now();
    let until = began + TIME;
    let work: Vec<_> =
        owned.iter().map(|owned| tokio::spawn(lane(Arc::clone(db), *owned, batch, until))).collect();
    let ships: Vec<_> = owned
        .iter()
        .filter(|_| with_shippers)
        .map(|owned| tokio::spawn(ship(Arc::clone(db), *owned, until)))
        .collect();
    let (mut applied, mut shipped) = (0, 0);
    for lane in work {
        applied += lane.await.unwrap();
    }
    for ship in ships {
        shipped += ship.await.unwrap();
    }
    let a_second = |count: usize| count as f64 / began.elapsed().as_secs_f64();
    println!(
        "{store:<10} batch {batch:>3}, {lanes} lane(s){}: {:>7.0} events/s applied{}",
        if with_shippers { ", shipping" } else { "" },
        a_second(applied),
        if with_shippers { format!(", {:.0} messages/s shipped", a_second(shipped)) } else { String::new() },
    );
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Postgres::start();
    for batch in [1, 16, 256] {
        for lanes in [1, 8] {
            runtime.block_on(async {
                // A fresh store each time, so that no figure depends on the one before.
                let dir = tempfile::tempdir().unwrap();
                let sqlite: Arc<dyn LiveDb> = Arc::new(SqliteLiveDb::open(dir.path()).await.unwrap());
                measure("SQLite", &sqlite, batch, lanes, false).await;
                sqlite.close().await;
                for with_shippers in [false, true] {
                    let url = server.url(&server.create_database());
                    let options = PostgresOptions::new(url, "onair".to_owned());
                    let postgres: Arc<dyn LiveDb> = Arc::new(PostgresLiveDb::open(&options).await.unwrap());
                    measure("PostgreSQL", &postgres, batch, lanes, with_shippers).await;
                    postgres.close().await;
                }
            });
        }
    }
}
