//! Rooms, keys and holds.

use std::time::Duration;

use onair_cluster::LiveKeyId;
use onair_cluster::registry::{Hold, KeyRecord, Takeover};
use onair_manager::config::Retention;
use onair_manager::live_db::{LiveDb, LiveDbError, NewKey, WhyRevoked};

use super::{apply, at, card, ended, granted, producer, room};

pub(crate) async fn made_room(db: &dyn LiveDb, name: &str) {
    db.ensure_room(&producer(&format!("p-{name}")), &room(name), at(0)).await.unwrap();
}

pub(crate) fn key(room_name: &str, created: u64, expires: u64) -> NewKey {
    NewKey {
        live_key_id: LiveKeyId::random(&room(room_name)),
        room_id: room(room_name),
        producer_id: producer(&format!("p-{room_name}")),
        takeover: Takeover::Never,
        max_duration: Some(Duration::from_secs(3_600)),
        max_bitrate: Some(6_000_000),
        created_at: at(created),
        expires_at: at(expires),
    }
}

pub(crate) async fn a_producer_has_one_room_for_ever(db: &dyn LiveDb) {
    let first = db.ensure_room(&producer("anna"), &room("one"), at(0)).await.unwrap();
    let again = db.ensure_room(&producer("anna"), &room("two"), at(5)).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(again.room_id, room("one"));
    assert_eq!(again.created_at, at(0));
    assert_eq!(db.room(&room("one")).await.unwrap(), Some(first));
    assert_eq!(db.room(&room("two")).await.unwrap(), None);
}

pub(crate) async fn a_room_of_another_producer_is_refused(db: &dyn LiveDb) {
    db.ensure_room(&producer("anna"), &room("one"), at(0)).await.unwrap();
    let taken = db.ensure_room(&producer("ben"), &room("one"), at(0)).await;
    assert!(matches!(taken, Err(LiveDbError::RoomTaken(_))), "{taken:?}");
}

pub(crate) async fn a_key_reads_back_as_it_was_written(db: &dyn LiveDb) {
    made_room(db, "r").await;
    let new = key("r", 1, 1_000);
    assert_eq!(db.add_key(&new, None, 8).await.unwrap(), []);
    let row = db.key(&new.live_key_id).await.unwrap().unwrap();
    assert_eq!(row.key, new);
    assert_eq!((row.revoked, row.last_used_at), (None, None));
    let plain = NewKey { max_duration: None, takeover: Takeover::Idle, ..key("r", 1, 1_000) };
    db.add_key(&plain, None, 8).await.unwrap();
    assert_eq!(db.key(&plain.live_key_id).await.unwrap().unwrap().key, plain);
    assert_eq!(db.key(&LiveKeyId::random(&room("r"))).await.unwrap(), None);
}

pub(crate) async fn one_key_too_many_retires_the_one_idle_longest(db: &dyn LiveDb) {
    made_room(db, "r").await;
    let keys: Vec<_> = (1..=4).map(|n| key("r", n, 1_000_000)).collect();
    for key in &keys[..3] {
        assert_eq!(db.add_key(key, None, 3).await.unwrap(), []);
    }
    // The oldest was used since, so the second oldest is idle longest.
    let used = super::SessionCard { live_key_id: keys[0].live_key_id.clone(), ..card("r", 50) };
    apply(db, &[granted(&used), ended(&used, None, at(60), super::EndReason::Disconnected)], at(60))
        .await
        .unwrap();
    assert_eq!(db.key(&keys[0].live_key_id).await.unwrap().unwrap().last_used_at, Some(at(50)));
    assert_eq!(db.add_key(&keys[3], None, 3).await.unwrap(), [keys[1].live_key_id.clone()]);
    let row = db.key(&keys[1].live_key_id).await.unwrap().unwrap();
    assert_eq!(row.revoked, Some((at(4), WhyRevoked::Retired)));
    assert_eq!(db.key(&keys[0].live_key_id).await.unwrap().unwrap().revoked, None);
}

pub(crate) async fn a_key_on_air_is_never_retired(db: &dyn LiveDb) {
    made_room(db, "r").await;
    let keys: Vec<_> = (1..=4).map(|n| key("r", n, 1_000_000)).collect();
    db.add_key(&keys[0], None, 1).await.unwrap();
    let on_air = super::SessionCard { live_key_id: keys[0].live_key_id.clone(), ..card("r", 1) };
    apply(db, &[granted(&on_air)], at(1)).await.unwrap();
    // Neither the one of the open session, nor the one that the caller says is in use, nor the new one.
    assert_eq!(db.add_key(&keys[1], None, 1).await.unwrap(), []);
    assert_eq!(db.add_key(&keys[2], Some(&keys[1].live_key_id), 1).await.unwrap(), []);
    let retired = db.add_key(&keys[3], None, 1).await.unwrap();
    assert_eq!(retired, [keys[1].live_key_id.clone(), keys[2].live_key_id.clone()]);
}

pub(crate) async fn expired_and_revoked_keys_take_no_place(db: &dyn LiveDb) {
    made_room(db, "r").await;
    let (expired, revoked, valid) = (key("r", 1, 2), key("r", 1, 1_000), key("r", 1, 1_000));
    for key in [&expired, &revoked, &valid] {
        db.add_key(key, None, 8).await.unwrap();
    }
    db.revoke_key(&revoked.live_key_id, at(5)).await.unwrap();
    assert_eq!(db.add_key(&key("r", 10, 1_000), None, 2).await.unwrap(), []);
}

pub(crate) async fn revoking_twice_keeps_the_first_time(db: &dyn LiveDb) {
    made_room(db, "r").await;
    let new = key("r", 1, 1_000);
    db.add_key(&new, None, 8).await.unwrap();
    let first = db.revoke_key(&new.live_key_id, at(5)).await.unwrap().unwrap();
    assert_eq!(first.revoked, Some((at(5), WhyRevoked::Asked)));
    assert_eq!(db.revoke_key(&new.live_key_id, at(9)).await.unwrap(), Some(first));
    assert_eq!(db.revoke_key(&LiveKeyId::random(&room("r")), at(9)).await.unwrap(), None);
}

pub(crate) async fn keys_and_holds_are_listed_page_by_page_until_they_expire(db: &dyn LiveDb) {
    for n in 0..5 {
        let name = format!("r{n}");
        made_room(db, &name).await;
        db.add_key(&key(&name, 1, 1_000), None, 8).await.unwrap();
        let hold = Hold { until: at(1_000), reason: format!("why {n}") };
        db.put_hold(&room(&name), &hold, at(1)).await.unwrap();
    }
    db.add_key(&key("r0", 1, 10), None, 8).await.unwrap();
    let revoked = db.keys(None, 1, at(20)).await.unwrap().remove(0).live_key_id;
    db.revoke_key(&revoked, at(20)).await.unwrap();

    let mut keys = db.keys(None, 3, at(20)).await.unwrap();
    assert_eq!(keys.len(), 3);
    let last = keys[2].live_key_id.clone();
    keys.extend(db.keys(Some(&last), 3, at(20)).await.unwrap());
    assert_eq!(keys.len(), 5);
    assert!(keys.windows(2).all(|pair| pair[0].live_key_id < pair[1].live_key_id));
    let revoked: Vec<_> = keys.iter().filter(|key| key.revoked).map(|key| &key.live_key_id).collect();
    assert_eq!(
        revoked,
        [&keys[0].live_key_id],
        "a revoked key stays on record, so that its refusal can say why"
    );
    assert_eq!(keys[0].max_duration, Some(Duration::from_secs(3_600)));
    assert_eq!(keys[0].max_bitrate, Some(6_000_000));
    assert_eq!(db.keys(None, 9, at(1_000)).await.unwrap(), []);

    db.put_hold(&room("r0"), &Hold { until: at(2_000), reason: "longer".to_owned() }, at(2)).await.unwrap();
    assert!(db.lift_hold(&room("r1")).await.unwrap());
    assert!(!db.lift_hold(&room("r1")).await.unwrap());
    let holds = db.holds(None, 2, at(20)).await.unwrap();
    assert_eq!((holds[0].room_id.as_str(), holds[0].hold.reason.as_str()), ("r0", "longer"));
    assert_eq!(holds[1].room_id.as_str(), "r2");
    assert_eq!(db.holds(Some(&room("r2")), 9, at(20)).await.unwrap().len(), 2);
    assert_eq!(db.holds(None, 9, at(1_000)).await.unwrap().len(), 1);
}

pub(crate) async fn a_denied_key_is_listed_among_the_others_until_it_may_be_forgotten(db: &dyn LiveDb) {
    let room_row = db.ensure_room(&producer("p"), &room("r"), at(0)).await.unwrap();
    let ours = LiveKeyId::random(&room_row.room_id);
    let key = NewKey {
        live_key_id: ours.clone(),
        room_id: room("r"),
        producer_id: producer("p"),
        takeover: Takeover::Idle,
        max_duration: None,
        max_bitrate: None,
        created_at: at(0),
        expires_at: at(1_000),
    };
    db.add_key(&key, None, 8).await.unwrap();
    let theirs = LiveKeyId::parse(&format!("{}x-1", room("r").shard())).unwrap();
    let record = KeyRecord {
        live_key_id: theirs.clone(),
        room_id: room("r"),
        producer_id: producer("unknown"),
        takeover: Takeover::Idle,
        max_duration: None,
        max_bitrate: None,
        revoked: true,
        expires_at: at(500),
    };
    db.deny_key(&record, at(1)).await.unwrap();
    db.deny_key(&KeyRecord { expires_at: at(100), ..record.clone() }, at(2)).await.unwrap();
    let listed = db.keys(None, 10, at(3)).await.unwrap();
    assert!(listed.is_sorted_by_key(|record| record.live_key_id.clone()));
    assert_eq!(listed.iter().find(|known| known.live_key_id == theirs), Some(&record), "the later end holds");
    let left: Vec<_> = db.keys(None, 10, at(600)).await.unwrap().into_iter().map(|r| r.live_key_id).collect();
    assert_eq!(left, [ours]);
    assert_eq!(db.purge(&Retention::default(), at(600), 10).await.unwrap().keys, 1);
    assert!(db.key(&theirs).await.unwrap().is_none(), "it was never one of ours");
}
