//! What no event tells is found by comparing, and put right as if it had been told.

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::nodes::Incarnation;
use onair_cluster::registry::Registry;
use onair_cluster::{Event, EventKind, NodeId, UnixMs};
use onair_manager::live_db::{Ledger, ManagerId, Outbox, Owners};

use crate::load::{Stage, facts};
use crate::lossy::lose;
use crate::world::{World, eventually};

async fn told(world: &World, stage: &Stage) -> Vec<String> {
    let rows = world.live_db.feed(stage.room.shard(), 0, 100).await.unwrap();
    rows.into_iter().filter(|row| row.room_id == stage.room).map(|row| row.event_id).collect()
}

async fn stage(world: &World, name: &str) -> Stage {
    Stage::new(Arc::clone(&world.registry) as Arc<dyn Registry>, name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_grants_starts_and_ends_are_repaired_by_the_next_owner() {
    let world = World::new().await;
    // Rooms of different shards, since what is lost is lost with all before it.
    let (no_grant, no_start, no_end, sound) = (
        stage(&world, "room-1").await,
        stage(&world, "room-2").await,
        stage(&world, "room-3").await,
        stage(&world, "room-4").await,
    );
    let first = world.manager("a").await;
    let (started, ended, well) =
        (no_start.granted().await, no_end.go_on_air().await, sound.go_on_air().await);
    world.all_read().await;
    first.stop().await;

    // While nobody reads, the registry tells and forgets.
    let unheard = no_grant.go_on_air().await;
    no_start.go_live(&started).await;
    no_end.go_off_air(&ended).await;
    lose(&world.registry, |_| true).await;
    let open = world.live_db.open_sessions(no_end.room.shard()).await.unwrap();
    assert_eq!(open.len(), 1, "still open on record");

    let second = world.manager("b").await;
    eventually("three repairs", async || {
        let repaired = second.fares()["repaired"].clone();
        repaired == serde_json::json!({"lost": 1, "granted": 1, "live": 1, "over": 0})
    })
    .await;
    let row = world.live_db.session(&ended.session_id).await.unwrap().unwrap();
    let end = row.end.unwrap();
    assert_eq!((end.reason, Some(end.ended_at)), (EndReason::Lost, row.facts.last_media_at));
    assert!(end.detected_at >= end.ended_at);
    let id = |card: &onair_cluster::SessionCard, kind: &str| format!("{}/{kind}", card.session_id);
    assert_eq!(told(&world, &no_end).await, [id(&ended, "live"), id(&ended, "ended")]);
    assert_eq!(told(&world, &no_start).await, [id(&started, "live")]);
    assert_eq!(told(&world, &no_grant).await, [id(&unheard, "live")]);
    assert_eq!(told(&world, &sound).await, [id(&well, "live")], "what is well is left alone");

    // What comes after is told as ever.
    no_grant.go_off_air(&unheard).await;
    no_start.go_off_air(&started).await;
    world.all_read().await;
    assert_eq!(told(&world, &no_grant).await, [id(&unheard, "live"), id(&unheard, "ended")]);
    assert_eq!(told(&world, &no_start).await, [id(&started, "live"), id(&started, "ended")]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_on_air_after_its_recorded_end_is_told_to_end() {
    let world = World::new().await;
    let stage = stage(&world, "room").await;
    let card = stage.go_on_air().await;
    // Somebody took it for lost: a Manager of another day.
    let other = ManagerId { node_id: NodeId::parse("other").unwrap(), incarnation: Incarnation::random() };
    let terms = world.live_db.beat(&other, Duration::from_secs(60)).await.unwrap().shards;
    let now = UnixMs::now();
    let ended = Event {
        n: 0,
        shard: stage.room.shard(),
        at: now,
        kind: EventKind::Ended { reason: EndReason::Lost, ended_at: now },
        session: card.clone(),
        facts: facts(),
    };
    world.live_db.apply(&terms, &[ended], now).await.unwrap();
    world.live_db.give_up(&other, &terms, true).await.unwrap();

    let manager = world.manager("a").await;
    eventually("an order to end", async || {
        let lease = world.registry.lease(&stage.room).await.unwrap().unwrap();
        lease.order.is_some_and(|order| order.reason == EndReason::Lost)
    })
    .await;
    eventually("the repair to be counted", async || manager.fares()["repaired"]["over"] == 1).await;
    stage.go_off_air(&card).await;
    world.all_read().await;
    // Its encoder comes back as a new session.
    let next = stage.go_on_air().await;
    world.all_read().await;
    let ids = told(&world, &stage).await;
    let id = |card: &onair_cluster::SessionCard, kind: &str| format!("{}/{kind}", card.session_id);
    assert_eq!(ids, [id(&card, "live"), id(&card, "ended"), id(&next, "live")]);
    manager.stop().await;
}
