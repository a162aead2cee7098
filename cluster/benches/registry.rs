//! What ownership costs: a claim, a renewal, a key checked, and a claim's way through the keeper.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on says so by panicking")]

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use onair_cluster::events::{EndReason, Facts};
use onair_cluster::ids::{NodeId, RoomId};
use onair_cluster::keeper::{Keeper, Policy};
use onair_cluster::live_key::LiveKeySigner;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::local::shard::ShardState;
use onair_cluster::registry::{Acquired, Batch, LeaseTimes, Registry, Release, Renewal};
use onair_cluster::time::UnixMs;
use support::{claim, record};

const NOW: UnixMs = UnixMs(1_800_000_000_000);

/// A shard with `rooms` rooms on air, and their renewals.
fn on_air(rooms: usize) -> (ShardState, Vec<Renewal>) {
    let mut shard = ShardState::new(RoomId::random().shard(), LeaseTimes::default(), usize::MAX);
    let facts = Facts { live_at: Some(NOW), last_media_at: Some(NOW), ..Facts::default() };
    let renewals = (0..rooms)
        .map(|_| {
            let key = record(&RoomId::random());
            shard.put_key(NOW, &key);
            let Acquired::Granted(grant) = shard.acquire(NOW, &claim(&key)) else { panic!("not granted") };
            Renewal { card: grant.card, facts: facts.clone() }
        })
        .collect();
    (shard, renewals)
}

fn shard(c: &mut Criterion) {
    c.bench_function("acquire and release a room, in a shard of 1000", |b| {
        let (mut shard, _) = on_air(1_000);
        let key = record(&RoomId::random());
        shard.put_key(NOW, &key);
        b.iter_batched(
            || claim(&key),
            |claim| {
                let Acquired::Granted(grant) = shard.acquire(NOW, &claim) else { panic!("not granted") };
                let (facts, reason) = (Facts::default(), EndReason::Unpublished);
                shard.release(NOW, &Release { card: grant.card, facts, reason });
                shard.acknowledge(u64::MAX);
            },
            BatchSize::SmallInput,
        );
    });
    c.bench_function("renew 256 leases, in a shard of 1000", |b| {
        let (mut shard, renewals) = on_air(1_000);
        let mut now = NOW;
        b.iter(|| {
            now.0 += 1;
            for renewal in &renewals[..256] {
                black_box(shard.renew(now, renewal));
            }
        });
    });
}

fn live_key(c: &mut Criterion) {
    let signer = LiveKeySigner::generate("onair").unwrap();
    let key = record(&RoomId::random());
    let (room, producer) = (&key.room_id, &key.producer_id);
    let token = signer.mint(room, producer, &key.live_key_id, NOW, UnixMs(NOW.0 + 60_000)).unwrap();
    let verifier = signer.verifier();
    c.bench_function("verify a live key", |b| {
        b.iter(|| verifier.verify(black_box(token.expose().as_bytes()), room.as_str(), NOW).unwrap());
    });
}

fn keeper(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registry = Arc::new(LocalRegistry::new(LeaseTimes::default()));
    let mut metrics = prometheus_client::registry::Registry::default();
    let keeper =
        Keeper::new(registry.clone(), NodeId::parse("node-1").unwrap(), Policy::default(), &mut metrics);
    let loop_ = keeper.clone();
    runtime.spawn(async move { loop_.run().await });
    let key = record(&RoomId::random());
    runtime.block_on(registry.put_key(&key)).unwrap();
    let shard = key.room_id.shard();
    c.bench_function("claim a room through the keeper, and end", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let lease = keeper.claim(claim(&key)).await.unwrap();
                lease.end(EndReason::Unpublished).await;
                registry.acknowledge(shard, u64::MAX).await.unwrap();
            });
        });
    });
    let renewals = on_air(1).1;
    let batch = Batch { renewals, ..Batch::default() };
    c.bench_function("one renewal through the registry's lock", |b| {
        b.iter(|| runtime.block_on(registry.commit(&batch)));
    });
}

criterion_group!(benches, shard, live_key, keeper);
criterion_main!(benches);
