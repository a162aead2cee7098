//! Goal: what is believed is never more than what was told, nor for longer. Method: beats as they might be answered.

use std::task::Poll;

use super::*;

fn shard(n: u8) -> Shard {
    Shard::new(n).unwrap()
}

fn owned(n: u8, term: u64) -> ShardTerm {
    ShardTerm { shard: shard(n), term: Term(term) }
}

fn told(managers: usize, shards: &[ShardTerm]) -> Holdings {
    Holdings { shards: shards.to_vec(), managers }
}

#[test]
fn nothing_is_owned_before_a_beat_and_all_is_looked_after() {
    let ownership = Ownership::default();
    assert_eq!((ownership.terms(), ownership.figures()), (vec![], (0, 0)));
    assert_eq!(ownership.to_look_after().len(), 64);
}

#[test]
fn a_beat_is_believed_from_when_it_was_sent_not_from_when_it_was_answered() {
    let ownership = Ownership::default();
    let long_ago = BootTime(BootTime::now().0.saturating_sub(LEASE.as_nanos() as u64));
    ownership.on_beat(long_ago, &told(1, &[owned(1, 7)]));
    assert_eq!(ownership.terms(), []);
    assert_eq!(ownership.to_look_after(), [shard(1)], "looking after it harms nobody");
    assert_eq!(ownership.on_beat(BootTime::now(), &told(1, &[owned(1, 7)])), None, "no change, but news");
    assert_eq!(ownership.terms(), [owned(1, 7)]);
    // An answer that comes late takes nothing back.
    ownership.on_beat(long_ago, &told(1, &[owned(1, 7)]));
    assert_eq!(ownership.terms(), [owned(1, 7)]);
}

#[test]
fn what_changed_is_told_with_its_terms() {
    let ownership = Ownership::default();
    let first = ownership.on_beat(BootTime::now(), &told(1, &[owned(1, 7), owned(2, 7)])).unwrap();
    assert_eq!((first.taken.len(), first.managers_before), (2, None));
    let next = ownership.on_beat(BootTime::now(), &told(2, &[owned(2, 9)])).unwrap();
    assert_eq!((next.taken, next.lost), (vec![owned(2, 9)], vec![owned(1, 7), owned(2, 7)]));
    assert_eq!((next.owned, next.managers, next.managers_before), (1, 2, Some(1)));
}

#[test]
fn a_fenced_term_is_over_until_a_later_beat_says_otherwise() {
    let ownership = Arc::new(Ownership::default());
    let before = BootTime::now();
    ownership.on_beat(before, &told(1, &[owned(1, 7)]));
    let tenure = ownership.tenures(|_| true).remove(0);
    assert!(tenure.is_in_force());
    assert!(ownership.fence(owned(1, 6)).is_none(), "of an older term");
    assert!(ownership.fence(owned(1, 7)).is_some());
    assert!(tenure.is_over() && !tenure.is_in_force());
    ownership.on_beat(before, &told(1, &[owned(1, 7)]));
    assert!(tenure.is_over(), "that beat was sent before");
    ownership.on_beat(BootTime::now().plus(Duration::from_millis(1)), &told(1, &[owned(1, 7)]));
    assert!(tenure.is_in_force());
}

#[tokio::test]
async fn a_shard_is_given_up_when_nobody_works_in_it_any_more() {
    let ownership = Arc::new(Ownership::default());
    let all: Vec<_> = (0..64).map(|n| owned(n, 1)).collect();
    ownership.on_beat(BootTime::now(), &told(3, &all));
    let excess = ownership.excess();
    assert_eq!(excess.len(), 64 - 22);
    let tenure = ownership.tenures(|shard| shard == excess[0].shard).remove(0);
    ownership.leave(&excess);
    tenure.over().await;
    assert!(!tenure.in_force().await);
    assert_eq!(ownership.terms().len(), 22);
    let unused = ownership.unused(&excess);
    tokio::pin!(unused);
    let is_pending = std::future::poll_fn(|cx| Poll::Ready(unused.as_mut().poll(cx).is_pending())).await;
    assert!(is_pending, "somebody still works there");
    // A beat meanwhile still lists them; they stay left.
    assert_eq!(ownership.on_beat(BootTime::now(), &told(3, &all)), None);
    drop(tenure);
    unused.await;
    assert_eq!(ownership.gone(&excess).owned, 22);
    assert!(ownership.excess().is_empty());
}
