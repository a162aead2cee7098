//! How many lifecycle events a second the SQLite Live DB takes, by the size of the batch: each batch is one transaction and
//! one fsync, so small ones measure the disk and large ones the work.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench is no interface, and says by panicking that it cannot go on"
)]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use onair_cluster::events::EndReason;
use onair_cluster::nodes::Incarnation;
use onair_cluster::{
    Epoch, Event, EventKind, Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, UnixMs,
};
use onair_manager::live_db::{Ledger, ManagerId, Owners, SqliteLiveDb};

/// `sessions` whole sessions: granted, live, ended.
fn sessions(count: u64, epoch: &mut u64) -> Vec<Event> {
    let mut events = Vec::new();
    for n in 0..count {
        *epoch += 1;
        let room_id = RoomId::parse(&format!("room-{}", n % 1_000)).unwrap();
        let card = SessionCard {
            session_id: SessionId::random(),
            live_key_id: LiveKeyId::random(&room_id),
            producer_id: ProducerId::parse(&format!("p-{}", n % 1_000)).unwrap(),
            epoch: Epoch(*epoch),
            node_id: NodeId::parse("node-1").unwrap(),
            client_addr: "192.0.2.7".parse().unwrap(),
            client_agent: "bench".to_owned(),
            granted_at: UnixMs::now(),
            room_id,
        };
        let at = card.granted_at;
        let facts = Facts { live_at: Some(at), last_media_at: Some(at), ..Facts::default() };
        let ended = EventKind::Ended { reason: EndReason::Unpublished, ended_at: at };
        for (kind, facts) in
            [(EventKind::Granted, Facts::default()), (EventKind::Live, facts.clone()), (ended, facts.clone())]
        {
            let shard = card.room_id.shard();
            events.push(Event { n: 1, shard, at, kind, session: card.clone(), facts });
        }
    }
    events
}

fn apply(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let live_db = runtime.block_on(SqliteLiveDb::open(dir.path())).unwrap();
    let me = ManagerId { node_id: NodeId::parse("node-1").unwrap(), incarnation: Incarnation::random() };
    let terms = runtime.block_on(live_db.beat(&me, Duration::from_secs(600))).unwrap().shards;
    let mut epoch = 0;
    let mut group = c.benchmark_group("apply");
    group.measurement_time(Duration::from_secs(5)).sample_size(10);
    for count in [1_u64, 20, 340] {
        group.throughput(Throughput::Elements(3 * count));
        group.bench_with_input(BenchmarkId::from_parameter(3 * count), &count, |b, &count| {
            b.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let events = sessions(count, &mut epoch);
                    let began = Instant::now();
                    runtime.block_on(live_db.apply(&terms, &events, UnixMs::now())).unwrap();
                    took += began.elapsed();
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
