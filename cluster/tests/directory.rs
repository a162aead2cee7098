//! The directory: finds rooms, asks the registry as little as it can, and nothing at all for most of those who guess.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage fails there")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::directory::{Directory, OnAir, Patience};
use onair_cluster::events::EndReason;
use onair_cluster::nodes::{Incarnation, LocalNodes, NodeCard, NodeLoad, Nodes};
use onair_cluster::{NodeId, Registry, RegistryError, RoomId, UnixMs};

use support::{World, pass_ms};

fn directory(world: &World, nodes: &Arc<LocalNodes>, patience: Patience) -> Directory {
    let registry = Arc::clone(&world.registry) as Arc<dyn Registry>;
    let mut metrics = prometheus_client::registry::Registry::default();
    Directory::with(registry, Arc::clone(nodes) as Arc<dyn Nodes>, &mut metrics, patience)
}

async fn register(nodes: &LocalNodes, name: &str, relay: Option<&str>) {
    let card = NodeCard {
        node_id: NodeId::parse(name).unwrap(),
        incarnation: Incarnation::random(),
        version: "0".to_owned(),
        started_at: UnixMs(0),
        rtmp: None,
        relay: relay.map(str::to_owned),
    };
    nodes.beat(&card, &NodeLoad::default(), false).await.unwrap();
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_room_is_found_with_its_epoch_and_where_its_node_can_be_reached() {
    let world = World::new().await;
    let nodes = Arc::new(LocalNodes::default());
    register(&nodes, "a", Some("10.0.0.1:1936")).await;
    let directory = directory(&world, &nodes, Patience::default());
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    let card = lease.card();
    let expected = OnAir {
        session_id: card.session_id,
        epoch: card.epoch,
        node_id: card.node_id.clone(),
        relay: Some("10.0.0.1:1936".to_owned()),
    };
    assert_eq!(directory.find(&world.room).await, Ok(Some(expected)));
    assert_eq!(directory.find(&room("elsewhere")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_no_relay_address_has_none() {
    let world = World::new().await;
    let nodes = Arc::new(LocalNodes::default());
    register(&nodes, "a", None).await;
    let directory = directory(&world, &nodes, Patience::default());
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    assert_eq!(directory.find(&world.room).await.unwrap().unwrap().relay, None);
    // One that is on nobody's list.
    lease.end(EndReason::Unpublished).await;
    let _lease = world.publish(&b, 2).await.unwrap();
    directory.forget(&world.room);
    assert_eq!(directory.find(&world.room).await.unwrap().unwrap().relay, None);
}

#[tokio::test(start_paused = true)]
async fn answers_stand_for_a_moment_and_are_forgotten_on_demand() {
    let world = World::new().await;
    let directory = directory(&world, &Arc::default(), Patience::default());
    let node = world.node("a");
    let find = async || directory.find(&world.room).await.unwrap().map(|found| found.epoch);
    assert_eq!(find().await, None);
    let lease = world.publish(&node, 1).await.unwrap();
    let first = lease.card().epoch;
    assert_eq!(find().await, None, "not on air stands for two seconds");
    pass_ms(2_001).await;
    assert_eq!((find().await, find().await), (Some(first), Some(first)));
    assert_eq!(world.registry.lookups(), 2);
    lease.end(EndReason::Unpublished).await;
    let second = world.publish(&node, 2).await.unwrap();
    assert_eq!(find().await, Some(first), "on air stands for one second");
    directory.forget(&world.room);
    assert_eq!(find().await, Some(second.card().epoch));
    assert_eq!(world.registry.lookups(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_ask_once() {
    let world = World::new().await;
    let directory = directory(&world, &Arc::default(), Patience::default());
    let node = world.node("a");
    let _lease = world.publish(&node, 1).await.unwrap();
    let asking = (0..100).map(|_| directory.find(&world.room));
    let found = futures_util::future::join_all(asking).await;
    assert!(found.into_iter().all(|found| found.unwrap().is_some()));
    assert_eq!(world.registry.lookups(), 1);
    // The first to ask goes away in the middle: the others are not left waiting.
    directory.forget(&world.room);
    let mut first = Box::pin(directory.find(&world.room));
    assert!(futures_util::FutureExt::now_or_never(&mut first).is_none());
    drop(first);
    assert!(directory.find(&world.room).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_guesses_a_second_cost_the_registry_two_hundred() {
    let world = World::new().await;
    let directory = directory(&world, &Arc::default(), Patience::default());
    let node = world.node("a");
    let _lease = world.publish(&node, 1).await.unwrap();
    assert!(directory.find(&world.room).await.unwrap().is_some());
    let before = world.registry.lookups();
    for second in 0..10 {
        for guess in 0..10_000 {
            assert_eq!(directory.find(&room(&format!("guess-{second}-{guess}"))).await, Ok(None));
        }
        // Whoever watches a room that is on air is not kept from it.
        assert!(directory.find(&world.room).await.unwrap().is_some(), "second {second}");
        pass_ms(1_000).await;
    }
    let asked = world.registry.lookups() - before;
    println!("100 000 guesses in 10 s: {asked} lookups");
    // 200 at once and 200 a second, and one a second for the room that is on air.
    assert!(asked <= 200 + 10 * 200 + 10, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn repeated_guesses_of_one_room_are_answered_from_memory() {
    let world = World::new().await;
    let directory = directory(&world, &Arc::default(), Patience::default());
    for _ in 0..10_000 {
        assert_eq!(directory.find(&room("same")).await, Ok(None));
    }
    assert_eq!(world.registry.lookups(), 1);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let world = World::new().await;
    let patience = Patience { rooms_max: 50, lookups_per_second: 1_000_000, ..Patience::default() };
    let directory = directory(&world, &Arc::default(), patience);
    for guess in 0..1_000 {
        directory.find(&room(&format!("guess-{guess}"))).await.unwrap();
    }
    assert_eq!(world.registry.lookups(), 1_000);
    // The last ones are still remembered, the first are not.
    directory.find(&room("guess-999")).await.unwrap();
    assert_eq!(world.registry.lookups(), 1_000);
    directory.find(&room("guess-0")).await.unwrap();
    assert_eq!(world.registry.lookups(), 1_001);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_said_at_once_and_not_asked_about_by_everyone() {
    let world = World::new().await;
    let directory = directory(&world, &Arc::default(), Patience::default());
    let node = world.node("a");
    let _lease = world.publish(&node, 1).await.unwrap();
    world.registry.set_blind(true);
    for _ in 0..100 {
        assert_eq!(directory.find(&world.room).await, Err(RegistryError::Unreachable));
    }
    assert_eq!(world.registry.lookups(), 1);
    world.registry.set_blind(false);
    tokio::time::sleep(Duration::from_millis(501)).await;
    assert!(directory.find(&world.room).await.unwrap().is_some());
}
