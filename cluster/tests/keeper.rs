//! The LeaseKeeper: what a session may believe, and that nothing is lost, whatever the registry does.
//!
//! Method: keepers over the local registry behind a wrapper that fails on command, on tokio's paused clock, so that every
//! time here is exact and nobody waits for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::Duration;

use futures_util::FutureExt;
use onair_cluster::clock::Clock;
use onair_cluster::events::EndReason;
use onair_cluster::keeper::Refusal;
use onair_cluster::lease::{Belief, Ending, LeaseSignal};
use onair_cluster::registry::{Batch, Denial, Order, Registry, Released, Takeover};
use support::faulty::Fault;
use support::{World, last_signal, pass_ms, signals};

#[tokio::test(start_paused = true)]
async fn a_session_is_granted_goes_live_at_once_and_ends_with_its_reason() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    assert_eq!(world.story().await, "1:granted");
    let pass = lease.pass();
    assert_eq!(world.belief(&pass), Belief::Mine);
    assert_eq!(node.keeper.lease_count(), 1);

    pass.media(world.clock.boot(), 1_000);
    pass.live(world.clock.unix());
    pass_ms(1).await;
    assert_eq!(world.story().await, "1:granted 1:live");

    assert_eq!(lease.end(EndReason::Unpublished).await, Ending::Recorded(Released::Ended));
    assert_eq!(world.belief(&pass), Belief::Over);
    assert_eq!(world.story().await, "1:granted 1:live 1:ended:unpublished");
    assert_eq!((node.keeper.lease_count(), world.view().await), (0, None));
    assert_eq!(node.metric("onair_lease_grants_total"), 1.0);
    assert_eq!(node.metric("onair_lease_lives_total"), 1.0);
    assert_eq!(node.metric("onair_lease_ends_total{reason=\"unpublished\"}"), 1.0);
    assert_eq!(node.metric("onair_lease_held"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_while_a_call_is_in_flight_goes_into_the_next_one() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::Slow(Duration::from_millis(100)));
    let claims: Vec<_> = (1..=50)
        .map(|session| {
            let keeper = node.keeper.clone();
            let claim = world.claim(&node, session);
            tokio::spawn(async move {
                // The first is on its way when the others come.
                pass_ms(u64::from(session != 1)).await;
                keeper.claim(claim).await
            })
        })
        .collect();
    pass_ms(150).await;
    assert_eq!(world.registry.calls(), [(1, 0, 0), (49, 0, 0)]);
    assert_eq!(world.story().await, "1:granted");
    claims.into_iter().for_each(|claim| claim.abort());
}

#[tokio::test(start_paused = true)]
async fn a_belief_counts_from_when_the_confirmed_call_was_sent() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::Slow(Duration::from_millis(390)));
    let lease = world.publish(&node, 1).await.unwrap();
    assert_eq!(world.ms(), 390);
    world.registry.set(Fault::LoseRequests);
    let pass = lease.pass();
    // TTL 10 s less the margin of 0.5 s, from the sending at 0 ms.
    pass_ms(9_499 - world.ms()).await;
    assert_eq!(world.belief(&pass), Belief::Mine);
    pass_ms(1).await;
    assert_eq!(world.belief(&pass), Belief::Riding);

    // The verdict comes as soon as the registry is back: still ours, since nobody asked for it.
    world.registry.set(Fault::None);
    pass_ms(1_500).await;
    assert_eq!(world.belief(&pass), Belief::Mine);
    assert_eq!(last_signal(&lease), LeaseSignal::Held);
    assert!(node.metric("onair_lease_calls_failed_total") > 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_answered_late_is_not_believed_for_longer() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    world.registry.set(Fault::Slow(Duration::from_millis(390)));
    world.registry.calls();
    while world.registry.calls().is_empty() {
        pass_ms(1).await;
    }
    // Sent a moment ago; answered in a while; the next one will not be answered.
    let sent = world.ms();
    pass_ms(395).await;
    world.registry.set(Fault::LoseRequests);
    pass_ms(sent + 9_495 - world.ms()).await;
    assert_eq!(world.belief(&lease.pass()), Belief::Mine);
    pass_ms(10).await;
    assert_eq!(world.belief(&lease.pass()), Belief::Riding);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_without_an_answer_is_repeated_every_second() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    world.registry.set(Fault::LoseRequests);
    pass_ms(4_000).await;
    world.registry.calls();
    pass_ms(20_000).await;
    let calls = world.registry.calls();
    assert!((19..=28).contains(&calls.len()), "{} calls in twenty seconds", calls.len());
    assert!(calls.iter().all(|call| *call == (0, 1, 0)), "{calls:?}");
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn renewals_keep_a_session_believing_for_as_long_as_it_lasts() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    for _ in 0..600 {
        pass_ms(1_000).await;
        assert_eq!(world.belief(&lease.pass()), Belief::Mine);
        assert_eq!(world.registry.tick(world.room.shard(), 10).await.unwrap().reaped, vec![]);
    }
    let calls = world.registry.calls().len();
    assert!((180..=225).contains(&calls), "{calls} calls in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_answer_is_not_believed() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    world.registry.set(Fault::Unconfirmed);
    pass_ms(9_600).await;
    assert_eq!(world.belief(&lease.pass()), Belief::Riding);
    assert!(node.metric("onair_lease_unconfirmed_total") >= 2.0);
    world.registry.set(Fault::None);
    pass_ms(3_400).await;
    assert_eq!(world.belief(&lease.pass()), Belief::Mine);
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_grant_is_given_back() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::Unconfirmed);
    assert_eq!(world.publish(&node, 1).await.err(), Some(Refusal::Unconfirmed));
    world.registry.set(Fault::None);
    assert_eq!(node.keeper.idle(Duration::from_secs(1)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:ended:unconfirmed");
    assert!(world.publish(&node, 2).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_makes_the_same_claim_again_and_no_second_grant() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::LoseReplies);
    let claim = node.claiming(world.claim(&node, 1));
    pass_ms(1_000).await;
    assert!(world.registry.calls().len() >= 2);
    world.registry.set(Fault::None);
    let lease = claim.await.unwrap().unwrap();
    assert_eq!(world.story().await, "1:granted");
    assert_eq!(world.view().await.unwrap().card, *lease.card());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_does_not_answer_refuses_after_four_seconds_and_gets_back_what_it_granted() {
    let world = World::new().await;
    let node = world.node("a");
    world.registry.set(Fault::LoseReplies);
    assert_eq!(world.publish(&node, 1).await.err(), Some(Refusal::Unreachable));
    assert!((4_000..=4_400).contains(&world.ms()), "{} ms", world.ms());
    assert_eq!(world.story().await, "1:granted");
    world.registry.set(Fault::None);
    assert_eq!(node.keeper.idle(Duration::from_secs(2)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:ended:unconfirmed");
    assert_eq!(node.metric("onair_lease_refusals_total{reason=\"unreachable\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_goes_away_while_it_claims_leaves_nothing_behind() {
    let world = World::new().await;
    let node = world.node("a");
    // Before it was sent.
    drop(node.keeper.claim(world.claim(&node, 1)));
    // While it is on its way, with the answer yet to come.
    world.registry.set(Fault::Slow(Duration::from_millis(100)));
    let claim = node.keeper.claim(world.claim(&node, 2));
    assert!(tokio::time::timeout(Duration::from_millis(50), claim).await.is_err());
    pass_ms(300).await;
    assert_eq!(world.story().await, "2:granted 2:ended:unconfirmed");
    // While it is on its way, with the answer lost.
    world.registry.set(Fault::LoseReplies);
    let claim = node.keeper.claim(world.claim(&node, 3));
    assert!(tokio::time::timeout(Duration::from_millis(50), claim).await.is_err());
    world.registry.set(Fault::None);
    pass_ms(1_000).await;
    assert_eq!(world.story().await, "2:granted 2:ended:unconfirmed 3:granted 3:ended:unconfirmed");
    // After it was answered, before anybody looked.
    {
        let mut claim = std::pin::pin!(node.keeper.claim(world.claim(&node, 4)));
        assert!(claim.as_mut().now_or_never().is_none());
        pass_ms(10).await;
        assert_eq!(node.keeper.lease_count(), 1);
    }
    pass_ms(10).await;
    assert!(world.story().await.ends_with("4:granted 4:ended:unconfirmed"));
    assert_eq!((node.keeper.lease_count(), node.keeper.idle(Duration::ZERO).await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_dropped_without_a_word_ends_as_a_crash() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    let pass = lease.pass();
    let connection = tokio::spawn(async move {
        let _lease = lease;
        panic!("a connection's handler panics, as the test wants");
    });
    assert!(connection.await.is_err());
    assert_eq!(world.belief(&pass), Belief::Over);
    assert_eq!(node.keeper.idle(Duration::from_secs(1)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:ended:crash");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_nobody_waits_for_still_has_its_reason() {
    let world = World::new().await;
    let node = world.node("a");
    drop(world.publish(&node, 1).await.unwrap().end(EndReason::Policy));
    pass_ms(1).await;
    world.publish(&node, 2).await.unwrap().end_detached(EndReason::Drain);
    assert_eq!(node.keeper.idle(Duration::from_secs(1)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:ended:policy 2:granted 2:ended:drain");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_recorded_yet_is_recorded_later_with_its_reason() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    world.registry.set(Fault::LoseRequests);
    let before = world.ms();
    assert_eq!(lease.end(EndReason::Disconnected).await, Ending::Queued);
    assert_eq!(world.ms() - before, 800);
    assert_eq!(node.keeper.idle(Duration::from_secs(5)).await, 1);
    assert_eq!(node.metric("onair_lease_outstanding"), 1.0);
    // Long after its deadline, but nobody has found it dead.
    pass_ms(60_000).await;
    world.registry.set(Fault::None);
    assert_eq!(node.keeper.idle(Duration::from_secs(1)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:ended:disconnected");
}

#[tokio::test(start_paused = true)]
async fn an_order_reaches_its_session_at_once() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    let mut signals = signals(&lease);
    let order = Order { reason: EndReason::EndedByApi, note: "enough".to_owned() };
    pass_ms(100).await;
    world.registry.order(&world.room, &order).await.unwrap();
    signals.changed().await.unwrap();
    assert!(world.ms() <= 101, "{} ms", world.ms());
    assert_eq!(*signals.borrow_and_update(), LeaseSignal::Ordered(order.clone()));
    // Said once, though every renewal repeats it; and the session still holds its room until it obeys.
    pass_ms(10_000).await;
    assert!(!signals.has_changed().unwrap());
    assert_eq!(world.belief(&lease.pass()), Belief::Mine);
    assert_eq!(node.metric("onair_lease_orders_total{reason=\"ended_by_api\"}"), 1.0);
    lease.end(order.reason).await;
    assert_eq!(world.story().await, "1:granted 1:ended:ended_by_api");
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_ring_is_lost_comes_with_the_next_renewal() {
    let world = World::new().await;
    world.registry.deafen();
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    assert!(world.registry.revoke(&world.key).await.unwrap());
    pass_ms(3_400).await;
    assert!(matches!(last_signal(&lease), LeaseSignal::Ordered(order) if order.reason == EndReason::Revoked));
    lease.end(EndReason::Revoked).await;
    assert_eq!(world.publish(&node, 2).await.err(), Some(Refusal::Denied(Denial::Revoked)));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_found_dead_is_told_so_and_gives_nothing_back() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    pass_ms(1_000).await;
    // The node is cut off for longer than the registry waits.
    world.registry.set(Fault::LoseRequests);
    pass_ms(16_000).await;
    assert_eq!(world.belief(&lease.pass()), Belief::Riding);
    assert_eq!(world.registry.tick(world.room.shard(), 10).await.unwrap().reaped.len(), 1);
    world.registry.set(Fault::None);
    pass_ms(1_500).await;
    assert_eq!(world.belief(&lease.pass()), Belief::Over);
    assert_eq!(last_signal(&lease), LeaseSignal::Lost { by: None });
    assert_eq!(node.keeper.lease_count(), 0);
    assert_eq!(lease.end(EndReason::Disconnected).await, Ending::Recorded(Released::AlreadyOver));
    assert_eq!(world.story().await, "1:granted 1:live 1:ended:lost");
    assert_eq!(node.metric("onair_lease_losses_total"), 1.0);
    streaming.abort();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_replaced_is_told_by_whom() {
    let world = World::new().await;
    let (cut_off, other) = (world.node("a"), world.node("b"));
    let old = world.publish(&cut_off, 1).await.unwrap();
    cut_off.stop_running();
    pass_ms(12_000).await;
    let new = world.publish(&other, 2).await.unwrap();
    assert_eq!(world.story().await, "1:granted 1:ended:lost 2:granted");
    assert!(new.card().epoch > old.card().epoch);
    let mut cut_off = cut_off;
    cut_off.run_again();
    pass_ms(10).await;
    assert_eq!(last_signal(&old), LeaseSignal::Lost { by: Some(new.card().epoch) });
    assert_eq!(last_signal(&new), LeaseSignal::Held);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_loop_loses_no_lease_no_claim_and_no_release() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    world.registry.set(Fault::Panic);
    lease.pass().live(world.clock.unix());
    pass_ms(10).await;
    assert_eq!(world.story().await, "1:granted 1:live", "the call took effect before it panicked");
    for _ in 0..30 {
        pass_ms(1_000).await;
        assert_eq!(world.belief(&lease.pass()), Belief::Mine);
    }
    world.registry.set(Fault::Panic);
    assert_eq!(lease.end(EndReason::Unpublished).await, Ending::Recorded(Released::AlreadyOver));
    world.registry.set(Fault::Panic);
    let lease = world.publish(&node, 2).await.unwrap();
    drop(lease);
    assert_eq!(node.keeper.idle(Duration::from_secs(1)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:live 1:ended:unpublished 2:granted 2:ended:crash");
}

#[tokio::test(start_paused = true)]
async fn a_loop_stopped_in_the_middle_of_a_call_takes_up_where_it_was() {
    let world = World::new().await;
    let mut node = world.node("a");
    world.registry.set(Fault::Slow(Duration::from_millis(100)));
    let claim = node.claiming(world.claim(&node, 1));
    pass_ms(50).await;
    node.stop_running();
    pass_ms(500).await;
    assert_eq!(world.story().await, "1:granted", "granted, but nobody heard the answer");
    node.run_again();
    let lease = claim.await.unwrap().unwrap();
    node.stop_running();
    lease.end_detached(EndReason::Unpublished);
    pass_ms(500).await;
    node.run_again();
    assert_eq!(node.keeper.idle(Duration::from_secs(1)).await, 0);
    assert_eq!(world.story().await, "1:granted 1:ended:unpublished");
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_refused_even_when_no_loop_runs() {
    let world = World::new().await;
    let node = world.node("a");
    pass_ms(1).await;
    node.stop_running();
    assert_eq!(world.publish(&node, 1).await.err(), Some(Refusal::Unreachable));
    assert_eq!(world.story().await, "");
}

#[tokio::test(start_paused = true)]
async fn the_bitrate_is_right_within_a_second_of_going_live() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    pass_ms(700).await;
    let streaming = world.stream(lease.pass());
    pass_ms(1_000).await;
    let facts = world.view().await.unwrap().facts;
    assert!((950..=1_050).contains(&facts.bitrate_kbps), "{facts:?}");
    assert!(facts.bytes_in > 100_000 && facts.last_media_at.is_some(), "{facts:?}");
    pass_ms(10_000).await;
    assert!((950..=1_050).contains(&world.view().await.unwrap().facts.bitrate_kbps));
    streaming.abort();
    pass_ms(7_000).await;
    assert_eq!(world.view().await.unwrap().facts.bitrate_kbps, 0);
}

#[tokio::test(start_paused = true)]
async fn changed_facts_are_sent_promptly_and_at_most_once_a_second() {
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    pass_ms(1).await;
    world.registry.calls();
    for players in 1..=200 {
        lease.set_facts(|facts| {
            facts.players = players;
            facts.bytes_in = 77;
        });
        pass_ms(50).await;
    }
    let calls = world.registry.calls().len();
    assert!((9..=14).contains(&calls), "{calls} calls in ten seconds");
    pass_ms(1_000).await;
    let facts = world.view().await.unwrap().facts;
    assert_eq!((facts.players, facts.bytes_in), (200, 0), "bytes are the pass's to count");
    world.registry.calls();
    lease.set_facts(|facts| facts.players = 200);
    pass_ms(1_100).await;
    assert!(world.registry.calls().len() <= 1, "facts that did not change are not sent for their own sake");
}

#[tokio::test(start_paused = true)]
async fn a_session_of_this_node_that_nobody_here_knows_is_no_obstacle() {
    for takeover in [Takeover::Idle, Takeover::Never] {
        let world = World::with_takeover(takeover).await;
        let (node, other) = (world.node("a"), world.node("b"));
        pass_ms(1).await;
        let unheard = Batch { claims: vec![world.claim_from_afar(&node, 1)], ..Batch::default() };
        world.registry.commit(&unheard).await;
        // To another node it is a holder like any other.
        assert!(matches!(world.publish(&other, 2).await, Err(Refusal::Busy { .. })));
        let lease = world.publish(&node, 3).await.unwrap();
        assert_eq!(world.story().await, "1:granted 1:ended:unconfirmed 3:granted");
        drop(lease);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_of_another_process_with_this_nodes_name_is_left_alone_once_it_renews() {
    let world = World::new().await;
    let (old, new) = (world.node("a"), world.node("a"));
    let lease = world.publish(&new, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    pass_ms(5_000).await;
    let refused = old.keeper.claim(world.claim_from_afar(&old, 2)).await;
    assert!(matches!(refused, Err(Refusal::Busy { .. })), "{refused:?}");
    assert_eq!(world.story().await, "1:granted 1:live");
    streaming.abort();
}
