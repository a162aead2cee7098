//! An event that PostgreSQL will not take is put aside, and its shard goes on.

use super::{Play, one_at_a_time, verdict::identity};
use crate::support::{Address, LONG, eventually, secs};

/// Two rooms of one shard, which the first two digits of a live key's id tell.
fn two_of_one_shard(play: &Play) -> [Address; 2] {
    let mut known: Vec<Address> = Vec::new();
    for n in 0.. {
        let address = play.works.address(&format!("neighbour-{n}"));
        if let Some(other) = known.iter().find(|a| a.live_key_id[..2] == address.live_key_id[..2]) {
            return [other.clone(), address];
        }
        known.push(address);
    }
    unreachable!("there are 64 shards")
}

#[test]
fn an_event_that_postgres_refuses_is_quarantined_and_its_shard_goes_on() {
    let _alone = one_at_a_time();
    let mut play = Play::start(0);
    play.close();
    let [cursed, neighbour] = two_of_one_shard(&play);
    // A rule that no Manager knows of stands for whatever a database may hold against a row.
    let curse = format!("ALTER TABLE session ADD CONSTRAINT curse CHECK (room_id <> '{}')", cursed.room);
    play.works.sql(&curse);

    for (n, address) in [&cursed, &neighbour, &cursed, &neighbour].into_iter().enumerate() {
        let node = play.works.nodes[n % 2].rtmp;
        let mut on_air = play.crowd.publish(None, address, node).expect("on air all the same");
        play.crowd.runtime().block_on(on_air.send_for(secs(1))).expect("all the same");
        play.crowd.runtime().block_on(on_air.unpublish());
    }
    let ledger = play.works.wait_ledger("the neighbour's broadcasts", LONG, |ledger| {
        let ended = ledger.of_room(&neighbour.room).iter().filter(|s| s.ended_at.is_some()).count();
        ended == 2 && ledger.messages.iter().all(|m| m.shipped_at.is_some())
    });
    let refused = play.works.sql("SELECT event_id, room_id, error FROM quarantine ORDER BY id");
    println!("in quarantine:\n{refused}");
    assert!(ledger.quarantined > 0);
    assert!(refused.lines().all(|row| row.contains(&cursed.room)), "nobody else's");
    let metric = |name: &str| play.works.managers().map(|m| m.metric(name)).sum::<f64>();
    assert!(metric("onair_manager_events_quarantined_total") > 0.0, "it is visible");

    let told: Vec<_> = play.records.rest().iter().map(|r| r.key.clone().unwrap_or_default()).collect();
    assert_eq!(told, vec![neighbour.room.clone(); 4], "started, ended, started, ended");
    eventually("the feed to tell the same", LONG, || (play.follower.count() >= 4).then_some(()));
    let fed = play.follower.followed().events;
    assert!(fed.iter().all(|e| identity(&e.data).is_some_and(|(_, room)| room == neighbour.room)), "{fed:?}");
}
