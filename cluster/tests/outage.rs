//! A registry that is away, alone or full: who stays on air, who does not get there, and what a frozen node may pass on.
//!
//! Method: keepers over a registry that fails on command, on tokio's paused clock; a machine that sleeps is a boot clock that
//! jumps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use onair_cluster::events::EndReason;
use onair_cluster::keeper::{OnRegistryLoss, OnUnreplicated, Policy, Refusal};
use onair_cluster::lease::{Belief, Ending, Lease, LeaseSignal};
use onair_cluster::registry::{Registry, Released, Takeover};
use support::faulty::Fault;
use support::{World, last_signal, pass_ms, signals};

const STRICT: Policy =
    Policy { on_registry_loss: OnRegistryLoss::Strict, on_unreplicated: OnUnreplicated::Refuse };
const DEGRADE: Policy =
    Policy { on_registry_loss: OnRegistryLoss::RideOut, on_unreplicated: OnUnreplicated::Degrade };

/// Waits for the belief to change, and returns the next one and how many ms it took.
async fn next_belief(world: &World, lease: &Lease) -> (Belief, u64) {
    let (pass, before) = (lease.pass(), world.ms());
    let belief = world.belief(&pass);
    while world.belief(&pass) == belief {
        pass_ms(1).await;
    }
    (world.belief(&pass), world.ms() - before)
}

// === away ===

#[tokio::test(start_paused = true)]
async fn who_is_on_air_rides_out_a_minute_without_the_registry_and_loses_no_frame() {
    for fault in [Fault::LoseRequests, Fault::LoseReplies, Fault::Disconnected] {
        let world = World::new().await;
        let node = world.node("a");
        let lease = world.publish(&node, 1).await.unwrap();
        let pass = lease.pass();
        world.registry.set(fault);
        world.registry.calls();
        let mut rode = false;
        while world.ms() < 60_000 {
            pass_ms(30).await;
            let belief = world.belief(&pass);
            assert!(matches!(belief, Belief::Mine | Belief::Riding), "{belief:?} at {} ms", world.ms());
            rode |= belief == Belief::Riding;
        }
        assert!(rode);
        assert_eq!(node.metric("onair_lease_riding{cause=\"unreachable\"}"), 1.0);
        assert_eq!(node.metric("onair_lease_shards_away"), 1.0);
        let calls = world.registry.calls().len();
        assert!((45..=90).contains(&calls), "{fault:?}: {calls} calls in a minute");

        world.registry.set(Fault::None);
        assert_eq!(next_belief(&world, &lease).await.0, Belief::Mine);
        assert!(world.ms() < 62_000, "{fault:?}: {} ms", world.ms());
        pass_ms(4_000).await;
        assert_eq!(node.metric("onair_lease_riding{cause=\"unreachable\"}"), 0.0);
        assert_eq!(node.metric("onair_lease_shards_away"), 0.0);
        assert_eq!((last_signal(&lease), world.story().await), (LeaseSignal::Held, "1:granted".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_ridden_out_for_ever_and_not_all_end_at_once() {
    let world = World::new().await;
    let node = world.node("a");
    let mut leases = Vec::new();
    for n in 0..40 {
        let claim = world.claim_elsewhere(&node, n + 1, &format!("room-{n}")).await;
        leases.push(node.keeper.claim(claim).await.unwrap());
    }
    world.registry.set(Fault::Disconnected);
    let started = world.ms();
    let ends = join_all(leases.iter().map(|lease| {
        let world = &world;
        async move {
            let mut signals = signals(lease);
            signals.changed().await.unwrap();
            assert_eq!(*signals.borrow(), LeaseSignal::Abandoned);
            assert_eq!(world.belief(&lease.pass()), Belief::Over);
            (world.ms() - started) / 1_000
        }
    }))
    .await;
    assert!(ends.iter().all(|end| (300..=604).contains(end)), "{ends:?}");
    let in_the_busiest_half_minute =
        (300..605).map(|at| ends.iter().filter(|end| (at..at + 30).contains(*end)).count()).max().unwrap();
    assert!(in_the_busiest_half_minute < 20, "{ends:?}");
    assert_eq!(node.metric("onair_lease_ends_total{reason=\"unconfirmed\"}"), 40.0);
    assert_eq!((node.keeper.lease_count(), node.keeper.idle(Duration::ZERO).await), (0, 40));

    // What could not be said is said when the registry is back.
    world.registry.set(Fault::None);
    assert_eq!(node.keeper.idle(Duration::from_secs(3)).await, 0);
    for lease in leases {
        let room = lease.card().room_id.clone();
        let events = world.registry.events(room.shard(), usize::MAX).await.unwrap();
        let kinds: Vec<_> = events
            .iter()
            .filter(|event| event.session.room_id == room)
            .map(|event| event.kind.name())
            .collect();
        assert_eq!(kinds, ["granted", "ended"]);
        assert_eq!(lease.end(EndReason::Disconnected).await, Ending::Recorded(Released::AlreadyOver));
    }
}

#[tokio::test(start_paused = true)]
async fn a_strict_node_ends_its_sessions_when_they_cannot_be_believed_any_more() {
    let world = World::with_policy(STRICT).await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    world.registry.set(Fault::Slow(Duration::from_millis(1)));
    pass_ms(3_500).await;
    world.registry.set(Fault::LoseRequests);
    let (belief, _) = next_belief(&world, &lease).await;
    assert_ne!(belief, Belief::Riding);
    let withheld_at = world.ms();
    while last_signal(&lease) == LeaseSignal::Held {
        pass_ms(1).await;
    }
    assert!(world.ms() - withheld_at <= 500, "{} ms after the deadline", world.ms() - withheld_at);
    assert_eq!((last_signal(&lease), world.belief(&lease.pass())), (LeaseSignal::Abandoned, Belief::Over));
    world.registry.set(Fault::None);
    assert_eq!(node.keeper.idle(Duration::from_secs(2)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:ended:unconfirmed");
    drop(lease);
    assert!(world.publish(&node, 2).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_strict_node_cuts_nobody_when_the_registry_is_back_in_time() {
    let world = World::with_policy(STRICT).await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    world.registry.set(Fault::LoseRequests);
    pass_ms(8_000).await;
    world.registry.set(Fault::None);
    for _ in 0..60 {
        pass_ms(1_000).await;
        assert_eq!((world.belief(&lease.pass()), last_signal(&lease)), (Belief::Mine, LeaseSignal::Held));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_away_concerns_only_its_own_sessions() {
    let world = World::with_policy(STRICT).await;
    let node = world.node("a");
    let here = world.publish(&node, 1).await.unwrap();
    let mut claims = Vec::new();
    for n in 0..6 {
        let claim = world.claim_elsewhere(&node, 2 + n, &format!("elsewhere-{n}")).await;
        assert_ne!(claim.room_id.shard(), world.room.shard());
        claims.push(claim);
    }
    let there = node.keeper.claim(claims.remove(0)).await.unwrap();
    let other = node.keeper.claim(claims.remove(0)).await.unwrap();
    world.registry.set_away(&[there.card().room_id.shard(), claims[0].room_id.shard()]);
    // A claim of the shard that is away waits and is refused; one of another shard is granted at once.
    let before = world.ms();
    assert!(node.keeper.claim(claims.remove(1)).await.is_ok());
    assert_eq!(world.ms(), before);
    assert_eq!(node.keeper.claim(claims.remove(0)).await.err(), Some(Refusal::Unreachable));
    // So with ends.
    assert_eq!(other.end(EndReason::Unpublished).await, Ending::Recorded(Released::Ended));
    while last_signal(&there) == LeaseSignal::Held {
        pass_ms(10).await;
        assert_eq!(world.belief(&here.pass()), Belief::Mine);
    }
    assert_eq!(last_signal(&there), LeaseSignal::Abandoned);
    assert_eq!(node.metric("onair_lease_shards_away"), 2.0);
    pass_ms(60_000).await;
    assert_eq!((world.belief(&here.pass()), last_signal(&here)), (Belief::Mine, LeaseSignal::Held));
    assert_eq!(node.metric("onair_lease_outstanding"), 1.0, "only the end that cannot be told");
    world.registry.set_away(&[]);
    assert_eq!(node.keeper.idle(Duration::from_secs(2)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_holder_gives_way_to_nobody_while_the_registry_is_away() {
    let world = World::with_takeover(Takeover::Idle).await;
    let (a, b) = (world.node("a"), world.node("b"));
    let old = world.publish(&a, 1).await.unwrap();
    // By the time that the newcomer asks, the holder has been silent for so long that it will give way before the other goes.
    pass_ms(3_200).await;
    let newcomer = b.claiming(world.claim_from_afar(&b, 2));
    pass_ms(10).await;
    assert_eq!(a.metric("onair_lease_held"), 1.0);
    world.registry.set(Fault::LoseRequests);
    old.set_facts(|facts| facts.players = 1);
    assert!(newcomer.await.unwrap().is_err());
    pass_ms(1_000).await;
    assert_eq!((last_signal(&old), world.belief(&old.pass())), (LeaseSignal::Held, Belief::Mine));
}

#[tokio::test(start_paused = true)]
async fn publishers_refused_during_an_outage_leave_nothing_to_be_granted_after_it() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::LoseRequests);
    let mut claims = Vec::new();
    for n in 0..100 {
        claims.push(node.keeper.claim(world.claim_elsewhere(&node, n + 1, &format!("room-{n}")).await));
    }
    let refusals = join_all(claims).await;
    assert!(refusals.iter().all(|answer| answer.as_ref().err() == Some(&Refusal::Unreachable)));
    assert!(world.ms() <= 4_600, "{} ms", world.ms());
    world.registry.calls();
    pass_ms(10_000).await;
    let calls = world.registry.calls();
    assert!(calls.len() <= 40, "{} calls for nobody", calls.len());
    pass_ms(5_000).await;
    assert_eq!(node.keeper.idle(Duration::ZERO).await, 0);
    world.registry.set(Fault::None);
    pass_ms(5_000).await;
    assert_eq!(node.metric("onair_lease_ends_total{reason=\"unconfirmed\"}"), 0.0);
}

// === frozen ===

/// A node freezes for 15 s: all its timers stand still. Either only the process does, or the whole machine sleeps.
async fn freeze(world: &World, machine_sleeps: bool) {
    if machine_sleeps {
        world.clock.suspend(15_000);
    } else {
        tokio::time::advance(Duration::from_secs(15)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_node_passes_nothing_on_until_it_is_told_that_the_room_is_still_its_own() {
    for machine_sleeps in [false, true] {
        let world = World::new().await;
        let node = world.node("a");
        let lease = world.publish(&node, 1).await.unwrap();
        pass_ms(5_000).await;
        world.registry.set(Fault::Slow(Duration::from_millis(50)));
        freeze(&world, machine_sleeps).await;
        assert_eq!(world.belief(&lease.pass()), Belief::Withhold);
        let (belief, after) = next_belief(&world, &lease).await;
        assert!(belief == Belief::Mine && after >= 50, "{belief:?} after {after} ms");
        assert_eq!(last_signal(&lease), LeaseSignal::Held);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_node_that_was_replaced_passes_nothing_on_at_all() {
    for machine_sleeps in [false, true] {
        let world = World::new().await;
        let (frozen, other) = (world.node("a"), world.node("b"));
        let old = world.publish(&frozen, 1).await.unwrap();
        pass_ms(5_000).await;
        freeze(&world, machine_sleeps).await;
        // Not one turn for the frozen node yet: the newcomer is served by a call of its own.
        let claim = onair_cluster::registry::Batch {
            claims: vec![world.claim(&other, 2)],
            ..onair_cluster::registry::Batch::default()
        };
        world.registry.commit(&claim).await;
        assert_eq!(world.belief(&old.pass()), Belief::Withhold);
        assert_eq!(next_belief(&world, &old).await.0, Belief::Over);
        assert!(matches!(last_signal(&old), LeaseSignal::Lost { by: Some(_) }));
        assert_eq!(world.story().await, "1:granted 1:ended:lost 2:granted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_node_rides_only_on_calls_that_failed_after_it_woke() {
    for machine_sleeps in [false, true] {
        for fault in [Fault::LoseRequests, Fault::Disconnected] {
            let world = World::new().await;
            let node = world.node("a");
            let lease = world.publish(&node, 1).await.unwrap();
            let pass = lease.pass();
            world.registry.set(fault);
            while world.belief(&pass) != Belief::Riding {
                pass_ms(100).await;
            }
            // It rides; whatever call is under way when it freezes proves nothing.
            pass_ms(1_234).await;
            freeze(&world, machine_sleeps).await;
            assert_eq!(world.belief(&pass), Belief::Withhold);
            let (belief, after) = next_belief(&world, &lease).await;
            assert!(
                belief == Belief::Riding && (900..=3_100).contains(&after),
                "{belief:?} after {after} ms: a connection that died meanwhile is no proof"
            );
            assert_eq!(last_signal(&lease), LeaseSignal::Held);
        }
    }
}

// === without replicas ===

#[tokio::test(start_paused = true)]
async fn who_is_on_air_stays_there_without_limit_when_the_replicas_are_gone() {
    for policy in [Policy::default(), STRICT] {
        let world = World::with_policy(policy).await;
        let node = world.node("a");
        let lease = world.publish(&node, 1).await.unwrap();
        world.registry.set(Fault::Unconfirmed);
        while world.ms() < 30 * 60_000 {
            pass_ms(1_000).await;
            assert!(matches!(world.belief(&lease.pass()), Belief::Mine | Belief::Riding));
        }
        assert_eq!((world.belief(&lease.pass()), last_signal(&lease)), (Belief::Riding, LeaseSignal::Held));
        assert_eq!(node.metric("onair_lease_riding{cause=\"unreplicated\"}"), 1.0);
        assert!(!world.view().await.unwrap().confirmed);
        world.registry.set(Fault::None);
        assert_eq!(next_belief(&world, &lease).await.0, Belief::Mine);
        pass_ms(2_000).await;
        assert_eq!(node.metric("onair_lease_riding{cause=\"unreplicated\"}"), 0.0);
        assert!(world.view().await.unwrap().confirmed);
        assert_eq!(world.story().await, "1:granted");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_grant_is_asked_for_again_until_it_is_confirmed() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::Unconfirmed);
    let claim = node.claiming(world.claim(&node, 1));
    pass_ms(3_000).await;
    assert_eq!(node.keeper.lease_count(), 0);
    world.registry.set(Fault::None);
    let lease = claim.await.unwrap().unwrap();
    assert_eq!((world.belief(&lease.pass()), world.story().await), (Belief::Mine, "1:granted".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_stays_unconfirmed_is_refused_after_four_seconds_and_given_back() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::Unconfirmed);
    assert_eq!(world.publish(&node, 1).await.err(), Some(Refusal::Unconfirmed));
    assert!((4_000..=4_100).contains(&world.ms()), "{} ms", world.ms());
    pass_ms(1).await;
    assert_eq!((world.story().await, world.view().await), ("1:granted 1:ended:unconfirmed".to_owned(), None));
    // The replicas hear of the end as soon as they are back, or never need to.
    pass_ms(13_000).await;
    assert_eq!(node.keeper.idle(Duration::ZERO).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_leaves_while_its_grant_is_unconfirmed_leaves_nothing_behind() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::Unconfirmed);
    let claim = node.keeper.claim(world.claim(&node, 1));
    assert!(tokio::time::timeout(Duration::from_millis(500), claim).await.is_err());
    pass_ms(1).await;
    assert_eq!((world.story().await, world.view().await), ("1:granted 1:ended:unconfirmed".to_owned(), None));
}

#[tokio::test(start_paused = true)]
async fn a_degraded_cluster_starts_sessions_that_nobody_confirms() {
    let world = World::with_policy(DEGRADE).await;
    let node = world.node("a");
    world.registry.set(Fault::Unconfirmed);
    let lease = world.publish(&node, 1).await.unwrap();
    assert_eq!(world.ms(), 0);
    for _ in 0..60 {
        assert_eq!(world.belief(&lease.pass()), Belief::Riding);
        pass_ms(1_000).await;
    }
    assert!(!world.view().await.unwrap().confirmed);
    world.registry.set(Fault::None);
    assert_eq!(next_belief(&world, &lease).await.0, Belief::Mine);
    lease.end(EndReason::Unpublished).await;
    assert_eq!(world.story().await, "1:granted 1:ended:unpublished");
}

// === full ===

#[tokio::test(start_paused = true)]
async fn a_full_registry_refuses_newcomers_at_once_and_keeps_who_is_there() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    world.registry.set(Fault::Full);
    let before = world.ms();
    let claim = world.claim_elsewhere(&node, 2, "another").await;
    let refusal = node.keeper.claim(claim).await.unwrap_err();
    assert_eq!((&refusal, world.ms()), (&Refusal::Full, before));
    assert!(refusal.is_retryable() && refusal.public_text().contains("full"), "{}", refusal.public_text());
    for _ in 0..30 {
        pass_ms(1_000).await;
        assert_eq!(world.belief(&lease.pass()), Belief::Mine);
    }
    assert_eq!(node.metric("onair_lease_shards_away"), 0.0, "it answers");
    assert_eq!(node.keeper.idle(Duration::ZERO).await, 0);
    assert_eq!(lease.end(EndReason::Unpublished).await, Ending::Recorded(Released::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_reply_was_lost_is_given_back_though_the_registry_is_full_by_then() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::LoseReplies);
    let claim = node.claiming(world.claim(&node, 1));
    pass_ms(300).await;
    world.registry.set(Fault::Full);
    assert_eq!(claim.await.unwrap().err(), Some(Refusal::Full));
    pass_ms(3_000).await;
    world.registry.set(Fault::None);
    assert_eq!(node.keeper.idle(Duration::from_secs(2)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:ended:unconfirmed");
}
