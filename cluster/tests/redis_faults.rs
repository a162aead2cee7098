//! A Redis that is away, slow, emptied or has forgotten our scripts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::Duration;

use onair_cluster::events::{EndReason, EventKind};
use onair_cluster::keeper::{Keeper, Policy, Refusal};
use onair_cluster::lease::LeaseSignal;
use onair_cluster::registry::{Acquired, LeaseTimes, Order, Registry, RegistryError, Renewed, Ring};
use onair_testkit::proxy::Proxy;
use onair_testkit::redis::{Options, Redis};
use prometheus_client::registry::Registry as Metrics;
use support::redis::{acquire, claim, connect, granted, node, open_all, put_key, renew, room, until};
use support::signals;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_every_call_fails_at_once_and_all_go_on_after() {
    let redis = Redis::with(&Options::new().appendonly());
    let registry = connect(&redis.url()).await;
    open_all(&registry).await;
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let card = granted(&registry, &claim(&demo, &key, "a")).await;
    redis.kill();
    until("the loss to be noticed", || async { renew(&registry, &card).await.is_err().then_some(()) }).await;
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(renew(&registry, &card).await.err(), Some(RegistryError::Unreachable));
        assert_eq!(registry.lease(&demo).await, Err(RegistryError::Unreachable));
        assert_eq!(registry.tick(demo.shard(), 1).await.err(), Some(RegistryError::Unreachable));
    }
    println!("300 calls without a Redis: {:?}", started.elapsed());
    redis.restart();
    until("a renewal", || async { renew(&registry, &card).await.ok() }).await;
    assert_eq!(registry.lease(&demo).await.unwrap().unwrap().card, card);
    assert!(registry.is_whole());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_costs_one_call_its_patience_and_no_late_answer_is_taken_for_anothers() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.addr());
    let registry = connect(&redis.url_at(proxy.addr())).await;
    open_all(&registry).await;
    let (demo, other) = (room("demo"), room("other"));
    let key = put_key(&registry, &demo).await;
    let other_key = put_key(&registry, &other).await;
    let card = granted(&registry, &claim(&demo, &key, "a")).await;
    let other_card = granted(&registry, &claim(&other, &other_key, "a")).await;
    for _ in 0..3 {
        proxy.cut();
        assert_eq!(renew(&registry, &card).await.err(), Some(RegistryError::Unreachable));
        assert_eq!(registry.key(&key).await.err(), Some(RegistryError::Unreachable));
        proxy.heal();
        let lease = until("an answer", || async { registry.lease(&other).await.ok() }).await;
        assert_eq!(lease.unwrap().card, other_card);
        let found = until("an answer", || async { registry.key(&other_key).await.ok() }).await;
        assert_eq!(found.unwrap().room_id, other);
        until("a renewal", || async { renew(&registry, &card).await.ok() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_redis_has_forgotten_are_loaded_and_nobody_notices() {
    let redis = Redis::start();
    let registry = connect(&redis.url()).await;
    open_all(&registry).await;
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    for _ in 0..3 {
        redis.command(&["SCRIPT", "FLUSH"]);
        let card = granted(&registry, &claim(&demo, &key, "a")).await;
        redis.command(&["SCRIPT", "FLUSH"]);
        assert!(matches!(renew(&registry, &card).await.unwrap().answer, Renewed::Kept { .. }));
        redis.command(&["SCRIPT", "FLUSH"]);
        assert!(registry.tick(demo.shard(), 1).await.unwrap().is_loaded);
        support::redis::release(&registry, &card).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_lets_holders_back_first() {
    let redis = Redis::start();
    let registry = connect(&redis.url()).await;
    open_all(&registry).await;
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let card = granted(&registry, &claim(&demo, &key, "a")).await;
    redis.command(&["FLUSHALL"]);
    let newcomer = claim(&demo, &key, "b");
    assert_eq!(acquire(&registry, &newcomer).await.unwrap().answer, Acquired::Recovering);
    assert!(!registry.tick(demo.shard(), 1).await.unwrap().is_loaded);
    assert!(matches!(renew(&registry, &card).await.unwrap().answer, Renewed::Kept { .. }));
    assert_eq!(registry.lease(&demo).await.unwrap().unwrap().card, card);
    let record = support::redis::record(&demo);
    registry.put_key(&record).await.unwrap();
    registry.recovered(demo.shard(), false).await.unwrap();
    let newcomer = claim(&demo, &record.live_key_id, "b");
    assert!(matches!(acquire(&registry, &newcomer).await.unwrap().answer, Acquired::Busy { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bells_are_heard_again_after_their_connection_broke() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.addr());
    let registry = connect(&redis.url_at(proxy.addr())).await;
    let direct = connect(&redis.url()).await;
    open_all(&direct).await;
    let demo = room("demo");
    let key = put_key(&direct, &demo).await;
    let mut bell = registry.room_bell(&demo);
    let mut door = registry.doorbell(&node("a"));
    bell.rung.changed().await.unwrap();
    assert_eq!(door.recv().await, Some(Ring::All));
    proxy.reset();
    // Heard anew, so rung once: something may have been missed.
    bell.rung.changed().await.unwrap();
    assert_eq!(door.recv().await, Some(Ring::All));
    let card = granted(&direct, &claim(&demo, &key, "a")).await;
    bell.rung.changed().await.unwrap();
    let newcomer = claim(&demo, &key, "b");
    assert!(matches!(acquire(&direct, &newcomer).await.unwrap().answer, Acquired::Busy { .. }));
    assert_eq!(door.recv().await, Some(Ring::Room(demo.clone())));
    support::redis::release(&direct, &card).await.unwrap();
    bell.rung.changed().await.unwrap();
    drop(bell);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_given_while_nobody_hears_takes_effect_when_bells_are_heard_again() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.addr());
    let mut patient = support::redis::settings(&redis.url_at(proxy.addr()));
    // Nothing but a bell makes this node look within the time of the test.
    let hour = Duration::from_secs(3600);
    patient.times = LeaseTimes { ttl: 3 * hour, renew_every: hour, ..LeaseTimes::default() };
    let registry = support::redis::try_connect(&patient).await.unwrap();
    let direct = connect(&redis.url()).await;
    open_all(&direct).await;
    let demo = room("demo");
    let key = put_key(&direct, &demo).await;
    let keeper = Keeper::new(registry, node("a"), Policy::default(), &mut Metrics::default());
    let running = tokio::spawn({
        let keeper = keeper.clone();
        async move { keeper.run().await }
    });
    let lease = keeper.claim(claim(&demo, &key, "a")).await.unwrap();
    let mut signals = signals(&lease);
    proxy.refuse();
    let order = Order { reason: EndReason::EndedByApi, note: String::new() };
    direct.order(&demo, &order).await.unwrap().unwrap();
    assert!(!signals.has_changed().unwrap());
    proxy.heal();
    tokio::time::timeout(support::redis::PATIENCE, signals.changed()).await.unwrap().unwrap();
    assert_eq!(*signals.borrow(), LeaseSignal::Ordered(order));
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_a_thawed_redis_grants_to_nobody_is_given_back_to_the_next_who_asks() {
    let redis = Redis::start();
    let registry = connect(&redis.url()).await;
    open_all(&registry).await;
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let keeper = Keeper::new(registry.clone(), node("a"), Policy::default(), &mut Metrics::default());
    let running = tokio::spawn({
        let keeper = keeper.clone();
        async move { keeper.run().await }
    });
    // It has a connection, and has been asked before.
    drop(keeper.claim(claim(&room("other"), &put_key(&registry, &room("other")).await, "a")).await.unwrap());
    keeper.idle(support::redis::PATIENCE).await;
    redis.freeze();
    let lost = claim(&demo, &key, "a");
    assert_eq!(keeper.claim(lost.clone()).await.err(), Some(Refusal::Unreachable));
    // Asked about for as long as a grant from before could stand; then forgotten.
    assert_eq!(keeper.idle(support::redis::PATIENCE).await, 0);
    redis.thaw();
    let holder = until("the claim to be granted to nobody", || async {
        registry.lease(&demo).await.ok().flatten().map(|lease| lease.card.session_id)
    })
    .await;
    assert_eq!(holder, lost.session_id);
    let next = claim(&demo, &key, "a");
    let lease = keeper.claim(next.clone()).await.unwrap();
    assert_eq!(lease.card().session_id, next.session_id);
    let events = registry.events(demo.shard(), 10).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.session.session_id, event.kind.name())).collect();
    let expected = [(lost.session_id, "granted"), (lost.session_id, "ended"), (next.session_id, "granted")];
    assert_eq!(told, expected);
    assert!(matches!(events[1].kind, EventKind::Ended { reason: EndReason::Unconfirmed, .. }), "{events:?}");
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_memory_is_reconnected_to_and_renews() {
    let redis = Redis::with(&Options::new().appendonly());
    let registry = connect(&redis.url()).await;
    open_all(&registry).await;
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let card = granted(&registry, &claim(&demo, &key, "a")).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let renewed = until("a renewal", || async { renew(&registry, &card).await.ok() }).await;
    assert!(matches!(renewed.answer, Renewed::Kept { .. }));
    assert_eq!(acquire(&registry, &claim(&demo, &key, "b")).await.err(), Some(RegistryError::Full));
    let other = connect(&redis.url()).await;
    assert!(matches!(renew(&other, &card).await.unwrap().answer, Renewed::Kept { .. }));
}
