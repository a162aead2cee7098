//! The registry on a real Redis as its callers see it, the same on all three topologies. The rules of a shard are tested
//! where the scripts are held against the local registry; this is what lies between a caller and a script.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::events::{EndReason, EventKind, Facts};
use onair_cluster::ids::Shard;
use onair_cluster::nodes::{Beat, Incarnation, NodeCard, NodeLoad, NodeState, Nodes, RedisNodes};
use onair_cluster::registry::redis::RedisRegistry;
use onair_cluster::registry::{
    Acquired, Batch, Confirmed, Hold, Order, Registry, Release, Released, Renewal, Renewed, Ring,
};
use onair_cluster::time::UnixMs;
use onair_testkit::redis::{Cluster, Redis, Replicated};
use support::redis::{
    acquire, claim, cluster_url, connect, granted, node, open_all, put_key, record, release, renew, room,
    sentinel_url,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_redis_keeps_the_promises() {
    let redis = Redis::start();
    keeps_the_promises(&redis.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_under_sentinel_keeps_the_promises() {
    let redis = Replicated::start(2, 3);
    keeps_the_promises(&sentinel_url(&redis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_keeps_the_promises() {
    let redis = Cluster::start(3, 3);
    keeps_the_promises(&cluster_url(&redis)).await;
}

async fn keeps_the_promises(url: &str) {
    let (here, there) = (connect(url).await, connect(url).await);
    a_new_redis_waits_for_its_keys(&here).await;
    a_room_changes_hands(&here, &there).await;
    orders_holds_and_revocations_arrive(&here, &there).await;
    events_are_read_once(&here, &there).await;
    a_batch_reaches_every_shard(&here).await;
    nodes_are_known(&here, &there).await;
}

async fn a_new_redis_waits_for_its_keys(here: &RedisRegistry) {
    let room = room("early");
    let shard = room.shard();
    let key = put_key(here, &room).await;
    let refused = acquire(here, &claim(&room, &key, "a")).await.unwrap();
    assert_eq!(refused, Confirmed { answer: Acquired::Recovering, confirmed: true });
    let tick = here.tick(shard, 10).await.unwrap();
    assert!(!tick.is_loaded && tick.floor.is_some());
    open_all(here).await;
    let tick = here.tick(shard, 10).await.unwrap();
    assert!(tick.is_loaded && tick.floor.is_none());
    assert!(here.is_whole());
    granted(here, &claim(&room, &key, "a")).await;
}

async fn a_room_changes_hands(here: &RedisRegistry, there: &RedisRegistry) {
    let room = room("demo");
    let key = put_key(here, &room).await;
    let mut door_here = here.doorbell(&node("a"));
    let mut door_there = there.doorbell(&node("b"));
    let mut bell = there.room_bell(&room);
    let mut news = there.event_bell();
    // A bell that is heard anew is rung once: from now on it is.
    bell.rung.changed().await.unwrap();
    news.changed().await.unwrap();
    assert_eq!(door_here.recv().await, Some(Ring::All));
    assert_eq!(door_there.recv().await, Some(Ring::All));

    let ours = claim(&room, &key, "a");
    let card = granted(here, &ours).await;
    assert_eq!(granted(here, &ours).await, card);
    bell.rung.changed().await.unwrap();
    news.changed().await.unwrap();
    let lease = there.lease(&room).await.unwrap().unwrap();
    assert!(lease.card == card && lease.confirmed);
    assert_eq!(there.leases(room.shard(), None, 10).await.unwrap().len(), 1);

    let theirs = claim(&room, &key, "b");
    let busy = acquire(there, &theirs).await.unwrap().answer;
    assert!(matches!(&busy, Acquired::Busy { holder, wanted: true } if holder.session_id == ours.session_id));
    assert_eq!(door_here.recv().await, Some(Ring::Room(room.clone())));
    let Renewed::Kept { want: Some(want), order: None } = renew(here, &card).await.unwrap().answer else {
        panic!("no want")
    };
    assert_eq!(want.session_id, theirs.session_id);

    assert_eq!(release(here, &card).await.unwrap().answer, Released::Ended);
    assert_eq!(door_there.recv().await, Some(Ring::Room(room.clone())));
    let next = granted(there, &theirs).await;
    assert!(next.epoch > card.epoch);
    assert!(
        matches!(renew(here, &card).await.unwrap().answer, Renewed::Lost { by } if by == Some(next.epoch))
    );
    assert_eq!(release(here, &card).await.unwrap().answer, Released::AlreadyOver);
    assert_eq!(here.free_node(room.shard(), &node("b")).await.unwrap(), vec![room.clone()]);
    assert_eq!(there.lease(&room).await.unwrap(), None);
}

async fn orders_holds_and_revocations_arrive(here: &RedisRegistry, there: &RedisRegistry) {
    let room = room("ordered");
    let record = record(&room);
    here.put_key(&record).await.unwrap();
    assert_eq!(there.key(&record.live_key_id).await.unwrap(), Some(record.clone()));
    let mut door = here.doorbell(&node("a"));
    assert_eq!(door.recv().await, Some(Ring::All));
    let card = granted(here, &claim(&room, &record.live_key_id, "a")).await;
    let order = Order { reason: EndReason::EndedByApi, note: "enough".to_owned() };
    let told = there.order(&room, &order).await.unwrap().unwrap();
    assert_eq!(told.order, Some(order.clone()));
    assert_eq!(door.recv().await, Some(Ring::Room(room.clone())));
    assert!(
        matches!(renew(here, &card).await.unwrap().answer, Renewed::Kept { order: Some(found), .. } if found == order)
    );
    assert!(there.revoke(&record.live_key_id).await.unwrap());
    assert!(there.key(&record.live_key_id).await.unwrap().unwrap().revoked);
    assert_eq!(door.recv().await, Some(Ring::Room(room.clone())));
    release(here, &card).await.unwrap();
    let hold = Hold { until: UnixMs::now().plus(Duration::from_secs(60)), reason: "pause".to_owned() };
    there.put_hold(&room, &hold).await.unwrap();
    assert_eq!(here.hold(&room).await.unwrap(), Some(hold));
    assert!(here.lift_hold(&room).await.unwrap());
    assert!(!there.lift_hold(&room).await.unwrap());
    assert_eq!(there.hold(&room).await.unwrap(), None);
}

async fn events_are_read_once(here: &RedisRegistry, there: &RedisRegistry) {
    let room = room("told");
    let shard = room.shard();
    drain(here, shard).await;
    let key = put_key(here, &room).await;
    let card = granted(here, &claim(&room, &key, "a")).await;
    release(here, &card).await.unwrap();
    let events = there.events(shard, 10).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["granted", "ended"]);
    assert!(matches!(events[1].kind, EventKind::Ended { reason: EndReason::Unpublished, .. }));
    let mut stored = here.stored_bell();
    // Heard from now on.
    stored.changed().await.unwrap();
    let (first, last) = (events[0].n, events[1].n);
    assert_eq!(last, first + 1);
    // Who has not read them cannot say that they are stored.
    here.acknowledge(shard, last).await.unwrap();
    assert_eq!(there.events(shard, 10).await.unwrap(), events);
    there.acknowledge(shard, first).await.unwrap();
    assert_eq!(here.events(shard, 10).await.unwrap(), &events[1..]);
    stored.changed().await.unwrap();
    there.acknowledge(shard, last).await.unwrap();
    assert_eq!(here.events(shard, 10).await.unwrap(), []);
}

async fn drain(registry: &RedisRegistry, shard: Shard) {
    while let Some(last) = registry.events(shard, 100).await.unwrap().last() {
        registry.acknowledge(shard, last.n).await.unwrap();
    }
}

async fn a_batch_reaches_every_shard(here: &RedisRegistry) {
    let mut claims = Vec::new();
    for i in 0..300 {
        let room = room(&format!("crowd-{i}"));
        let key = put_key(here, &room).await;
        claims.push(claim(&room, &key, "a"));
    }
    let reply = here.commit(&Batch { claims: claims.clone(), ..Batch::default() }).await;
    let cards: Vec<_> = reply
        .claims
        .into_iter()
        .zip(&claims)
        .map(|(answer, claim)| match answer.unwrap() {
            Confirmed { answer: Acquired::Granted(grant), confirmed: true } => {
                assert_eq!(grant.card.session_id, claim.session_id);
                grant.card
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let renewals = cards.iter().map(|card| Renewal { card: card.clone(), facts: Facts::default() }).collect();
    let reply = here.commit(&Batch { renewals, ..Batch::default() }).await;
    assert_eq!(reply.renewals.len(), 300);
    for answer in reply.renewals {
        let Confirmed { answer, confirmed } = answer.unwrap();
        assert!(matches!(answer, Renewed::Kept { order: None, want: None }) && confirmed);
    }
    let release = |card| Release { card, facts: Facts::default(), reason: EndReason::Drain };
    let releases = cards.into_iter().map(release).collect();
    let reply = here.commit(&Batch { releases, ..Batch::default() }).await;
    assert!(reply.releases.into_iter().all(|answer| answer.unwrap().answer == Released::Ended));
}

async fn nodes_are_known(here: &Arc<RedisRegistry>, there: &Arc<RedisRegistry>) {
    let (nodes, others) = (RedisNodes::new(Arc::clone(here)), RedisNodes::new(Arc::clone(there)));
    let card = |incarnation| NodeCard {
        node_id: node("node-1"),
        incarnation: Incarnation(incarnation),
        version: "1".to_owned(),
        started_at: UnixMs(1),
        rtmp: Some("a:1935".to_owned()),
        relay: None,
    };
    let load = NodeLoad { connections: 3, publishers: 2, players: 1, pulls: 0 };
    let first = nodes.beat(&card(1), &load, false).await.unwrap();
    assert_eq!(first, Beat::Alive { is_new: true, is_drain_asked: false });
    assert!(matches!(others.beat(&card(2), &load, false).await.unwrap(), Beat::Taken { .. }));
    let seen = others.nodes().await.unwrap();
    assert_eq!((seen.len(), &seen[0].card, &seen[0].load), (1, &card(1), &load));
    assert_eq!((seen[0].state, seen[0].is_drain_asked), (NodeState::Ready, false));
    assert!(others.ask_drain(&node("node-1")).await.unwrap());
    assert!(!others.ask_drain(&node("node-2")).await.unwrap());
    let again = nodes.beat(&card(1), &load, true).await.unwrap();
    assert_eq!(again, Beat::Alive { is_new: false, is_drain_asked: true });
    assert_eq!(others.nodes().await.unwrap()[0].state, NodeState::Draining);
    others.leave(&card(2)).await.unwrap();
    assert_eq!(others.nodes().await.unwrap().len(), 1);
    nodes.leave(&card(1)).await.unwrap();
    let second = others.beat(&card(2), &load, false).await.unwrap();
    assert_eq!(second, Beat::Alive { is_new: true, is_drain_asked: false });
}
