//! The local registry as its callers see it: batches, bells, pages, its reaper, and the time of day being wrong.
//!
//! The rules of a shard are tested where they are written, with operations nobody thought of; this is the shell around them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use onair_cluster::clock::Clock;
use onair_cluster::events::{EndReason, Facts};
use onair_cluster::ids::{Epoch, LiveKeyId, NodeId, RoomId, SessionId, Shard};
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{
    Acquired, Batch, Claim, Grant, KeyRecord, LeaseTimes, Order, Registry, RegistryError, Release, Released,
    Renewal, Renewed, Ring,
};
use onair_cluster::time::{BootTime, UnixMs};

/// Both hands turned by the test.
#[derive(Default)]
struct Hands {
    unix: AtomicU64,
    boot: AtomicU64,
}

impl Hands {
    fn new() -> Arc<Self> {
        let hands = Self::default();
        hands.set_unix(1_800_000_000_000);
        Arc::new(hands)
    }

    fn pass(&self, ms: u64) {
        self.unix.fetch_add(ms, Ordering::Relaxed);
        self.boot.fetch_add(ms, Ordering::Relaxed);
    }

    fn set_unix(&self, ms: u64) {
        self.unix.store(ms, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn unix(&self) -> UnixMs {
        UnixMs(self.unix.load(Ordering::Relaxed))
    }
    fn boot(&self) -> BootTime {
        BootTime(self.boot.load(Ordering::Relaxed) * 1_000_000)
    }
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

async fn put_key(registry: &LocalRegistry, room: &RoomId) -> LiveKeyId {
    let record = KeyRecord {
        max_duration: Some(Duration::from_secs(60)),
        max_bitrate: Some(6_000_000),
        ..support::record(room)
    };
    registry.put_key(&record).await.unwrap();
    assert_eq!(registry.key(&record.live_key_id).await, Ok(Some(record.clone())));
    record.live_key_id
}

fn claim(session: u128, room: &RoomId, key: &LiveKeyId, on: &str) -> Claim {
    support::claim(SessionId(session), room, key, &node(on))
}

async fn acquire(registry: &LocalRegistry, claim: Claim) -> Acquired {
    let batch = Batch { claims: vec![claim], ..Batch::default() };
    registry.commit(&batch).await.claims.remove(0).unwrap().answer
}

async fn granted(registry: &LocalRegistry, claim: Claim) -> Grant {
    match acquire(registry, claim).await {
        Acquired::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_room_given_back_and_wanted_in_the_same_batch_changes_hands_at_once() {
    let registry = LocalRegistry::new(LeaseTimes::default());
    let (demo, other) = (room("demo"), room("other"));
    let (key, other_key) = (put_key(&registry, &demo).await, put_key(&registry, &other).await);
    let old = granted(&registry, claim(1, &demo, &key, "a")).await;
    let kept = granted(&registry, claim(2, &other, &other_key, "a")).await;
    assert_eq!(old.max_duration, Some(Duration::from_secs(60)));
    let batch = Batch {
        claims: vec![claim(3, &demo, &key, "b"), claim(4, &other, &other_key, "b")],
        renewals: vec![Renewal { card: kept.card.clone(), facts: Facts::default() }],
        releases: vec![Release { card: old.card.clone(), facts: Facts::default(), reason: EndReason::Drain }],
    };
    let reply = registry.commit(&batch).await;
    let released = reply.releases[0].as_ref().unwrap();
    assert_eq!((released.answer, released.confirmed), (Released::Ended, true));
    assert!(matches!(reply.renewals[0].as_ref().unwrap().answer, Renewed::Kept { .. }));
    assert!(
        matches!(&reply.claims[0].as_ref().unwrap().answer, Acquired::Granted(grant) if grant.card.epoch > old.card.epoch)
    );
    assert!(matches!(&reply.claims[1].as_ref().unwrap().answer, Acquired::Busy { wanted: true, .. }));
}

#[tokio::test]
async fn a_node_hears_of_orders_and_wants_and_the_wanting_node_of_the_room_that_comes_free() {
    let registry = LocalRegistry::new(LeaseTimes::default());
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let mut deaf = registry.doorbell(&node("a"));
    let mut bell_a = registry.doorbell(&node("a"));
    let mut bell_b = registry.doorbell(&node("b"));
    let lease = granted(&registry, claim(1, &demo, &key, "a")).await;

    let order = Order { reason: EndReason::EndedByApi, note: String::new() };
    let view = registry.order(&demo, &order).await.unwrap().unwrap();
    assert_eq!((view.order, view.card.session_id), (Some(order.clone()), SessionId(1)));
    assert_eq!(bell_a.recv().await, Some(Ring::Room(demo.clone())));
    assert!(matches!(
        acquire(&registry, claim(2, &demo, &key, "b")).await,
        Acquired::Busy { wanted: true, .. }
    ));
    assert_eq!(bell_a.recv().await, Some(Ring::Room(demo.clone())));
    assert_eq!(bell_b.try_recv(), None);
    let release = Release { card: lease.card, facts: Facts::default(), reason: EndReason::EndedByApi };
    registry.commit(&Batch { releases: vec![release], ..Batch::default() }).await;
    assert_eq!(bell_b.recv().await, Some(Ring::Room(demo.clone())));
    assert_eq!(deaf.recv().await, None, "the second doorbell replaced the first");

    // A node that does not listen costs nothing but its own rings.
    granted(&registry, claim(3, &demo, &key, "a")).await;
    for _ in 0..5_000 {
        registry.order(&demo, &order).await.unwrap();
    }
    assert!(bell_a.len() <= 1_025);
    assert_eq!(bell_a.recv().await, Some(Ring::All), "more than it keeps");
    assert_eq!(registry.order(&room("empty"), &order).await, Ok(None));
}

#[tokio::test]
async fn readers_of_events_are_woken_and_forget_what_they_have_stored() {
    let registry = LocalRegistry::new(LeaseTimes::default());
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let mut bell = registry.event_bell();
    assert!(!bell.has_changed().unwrap());
    granted(&registry, claim(1, &demo, &key, "a")).await;
    bell.changed().await.unwrap();
    granted(&registry, claim(1, &demo, &key, "a")).await;
    assert!(!bell.has_changed().unwrap(), "the same answer is no news");
    let events = registry.events(demo.shard(), 10).await.unwrap();
    assert_eq!((events.len(), events[0].n, events[0].shard), (1, 1, demo.shard()));
    registry.acknowledge(demo.shard(), 1).await.unwrap();
    assert_eq!(registry.events(demo.shard(), 10).await.unwrap(), []);
}

#[tokio::test]
async fn pages_of_leases_are_in_order_of_room_and_miss_none() {
    let registry = LocalRegistry::new(LeaseTimes::default());
    let shard = room("demo").shard();
    let mut rooms: Vec<_> =
        (0..).map(|n| room(&format!("r{n}"))).filter(|room| room.shard() == shard).take(25).collect();
    for (n, room) in rooms.iter().enumerate() {
        let key = put_key(&registry, room).await;
        granted(&registry, claim(n as u128 + 1, room, &key, "a")).await;
    }
    rooms.sort();
    let mut walked: Vec<RoomId> = Vec::new();
    loop {
        let page = registry.leases(shard, walked.last(), 10).await.unwrap();
        if page.is_empty() {
            break;
        }
        walked.extend(page.into_iter().map(|view| view.card.room_id));
    }
    assert_eq!(walked, rooms);
}

#[tokio::test]
async fn a_key_under_an_id_of_another_shard_is_refused() {
    let registry = LocalRegistry::new(LeaseTimes::default());
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let mut record = registry.key(&key).await.unwrap().unwrap();
    let elsewhere = Shard::all().find(|shard| *shard != demo.shard()).unwrap();
    record.live_key_id = LiveKeyId::parse(&format!("{elsewhere}abc")).unwrap();
    assert!(matches!(registry.put_key(&record).await, Err(RegistryError::Broken(_))));
    let nonsense = LiveKeyId::parse("zzz").unwrap();
    assert_eq!(registry.key(&nonsense).await, Ok(None));
    assert_eq!(registry.revoke(&nonsense).await, Ok(false));
}

#[tokio::test]
async fn epochs_go_on_above_what_is_known_from_before_even_if_the_clock_started_in_the_past() {
    let hands = Hands::new();
    hands.set_unix(42);
    let registry = LocalRegistry::with_clock(LeaseTimes::default(), hands);
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    registry.raise_epochs(&demo, Epoch(1_800_000_000_000_000));
    assert_eq!(granted(&registry, claim(1, &demo, &key, "a")).await.card.epoch, Epoch(1_800_000_000_000_001));
}

#[tokio::test(start_paused = true)]
async fn a_started_registry_reaps_by_itself_for_as_long_as_it_is_in_use() {
    // Dead as soon as granted.
    let times = LeaseTimes { ttl: Duration::ZERO, grace: Duration::ZERO, ..LeaseTimes::default() };
    let registry = LocalRegistry::start(times);
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    granted(&registry, claim(1, &demo, &key, "a")).await;
    let mut bell = registry.event_bell();
    bell.mark_unchanged();
    bell.changed().await.unwrap();
    let last = registry.events(demo.shard(), 10).await.unwrap().pop().unwrap();
    assert_eq!(last.id(), format!("{}/ended", SessionId(1)));

    drop(registry);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test]
async fn nobody_is_dead_because_the_time_of_day_was_wrong() {
    let hands = Hands::new();
    let registry = LocalRegistry::with_clock(LeaseTimes::default(), hands.clone());
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let lease = granted(&registry, claim(1, &demo, &key, "a")).await;
    hands.pass(5_000);
    for step in [3_600_000_i64, -7_200_000, 86_400_000_000] {
        hands.set_unix(hands.unix().0.saturating_add_signed(step));
        assert_eq!(registry.tick(demo.shard(), 10).await.unwrap().reaped, vec![]);
        assert!(matches!(acquire(&registry, claim(2, &demo, &key, "b")).await, Acquired::Busy { .. }));
        let until = registry.lease(&demo).await.unwrap().unwrap().until;
        assert_eq!(until.since(hands.unix()), 5_000, "as much time is left as before");
    }
    // And who is dead stays dead, whatever the time of day.
    hands.pass(7_000);
    hands.set_unix(hands.unix().0 - 10_000_000);
    assert_eq!(registry.tick(demo.shard(), 10).await.unwrap().reaped, vec![demo.clone()]);
    let next = granted(&registry, claim(3, &demo, &key, "b")).await;
    assert!(next.card.epoch > lease.card.epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_want_a_room_at_once_one_gets_it() {
    let registry = Arc::new(LocalRegistry::new(LeaseTimes::default()));
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let asking: Vec<_> = (1..=64)
        .map(|session| {
            let (registry, claim) = (Arc::clone(&registry), claim(session, &demo, &key, "a"));
            tokio::spawn(async move { matches!(acquire(&registry, claim).await, Acquired::Granted(_)) })
        })
        .collect();
    let mut winners = 0;
    for asker in asking {
        winners += u32::from(asker.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(registry.events(demo.shard(), 10).await.unwrap().len(), 1);
}
