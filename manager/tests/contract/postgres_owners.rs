//! Goal: several Managers divide the shards among themselves, each shard has one owner at a time, and whoever lost a shard
//! writes nothing to it. Method: Managers as handles of their own on one real database, each with a pool.

use std::collections::BTreeMap;
use std::time::Duration;

use onair_cluster::nodes::Incarnation;
use onair_cluster::{NodeId, Shard};
use onair_manager::live_db::{
    Holdings, Ledger, LiveDb, LiveDbError, ManagerId, Owners, PostgresLiveDb, ShardTerm,
};

use super::stores::{options, postgres, server};
use super::{at, card, granted};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);
/// A lease that is over at once.
const NONE: Duration = Duration::ZERO;

fn manager(name: &str) -> ManagerId {
    ManagerId { node_id: NodeId::parse(name).unwrap(), incarnation: Incarnation::random() }
}

fn shards(holdings: &Holdings) -> Vec<Shard> {
    holdings.shards.iter().map(|owned| owned.shard).collect()
}

/// Beats, and gives up what is beyond its share, as Managers do.
async fn beat_fairly(db: &PostgresLiveDb, me: &ManagerId) -> Holdings {
    let holdings = db.beat(me, LONG).await.unwrap();
    let share = Holdings::share(holdings.managers);
    let Some(beyond) = holdings.shards.get(share..).filter(|beyond| !beyond.is_empty()) else {
        return holdings;
    };
    db.give_up(me, beyond, false).await.unwrap();
    Holdings { shards: holdings.shards[..share].to_vec(), ..holdings }
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_that_beat_at_once_share_all_shards_evenly_and_no_shard_twice() {
    let server = server();
    let database = server.create_database();
    let mut dbs = Vec::new();
    for n in 0..5 {
        let db = PostgresLiveDb::open(&options(&server, &database)).await.unwrap();
        dbs.push((std::sync::Arc::new(db), manager(&format!("m{n}"))));
    }
    // Beats collide now and then, and who finds another at work takes nothing this time: so it is asked until it is even.
    for round in 0.. {
        let beats = dbs.iter().map(|(db, me)| {
            let (db, me) = (std::sync::Arc::clone(db), me.clone());
            tokio::spawn(async move { beat_fairly(&db, &me).await })
        });
        let mut owners: BTreeMap<Shard, usize> = BTreeMap::new();
        let mut counts = Vec::new();
        for beat in beats.collect::<Vec<_>>() {
            let holdings = beat.await.unwrap();
            counts.push(holdings.shards.len());
            for shard in shards(&holdings) {
                *owners.entry(shard).or_default() += 1;
            }
        }
        if owners.len() == 64 && counts.iter().all(|count| (12..=13).contains(count)) {
            assert!(owners.values().all(|owners| *owners == 1));
            break;
        }
        assert!(round < 100, "{counts:?}");
    }
}

#[tokio::test]
async fn what_is_given_up_is_free_at_once_and_has_a_new_term() {
    let (db, _server) = postgres().await;
    let (anna, ben) = (manager("anna"), manager("ben"));
    let all = db.beat(&anna, LONG).await.unwrap();
    assert_eq!((all.shards.len(), all.managers), (64, 1));
    assert_eq!(db.beat(&anna, LONG).await.unwrap(), all, "a renewal changes nothing");
    let none = db.beat(&ben, LONG).await.unwrap();
    assert_eq!((none.shards.len(), none.managers), (0, 2), "nothing is taken from the living");
    db.give_up(&anna, &all.shards[..10], false).await.unwrap();
    let ten = db.beat(&ben, LONG).await.unwrap();
    assert_eq!(ten.shards.len(), 10);
    for (old, new) in all.shards.iter().zip(&ten.shards) {
        assert!(old.shard == new.shard && old.term < new.term);
    }
    // Too late: another has them.
    db.give_up(&anna, &all.shards[..10], false).await.unwrap();
    assert_eq!(db.beat(&ben, LONG).await.unwrap(), ten);
    db.give_up(&anna, &[], true).await.unwrap();
    let all = db.beat(&ben, LONG).await.unwrap();
    assert_eq!((all.shards.len(), all.managers), (64, 1));
    assert_eq!(db.beat(&anna, LONG).await.unwrap().shards, [], "who has left owns nothing any more");
}

#[tokio::test]
async fn what_a_dead_manager_had_is_taken_and_its_late_writes_are_fenced() {
    let (db, _server) = postgres().await;
    let (anna, ben) = (manager("anna"), manager("ben"));
    // Frozen right after its beat, for longer than its lease.
    db.beat(&anna, LONG).await.unwrap();
    let owned_before = db.beat(&anna, NONE).await.unwrap();
    assert_eq!(owned_before.shards, [], "a lease that is over owns nothing");
    let before = db.beat(&anna, LONG).await.unwrap();
    db.beat(&anna, NONE).await.unwrap();
    let taken = db.beat(&ben, LONG).await.unwrap();
    assert_eq!((taken.shards.len(), taken.managers), (64, 1));
    let session = card("r", 1);
    let late = db.apply(&before.shards, &[granted(&session)], at(1)).await;
    assert!(matches!(late, Err(LiveDbError::Fenced(_))), "{late:?}");
    assert_eq!(db.session(&session.session_id).await.unwrap(), None);
    db.apply(&taken.shards, &[granted(&session)], at(1)).await.unwrap();
}

#[tokio::test]
async fn a_manager_that_is_started_again_takes_over_at_once_and_for_good() {
    let (db, _server) = postgres().await;
    let (before, after) = (manager("anna"), manager("anna"));
    let old = db.beat(&before, LONG).await.unwrap();
    let new = db.beat(&after, LONG).await.unwrap();
    assert_eq!((new.shards.len(), new.managers), (64, 1));
    assert!(old.shards.iter().zip(&new.shards).all(|(old, new)| old.term < new.term));
    // The run before was frozen, not dead.
    assert_eq!(db.beat(&before, LONG).await.unwrap().shards, []);
    assert_eq!(db.beat(&after, LONG).await.unwrap(), new);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_no_gaps_however_many_write_to_a_shard_at_once() {
    let (db, _server) = postgres().await;
    let db = std::sync::Arc::new(db);
    let owned: Vec<ShardTerm> = db.beat(&manager("anna"), LONG).await.unwrap().shards;
    let mut writers = Vec::new();
    for n in 0..6_u64 {
        let (db, owned) = (std::sync::Arc::clone(&db), owned.clone());
        writers.push(tokio::spawn(async move {
            for m in 0..20 {
                // Some fail: a second session with the room and epoch of another is refused, and leaves no hole.
                let session = card("r", 1 + n * 100 + m - m % 3);
                let end = super::ended(&session, Some(at(1)), at(5), super::EndReason::Unpublished);
                db.apply(&owned, &[end], at(9)).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let rows = super::outbox(&*db as &dyn LiveDb).await;
    let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=2 * 6 * 7).collect::<Vec<_>>());
}
