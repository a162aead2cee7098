//! Many leases on one node: their renewals keep nobody waiting, and none of them is forgotten for that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use onair_cluster::lease::{Belief, Lease};
use support::faulty::Fault;
use support::{Node, World, pass_ms};

const LEASES: u128 = 1_000;
/// The most that one call renews for no other reason than that it is time.
const SLICE: usize = 256;

async fn many(world: &World, node: &Node) -> Vec<Lease> {
    let mut claims = Vec::new();
    for nth in 0..LEASES {
        claims.push(world.claim_elsewhere(node, 1_000 + nth, &format!("room-{nth}")).await);
    }
    let claimed = join_all(claims.into_iter().map(|claim| node.keeper.claim(claim))).await;
    claimed.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn a_claim_never_waits_for_more_than_a_slice_of_renewals() {
    let world = World::new().await;
    let node = world.node("a");
    let leases = many(&world, &node).await;
    world.registry.set(Fault::Slow(Duration::from_millis(20)));
    pass_ms(7_000).await;
    world.registry.calls();
    let mut waited = Vec::new();
    for session in 1..=300 {
        let asked = world.ms();
        drop(world.publish(&node, session).await.unwrap());
        waited.push(world.ms() - asked);
        pass_ms(7).await;
    }
    // The call on its way, and its own.
    assert!(waited.iter().all(|ms| *ms <= 45), "{waited:?}");
    let calls = world.registry.calls();
    let most = calls.iter().map(|(_, renewals, _)| *renewals).max().unwrap();
    assert_eq!(most, SLICE, "all leases are due at each beat, and none is in a hurry");
    let renewed: usize = calls.iter().map(|(_, renewals, _)| renewals).sum();
    let beats = world.ms() / 3_000;
    println!("{} calls, {renewed} renewals of {LEASES} leases, {beats} beats", calls.len());
    for lease in &leases {
        assert_eq!(world.belief(&lease.pass()), Belief::Mine);
    }
}

#[tokio::test(start_paused = true)]
async fn every_lease_is_renewed_with_each_beat_though_not_in_one_call() {
    let world = World::new().await;
    let node = world.node("a");
    let leases = many(&world, &node).await;
    // Slow enough that some rounds meet: five calls for a beat.
    world.registry.set(Fault::Slow(Duration::from_millis(390)));
    for _ in 0..60 {
        pass_ms(1_000).await;
        for lease in &leases {
            assert_eq!(world.belief(&lease.pass()), Belief::Mine);
        }
    }
    for shard in onair_cluster::ids::Shard::all() {
        use onair_cluster::registry::Registry;
        assert_eq!(world.registry.tick(shard, 100).await.unwrap().reaped, vec![]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_is_asked_for_all_leases_at_once() {
    for fault in [Fault::LoseRequests, Fault::Disconnected] {
        let world = World::new().await;
        let node = world.node("a");
        let leases = many(&world, &node).await;
        pass_ms(10_000).await;
        world.registry.set(fault);
        pass_ms(15_000).await;
        world.registry.calls();
        for _ in 0..200 {
            pass_ms(100).await;
            for lease in &leases {
                assert_eq!(world.belief(&lease.pass()), Belief::Riding);
            }
        }
        let calls = world.registry.calls();
        assert!(calls.len() <= 40, "{} calls in 20 s", calls.len());
        world.registry.set(Fault::None);
        pass_ms(2_000).await;
        for lease in &leases {
            assert_eq!(world.belief(&lease.pass()), Belief::Mine);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn going_live_waits_for_no_slice() {
    let world = World::new().await;
    let node = world.node("a");
    let leases = many(&world, &node).await;
    world.registry.set(Fault::Slow(Duration::from_millis(20)));
    pass_ms(10_000).await;
    for lease in &leases {
        lease.pass().live(onair_cluster::clock::Clock::unix(&*world.clock));
    }
    world.registry.calls();
    pass_ms(45).await;
    let renewals: Vec<_> = world.registry.calls().into_iter().map(|(_, renewals, _)| renewals).collect();
    assert!(renewals.iter().any(|count| *count >= leases.len()), "{renewals:?}");
}
