//! Primaries that die, freeze and come back: claims go on at the new primary, and what an old one says is never confirmed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::Duration;

use onair_cluster::registry::redis::RedisRegistry;
use onair_cluster::registry::{Acquired, Confirmed, Registry, Renewed};
use onair_testkit::redis::{Cluster, Replicated, Server};
use support::redis::{
    acquire, claim, cluster_url, connect, granted, open_all, put_key, renew, room, sentinel_url, until,
};

/// What the primary suffers, and how it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Freeze,
}

/// Whether a replica is left when one has taken over.
#[derive(Clone, Copy)]
enum Spare {
    None,
    One,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_sentinel_a_killed_primary_is_replaced() {
    let redis = Replicated::start(2, 3);
    let registry = connect(&sentinel_url(&redis)).await;
    survives(&registry, redis.primary(), Fault::Kill, Spare::One).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_sentinel_a_frozen_primary_is_replaced_and_not_believed_when_it_thaws() {
    let redis = Replicated::start(2, 3);
    let registry = connect(&sentinel_url(&redis)).await;
    survives(&registry, redis.primary(), Fault::Freeze, Spare::One).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_a_killed_primary_is_replaced_and_the_others_go_on() {
    let redis = Cluster::start(3, 3);
    let registry = connect(&cluster_url(&redis)).await;
    survives(&registry, redis.primary_of("{s49}:meta"), Fault::Kill, Spare::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_a_frozen_primary_is_replaced_and_not_believed_when_it_thaws() {
    let redis = Cluster::start(3, 3);
    let registry = connect(&cluster_url(&redis)).await;
    survives(&registry, redis.primary_of("{s49}:meta"), Fault::Freeze, Spare::None).await;
}

fn revive(primary: &Server, fault: Fault) {
    match fault {
        Fault::Kill => primary.restart(),
        Fault::Freeze => primary.thaw(),
    }
}

/// The room `demo` lives in shard 49.
async fn survives(registry: &RedisRegistry, primary: &Server, fault: Fault, spare: Spare) {
    open_all(registry).await;
    let demo = room("demo");
    assert_eq!(demo.shard().number(), 49);
    let key = put_key(registry, &demo).await;
    let ours = claim(&demo, &key, "a");
    let card = granted(registry, &ours).await;
    match fault {
        Fault::Kill => primary.kill(),
        Fault::Freeze => primary.freeze(),
    }
    // The first call may wait for an answer that never comes; after it nobody waits.
    let _ = renew(registry, &card).await;
    // A replica of a Cluster's primary takes over and is alone: it answers, and nobody confirms.
    if matches!(spare, Spare::None) {
        until("an answer", || async { renew(registry, &card).await.ok() }).await;
        revive(primary, fault);
    }
    // The holder comes back, confirmed by the new primary's replica, with what it had.
    until("a confirmed renewal", || async {
        match renew(registry, &card).await {
            Ok(Confirmed { answer, confirmed: true }) => {
                assert!(matches!(answer, Renewed::Kept { .. }), "{answer:?}");
                Some(())
            }
            _ => None,
        }
    })
    .await;
    assert_eq!(granted(registry, &ours).await, card);
    let events = registry.events(demo.shard(), 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.kind.name()).collect::<Vec<_>>(), ["granted"]);
    if matches!(spare, Spare::One) {
        revive(primary, fault);
    }
    // Whoever meets the old primary first is not taken in: for a while every confirmed answer is the new one's.
    for _ in 0..20 {
        if let Ok(Confirmed { answer, confirmed: true }) = renew(registry, &card).await {
            assert!(matches!(answer, Renewed::Kept { .. }), "{answer:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let other = room("room-42");
    let key = put_key(registry, &other).await;
    granted(registry, &claim(&other, &key, "a")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_that_finds_a_thawed_primary_believes_nothing_it_says() {
    let redis = Replicated::start(2, 3);
    let registry = connect(&sentinel_url(&redis)).await;
    open_all(&registry).await;
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    // The primary is alone: it answers, and nobody confirms. The same on a connection that has written nothing before, since
    // every step of the scripts writes.
    let ours = claim(&demo, &key, "a");
    for replica in redis.replicas() {
        replica.freeze();
    }
    let alone = acquire(&registry, &ours).await;
    assert!(matches!(alone, Ok(Confirmed { answer: Acquired::Granted(_), confirmed: false })), "{alone:?}");
    let other = connect(&sentinel_url(&redis)).await;
    let again = acquire(&other, &ours).await;
    assert!(matches!(again, Ok(Confirmed { answer: Acquired::Granted(_), confirmed: false })), "{again:?}");
    assert!(!other.lease(&demo).await.unwrap().unwrap().confirmed);
    for replica in redis.servers().iter().filter(|server| server.port() != redis.primary().port()) {
        replica.thaw();
    }
    granted(&other, &ours).await;
    assert!(other.lease(&demo).await.unwrap().unwrap().confirmed);
}
