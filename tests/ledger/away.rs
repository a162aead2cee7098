//! One of the stores is away for a while: what does not need it goes on, and afterwards everything is told.

use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::json;

use super::producers::ENDLESS;
use super::{Play, assert_holds, one_at_a_time};
use crate::support::crowd::OnAir;
use crate::support::{Address, LONG, Works, eventually, scale, secs};

/// Puts `address` on air and waits until every Manager shows it.
fn on_air(play: &Play, address: &Address) -> OnAir {
    let node = play.works.nodes[0].rtmp;
    let mut on_air = play.crowd.publish(None, address, node).expect("a broadcast starts");
    play.crowd.runtime().block_on(on_air.send_for(secs(1))).expect("and runs");
    for manager in play.works.managers() {
        let session = play.works.api_of(manager).live_session(&address.room);
        assert_eq!(session["live_key_id"], address.live_key_id.as_str(), "{session}");
    }
    on_air
}

/// The server must cut it, and soon.
fn is_cut(play: &Play, mut on_air: OnAir) {
    let error = play.crowd.runtime().block_on(on_air.send_for(LONG)).expect_err("cut");
    on_air.cut(&error);
}

/// A broadcast starts, is seen, and is ended; another one's key is revoked.
fn operators_are_obeyed(play: &Play, addresses: &[Address; 2]) {
    let [to_end, to_revoke] = addresses;
    let broadcast = on_air(play, to_end);
    let path = format!("/v1/rooms/{}/end", to_end.room);
    let (status, body) = play.works.api().post(&path, &json!({ "reason": "enough" }));
    assert!((200..300).contains(&status), "{status} {body}");
    is_cut(play, broadcast);

    let broadcast = on_air(play, to_revoke);
    let (status, body) = play.works.api().delete(&format!("/v1/live-keys/{}", to_revoke.live_key_id));
    assert!((200..300).contains(&status), "{status} {body}");
    is_cut(play, broadcast);
    play.crowd.publish(None, to_revoke, play.works.nodes[1].rtmp).err().expect("a revoked key opens nothing");
}

fn two_more(works: &Works) -> [Address; 2] {
    [works.address("one-to-end"), works.address("one-to-revoke")]
}

#[test]
fn while_postgres_is_away_broadcasts_and_orders_go_on_and_afterwards_all_is_told() {
    let _alone = one_at_a_time();
    let play = Play::start(ENDLESS);
    let addresses = two_more(&play.works);
    eventually("the first sessions", LONG, || (play.sessions_so_far() > 20).then_some(()));

    play.works.postgres.stop();
    let (left_at, before) = (Instant::now(), play.sessions_so_far());
    operators_are_obeyed(&play, &addresses);
    for manager in play.works.managers() {
        let (status, problem) = play.works.api_of(manager).get("/v1/broadcasts");
        assert_eq!(status, 503, "{problem}");
        println!("the history says: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
    std::thread::sleep(scale(secs(15), secs(120)).saturating_sub(left_at.elapsed()));
    println!("{} sessions while PostgreSQL was away", play.sessions_so_far() - before);
    assert!(play.sessions_so_far() > before + 5);
    play.works.postgres.restart();

    let back_at = Instant::now();
    eventually("the history", LONG, || (play.works.api().status("/v1/broadcasts") == 200).then_some(()));
    println!("the history answers {:.1?} after PostgreSQL is back", back_at.elapsed());
    play.left.store(0, Ordering::Relaxed);
    assert_holds(&play.judge("postgres-away"));
}

#[test]
fn while_kafka_is_away_the_live_db_and_the_feed_go_on_and_afterwards_all_is_shipped() {
    let _alone = one_at_a_time();
    let mut play = Play::start(ENDLESS);
    let addresses = two_more(&play.works);
    eventually("the first sessions", LONG, || (play.sessions_so_far() > 20).then_some(()));

    play.works.kafka.stop();
    let left_at = Instant::now();
    operators_are_obeyed(&play, &addresses);
    std::thread::sleep(scale(secs(15), secs(120)).saturating_sub(left_at.elapsed()));
    play.left.store(0, Ordering::Relaxed);
    play.close();
    let ledger = play.works.wait_ledger("every end on record while Kafka is away", LONG, |ledger| {
        ledger.sessions.iter().all(|s| s.ended_at.is_some())
    });
    eventually("the feed to tell it", LONG, || {
        (play.follower.count() == ledger.messages.len()).then_some(())
    });
    let unshipped = ledger.messages.iter().filter(|m| m.shipped_at.is_none()).count();
    println!("{unshipped} messages wait for Kafka");
    assert!(unshipped > 0);
    play.works.kafka.restart();
    assert_holds(&play.judge("kafka-away"));
}
