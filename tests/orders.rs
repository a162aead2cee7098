//! Ends and revocations asked for at the Manager reach the node that holds the socket: at once by the doorbell, and by the next
//! renewal where the doorbell is dumb.

mod support;

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::time::BootTime;
use onair_testkit::redis::Redis;
use serde_json::json;
use support::{Address, Crowd, Fleet, LONG, Store, eventually, quantile, secs};

/// What is asked for.
#[derive(Clone, Copy)]
enum Order {
    End,
    Revoke,
}

/// Puts `address` on air at `node`, asks the Manager to cut it after so many pictures, and gives how long that took from the
/// request on.
fn cut(
    fleet: &Fleet,
    crowd: &Crowd,
    address: &Address,
    node: usize,
    order: Order,
    pictures: u64,
) -> Duration {
    let mut on_air =
        eventually("a free room", LONG, || crowd.publish(None, address, fleet.nodes[node].rtmp).ok());
    let id = on_air.id();
    let sending = crowd.runtime().spawn(async move {
        let outcome = on_air.send_for(LONG).await;
        let at = BootTime::now();
        let error = outcome.expect_err("cut");
        on_air.cut(&error);
        at
    });
    eventually("the first media", LONG, || {
        crowd.attempts().iter().any(|a| a.id == id && a.pictures >= pictures).then_some(())
    });
    let asked_at = BootTime::now();
    let (status, body) = match order {
        Order::End => {
            fleet.api().post(&format!("/v1/rooms/{}/end", address.room), &json!({ "reason": "enough" }))
        }
        Order::Revoke => fleet.api().delete(&format!("/v1/live-keys/{}", address.live_key_id)),
    };
    assert!((200..300).contains(&status), "{status} {body}");
    crowd.runtime().block_on(sending).expect("no panic").since(asked_at)
}

/// Cuts `count` sessions, half by each order, and prints how long that took.
fn cut_many(what: &str, fleet: &Fleet, crowd: &Arc<Crowd>, count: usize, pictures: u64) -> Vec<Duration> {
    let addresses: Vec<_> =
        (0..count).map(|n| fleet.address(&format!("{}-{n}", what.replace(' ', "-")))).collect();
    let times: Vec<_> = addresses
        .iter()
        .enumerate()
        .map(|(n, address)| {
            let order = if n % 2 == 0 { Order::End } else { Order::Revoke };
            cut(fleet, crowd, address, n % fleet.nodes.len(), order, pictures)
        })
        .collect();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(times.clone(), share));
    println!("{what}: {count} cuts, p50 {p50:.1?}, p99 {p99:.1?}, longest {max:.1?}");

    let ledger = fleet.wait_ledger("every end on record", LONG, |ledger| {
        ledger.sessions.iter().all(|s| s.ended_at.is_some())
    });
    for (n, address) in addresses.iter().enumerate() {
        let expected = if n % 2 == 0 { "ended_by_api" } else { "revoked" };
        let told: Vec<_> = ledger.of_room(&address.room).iter().map(|s| s.end_reason.clone()).collect();
        assert_eq!(told, [Some(expected.to_owned())], "{}", address.room);
    }
    assert_eq!(ledger.faults_of_messages(), Vec::<String>::new());
    times
}

#[test]
fn ends_and_revocations_cut_at_once_wherever_the_socket_is_and_by_renewal_without_a_doorbell() {
    let fleet = Fleet::start(Store::Single(Redis::start()), 2);
    let crowd = Arc::new(Crowd::new());
    cut_many("with the doorbell", &fleet, &crowd, 200, 1);

    // Nobody may subscribe any more, and who has is thrown out.
    let redis = fleet.store.single();
    redis.command(&["ACL", "SETUSER", "default", "-subscribe", "-psubscribe", "-ssubscribe"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    redis.wait_until("nobody to be subscribed", LONG, |redis| {
        redis.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().trim().is_empty()
    });
    // A session's first renewals come early; after two seconds they come in their usual pace.
    let times = cut_many("without the doorbell", &fleet, &crowd, 10, 20);
    // Not by a deadline: those are further away.
    assert!(times.iter().all(|took| *took < secs(9)), "{times:?}");
}
