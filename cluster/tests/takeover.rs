//! A second publisher is a request, never a theft: who yields to whom, and exactly when.
//!
//! Method: two nodes on one registry and tokio's paused clock; a holder that streams a frame every 30 ms, or stops.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::clock::Clock;
use onair_cluster::events::EndReason;
use onair_cluster::keeper::Refusal;
use onair_cluster::lease::{Belief, Ending, Lease, LeaseSignal};
use onair_cluster::registry::{Claim, Released, Takeover};
use support::{Node, World, last_signal, pass_ms};

/// Comes back every 200 ms, like an impatient encoder, until it is let in.
async fn retry(world: &World, node: &Node, claim: impl Fn(u128) -> Claim) -> Lease {
    for session in 100.. {
        match node.keeper.claim(claim(session)).await {
            Ok(lease) => return lease,
            Err(Refusal::Busy { .. }) => pass_ms(200).await,
            Err(other) => panic!("refused at {} ms: {other}", world.ms()),
        }
    }
    unreachable!("there are enough session ids")
}

/// A holder that streamed until 10 s and froze there; who replaces it after how many ms of silence?
async fn silence_until_replaced(holder_node: &str, newcomer_node: &str, from_afar: bool) -> u64 {
    let world = World::new().await;
    let holder_at = world.node(holder_node);
    let other;
    let newcomer_at = if holder_node == newcomer_node {
        &holder_at
    } else {
        other = world.node(newcomer_node);
        &other
    };
    let old = world.publish(&holder_at, 1).await.unwrap();
    let streaming = world.stream(old.pass());
    pass_ms(10_000).await;
    streaming.abort();
    let new = retry(&world, newcomer_at, |session| {
        if from_afar {
            world.claim_from_afar(newcomer_at, session)
        } else {
            world.claim(newcomer_at, session)
        }
    })
    .await;
    let silence = world.ms() - 9_990;
    assert_eq!(last_signal(&old), LeaseSignal::Superseded);
    assert_eq!(world.belief(&old.pass()), Belief::Over);
    assert_eq!(world.belief(&new.pass()), Belief::Mine);
    assert!(new.card().epoch > old.card().epoch);
    assert_eq!(old.end(EndReason::Disconnected).await, Ending::Recorded(Released::AlreadyOver));
    let newcomer = new.card().session_id.0;
    assert_eq!(world.story().await, format!("1:granted 1:live 1:ended:superseded {newcomer}:granted"));
    assert_eq!(holder_at.metric("onair_lease_ends_total{reason=\"superseded\"}"), 1.0);
    silence
}

#[tokio::test(start_paused = true)]
async fn a_frozen_holder_yields_to_its_own_ghost_after_one_second() {
    for newcomer_node in ["a", "b"] {
        let silence = silence_until_replaced("a", newcomer_node, false).await;
        assert!((1_000..1_100).contains(&silence), "{silence} ms of silence");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_holder_yields_to_a_stranger_after_five_seconds() {
    for newcomer_node in ["a", "b"] {
        let silence = silence_until_replaced("a", newcomer_node, true).await;
        assert!((5_000..5_300).contains(&silence), "{silence} ms of silence");
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_sends_a_frame_every_30_ms_is_never_replaced() {
    let world = World::new().await;
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    for round in 0..100 {
        for (claim, node) in
            [(world.claim(&b, 1_000 + round), &b), (world.claim_from_afar(&a, 2_000 + round), &a)]
        {
            let refusal = node.keeper.claim(claim).await.err();
            assert!(matches!(refusal, Some(Refusal::Busy { holder }) if holder.session_id.0 == 1));
        }
    }
    assert!(world.ms() > 300_000, "every newcomer is given its two seconds");
    assert_eq!(last_signal(&lease), LeaseSignal::Held);
    assert_eq!(world.story().await, "1:granted 1:live");
    streaming.abort();
}

#[tokio::test(start_paused = true)]
async fn a_holder_without_any_media_yields_counting_from_its_grant() {
    let world = World::new().await;
    let (a, b) = (world.node("a"), world.node("b"));
    let old = world.publish(&a, 1).await.unwrap();
    let new = world.publish(&b, 2).await.unwrap();
    assert!((1_000..1_010).contains(&world.ms()), "{} ms", world.ms());
    assert_eq!(world.story().await, "1:granted 1:ended:superseded 2:granted");
    drop((old, new));
}

#[tokio::test(start_paused = true)]
async fn a_refused_newcomer_has_waited_two_seconds_and_learns_who_holds_the_room() {
    let world = World::new().await;
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    pass_ms(500).await;
    let refusal = world.publish(&b, 2).await.err().unwrap();
    assert_eq!(world.ms(), 2_500);
    let Refusal::Busy { holder } = &refusal else { panic!("{refusal}") };
    assert_eq!((holder.session_id.0, &holder.node_id, holder.epoch), (1, &a.id, lease.card().epoch));
    assert!(!refusal.public_text().contains('a'.to_string().repeat(2).as_str()));
    assert_eq!(b.metric("onair_lease_refusals_total{reason=\"busy\"}"), 1.0);
    streaming.abort();
}

#[tokio::test(start_paused = true)]
async fn never_is_refused_at_once_and_always_is_let_in_at_once() {
    let world = World::with_takeover(Takeover::Never).await;
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    pass_ms(60_000).await;
    let before = world.ms();
    assert!(matches!(world.publish(&b, 2).await.err(), Some(Refusal::Busy { .. })));
    assert_eq!(world.ms(), before);
    drop(lease);

    let world = World::with_takeover(Takeover::Always).await;
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    pass_ms(3_000).await;
    let before = world.ms();
    let new = world.publish(&b, 2).await.unwrap();
    assert!(world.ms() - before <= 5, "{} ms", world.ms() - before);
    // At most one takeover a second: the one who was thrown out cannot throw out in turn.
    let refusal = world.publish(&a, 3).await.err();
    assert!(matches!(refusal, Some(Refusal::Busy { .. })));
    assert!(world.ms() - before <= 10);
    assert_eq!(last_signal(&new), LeaseSignal::Held);
    pass_ms(1_000).await;
    assert!(world.publish(&a, 4).await.is_ok());
    streaming.abort();
}

#[tokio::test(start_paused = true)]
async fn a_room_that_comes_free_goes_to_who_waits_for_it() {
    let world = World::new().await;
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    pass_ms(1_000).await;
    let waiting = tokio::spawn({
        let (keeper, claim) = (b.keeper.clone(), world.claim_from_afar(&b, 2));
        let clock = Arc::clone(&world.clock);
        async move { keeper.claim(claim).await.map(|lease| (lease, clock.unix())) }
    });
    pass_ms(700).await;
    lease.end(EndReason::Unpublished).await;
    let free_at = world.clock.unix();
    let (new, granted_at) = waiting.await.unwrap().unwrap();
    assert!(granted_at.since(free_at) <= 2, "{granted_at} after {free_at}");
    assert_eq!(world.story().await, "1:granted 1:live 1:ended:unpublished 2:granted");
    drop(new);
    streaming.abort();
}

#[tokio::test(start_paused = true)]
async fn a_room_that_comes_free_unheard_is_found_before_the_newcomer_gives_up() {
    let world = World::new().await;
    world.registry.deafen();
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    pass_ms(1_000).await;
    let waiting = b.claiming(world.claim_from_afar(&b, 2));
    pass_ms(100).await;
    lease.end(EndReason::Unpublished).await;
    assert!(waiting.await.unwrap().is_ok());
    assert!(world.ms() <= 2_510, "{} ms", world.ms());
    streaming.abort();
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_that_gave_up_waiting_is_not_let_in() {
    let world = World::new().await;
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    pass_ms(1_000).await;
    let claim = b.keeper.claim(world.claim(&b, 2));
    assert!(tokio::time::timeout(Duration::from_millis(500), claim).await.is_err());
    assert_eq!(b.keeper.idle(Duration::ZERO).await, 0);
    lease.end(EndReason::Unpublished).await;
    pass_ms(5_000).await;
    assert_eq!(world.story().await, "1:granted 1:live 1:ended:unpublished");
    streaming.abort();
}

#[tokio::test(start_paused = true)]
async fn a_room_is_not_given_up_for_a_newcomer_that_has_gone_away() {
    let world = World::new().await;
    let (a, b) = (world.node("a"), world.node("b"));
    let lease = world.publish(&a, 1).await.unwrap();
    let streaming = world.stream(lease.pass());
    pass_ms(1_000).await;
    assert!(world.publish(&b, 2).await.is_err());
    streaming.abort();
    pass_ms(60_000).await;
    assert_eq!(last_signal(&lease), LeaseSignal::Held);
    assert_eq!(world.story().await, "1:granted 1:live");
}

#[tokio::test(start_paused = true)]
async fn rings_and_claims_do_not_drive_each_other_without_end() {
    let world = World::new().await;
    // The registry knows a lease of this node that the node itself has forgotten, so its own claims ring at itself. It was
    // renewed, as another process under the same name would do: one that never was is given back.
    let before = world.node("a");
    let forgotten = world.publish(&before, 1).await.unwrap();
    pass_ms(6_500).await;
    before.stop_running();
    let after = world.node("a");
    world.registry.calls();
    let (one, other) = (world.claim(&after, 2), world.claim(&after, 3));
    let (one, other) = tokio::join!(after.keeper.claim(one), after.keeper.claim(other));
    assert!(one.is_err() && other.is_err());
    let calls = world.registry.calls().len();
    assert!(calls <= 120, "{calls} calls in two seconds");
    drop(forgotten);
}
