//! API tokens, the audit log, and the lists of producers and keys.

use std::time::Duration;

use onair_cluster::UnixMs;
use onair_manager::config::Retention;
use onair_manager::live_db::{
    AuditAction, AuditFilter, AuditRow, BroadcastFilter, KeyFilter, KeyPosition, KeyState, LiveDb, NewToken,
    TokenId,
};
use onair_manager::{CallerKind, Role};

use super::addresses::{key, made_room};
use super::{apply, at, card, ended, producer, room};

fn token(n: u8, expires_at: Option<UnixMs>) -> NewToken {
    NewToken {
        token_id: format!("{n:016x}").parse().unwrap(),
        name: format!("Zoë ☂ {n}"),
        role: Role::Issuer,
        hash: [n; 32],
        created_at: at(0),
        expires_at,
    }
}

pub(crate) async fn a_token_reads_back_until_it_is_revoked_or_ends(db: &dyn LiveDb) {
    let (lasting, ending) = (token(1, None), token(2, Some(at(100))));
    assert!(db.add_token(&lasting, 9).await.unwrap());
    assert!(db.add_token(&ending, 9).await.unwrap());
    let mut valid = db.valid_tokens(at(99)).await.unwrap();
    valid.sort_by(|a, b| a.token_id.cmp(&b.token_id));
    assert_eq!(valid, [lasting.clone(), ending]);
    assert_eq!(db.valid_tokens(at(100)).await.unwrap(), std::slice::from_ref(&lasting));
    let revoked = db.revoke_token(&lasting.token_id, at(5)).await.unwrap().unwrap();
    assert_eq!((revoked.token, revoked.revoked_at), (lasting.clone(), Some(at(5))));
    let again = db.revoke_token(&lasting.token_id, at(6)).await.unwrap().unwrap();
    assert_eq!(again.revoked_at, Some(at(5)));
    assert!(db.valid_tokens(at(100)).await.unwrap().is_empty());
    assert_eq!(db.revoke_token(&TokenId::random(), at(6)).await.unwrap(), None);
}

pub(crate) async fn there_are_no_more_valid_tokens_than_may_be(db: &dyn LiveDb) {
    assert!(db.add_token(&token(1, None), 2).await.unwrap());
    let late = NewToken { created_at: at(50), ..token(4, None) };
    assert!(db.add_token(&token(2, Some(at(40))), 2).await.unwrap());
    assert!(!db.add_token(&token(3, None), 2).await.unwrap());
    assert!(db.add_token(&late, 2).await.unwrap(), "one has ended");
    assert_eq!(db.tokens(None, 9).await.unwrap().len(), 3);
}

pub(crate) async fn tokens_are_listed_with_their_last_use(db: &dyn LiveDb) {
    for n in 1..=3 {
        db.add_token(&token(n, None), 9).await.unwrap();
    }
    let id = |n| token(n, None).token_id;
    db.note_token_uses(&[(id(2), at(7)), (id(1), at(9)), (TokenId::random(), at(1))]).await.unwrap();
    db.note_token_uses(&[(id(2), at(8)), (id(1), at(3))]).await.unwrap();
    db.note_token_uses(&[]).await.unwrap();
    let page = db.tokens(None, 2).await.unwrap();
    let used: Vec<_> = page.iter().map(|row| row.last_used_at).collect();
    assert_eq!(used, [Some(at(9)), Some(at(8))]);
    let rest = db.tokens(Some(&page[1].token.token_id), 2).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!((&rest[0].token.token_id, rest[0].last_used_at), (&id(3), None));
}

fn entry(n: u64, action: AuditAction, subject: &str) -> AuditRow {
    AuditRow {
        audit_id: AuditRow::id_at(at(n)),
        at: at(n),
        caller: CallerKind::ApiToken,
        caller_id: format!("caller-{}", n % 2),
        caller_name: n.is_multiple_of(2).then(|| "desk".to_owned()),
        role: n.is_multiple_of(2).then_some(Role::Admin),
        action,
        subject: subject.to_owned(),
        details: r#"{"reason":"because \"é\""}"#.to_owned(),
        request_id: format!("request-{n}"),
        peer: n.is_multiple_of(2).then(|| "2001:db8::1".parse().unwrap()),
    }
}

pub(crate) async fn entries_are_kept_once_and_come_newest_first(db: &dyn LiveDb) {
    let rows: Vec<_> = (0..5).map(|n| entry(n, AuditAction::RoomEnded, "r")).collect();
    db.add_audit(&rows[..3]).await.unwrap();
    db.add_audit(&rows).await.unwrap();
    db.add_audit(&[]).await.unwrap();
    let newest: Vec<_> = rows.iter().rev().cloned().collect();
    assert_eq!(db.audit(&AuditFilter::default(), 9).await.unwrap(), newest);
    let after = Some(newest[1].audit_id.clone());
    let page = db.audit(&AuditFilter { after, ..AuditFilter::default() }, 2).await.unwrap();
    assert_eq!(page, newest[2..4]);
}

pub(crate) async fn entries_are_found_by_what_one_looks_for(db: &dyn LiveDb) {
    let rows = [
        entry(1, AuditAction::RoomEnded, "a"),
        entry(2, AuditAction::RoomHeld, "a"),
        entry(3, AuditAction::RoomHeld, "b"),
    ];
    db.add_audit(&rows).await.unwrap();
    let found = async |filter: AuditFilter| -> Vec<u64> {
        let found = db.audit(&filter, 9).await.unwrap();
        found.iter().map(|row| row.at.0 - at(0).0).collect()
    };
    let none = AuditFilter::default;
    assert_eq!(found(AuditFilter { subject: Some("a".to_owned()), ..none() }).await, [2, 1]);
    assert_eq!(found(AuditFilter { action: Some(AuditAction::RoomHeld), ..none() }).await, [3, 2]);
    assert_eq!(found(AuditFilter { caller_id: Some("caller-1".to_owned()), ..none() }).await, [3, 1]);
    let all = AuditFilter {
        subject: Some("a".to_owned()),
        action: Some(AuditAction::RoomHeld),
        caller_id: Some("caller-0".to_owned()),
        ..none()
    };
    assert_eq!(found(all).await, [2]);
    assert_eq!(found(AuditFilter { since: Some(at(2)), ..none() }).await, [3, 2]);
    assert_eq!(found(AuditFilter { until: Some(at(2)), ..none() }).await, [1]);
    assert_eq!(found(AuditFilter { since: Some(at(2)), until: Some(at(3)), ..none() }).await, [2]);
}

pub(crate) async fn old_tokens_and_entries_are_forgotten(db: &dyn LiveDb) {
    for (n, expires_at) in [(1, None), (2, Some(at(10))), (3, Some(at(60_000))), (4, None)] {
        db.add_token(&token(n, expires_at), 9).await.unwrap();
    }
    db.revoke_token(&token(4, None).token_id, at(10)).await.unwrap();
    db.add_audit(&[entry(10, AuditAction::RoomEnded, "a"), entry(9_000, AuditAction::RoomEnded, "b")])
        .await
        .unwrap();
    let retention = Retention { history: Duration::from_secs(5), ..Retention::default() };
    let purged = db.purge(&retention, at(10_000), 100).await.unwrap();
    assert_eq!((purged.tokens, purged.audit), (2, 1));
    let left: Vec<_> = db.tokens(None, 9).await.unwrap().into_iter().map(|row| row.token).collect();
    assert_eq!(left, [token(1, None), token(3, Some(at(60_000)))]);
    assert_eq!(db.audit(&AuditFilter::default(), 9).await.unwrap()[0].subject, "b");
}

pub(crate) async fn producers_are_listed_by_id_page_by_page(db: &dyn LiveDb) {
    // Byte by byte: capitals first.
    for name in ["b", "B", "a:1", "_"] {
        db.ensure_room(
            &producer(name),
            &room(&format!("r-{}", name.len() + usize::from(name.as_bytes()[0]))),
            at(1),
        )
        .await
        .unwrap();
    }
    let first = db.producers(None, 3).await.unwrap();
    let names: Vec<_> = first.iter().map(|row| row.producer_id.as_str()).collect();
    assert_eq!(names, ["B", "_", "a:1"]);
    let rest = db.producers(Some(&first[2].producer_id), 3).await.unwrap();
    assert_eq!(rest[0].producer_id.as_str(), "b");
    assert_eq!(db.room_of(&producer("b")).await.unwrap().as_ref(), rest.first());
    assert_eq!(db.room_of(&producer("nobody")).await.unwrap(), None);
}

pub(crate) async fn keys_are_listed_newest_first_by_room_producer_and_state(db: &dyn LiveDb) {
    made_room(db, "a").await;
    made_room(db, "b").await;
    let made = [key("a", 1, 1_000), key("b", 2, 1_000), key("a", 3, 50), key("a", 4, 1_000)];
    for key in &made {
        db.add_key(key, None, 8).await.unwrap();
    }
    db.revoke_key(&made[3].live_key_id, at(5)).await.unwrap();
    let ids = async |filter: KeyFilter, limit| -> Vec<usize> {
        let rows = db.key_list(&KeyFilter { now: at(100), ..filter }, limit).await.unwrap();
        let place = |id| made.iter().position(|key| key.live_key_id == id).unwrap();
        rows.into_iter().map(|row| place(row.key.live_key_id)).collect()
    };
    let none = KeyFilter::default;
    assert_eq!(ids(none(), 9).await, [3, 2, 1, 0]);
    let after = KeyPosition { created_at: at(3), live_key_id: made[2].live_key_id.clone() };
    assert_eq!(ids(KeyFilter { after: Some(after), ..none() }, 1).await, [1]);
    assert_eq!(ids(KeyFilter { room: Some(room("a")), ..none() }, 9).await, [3, 2, 0]);
    assert_eq!(ids(KeyFilter { producer: Some(producer("p-b")), ..none() }, 9).await, [1]);
    for (state, wanted) in
        [(KeyState::Active, vec![1, 0]), (KeyState::Revoked, vec![3]), (KeyState::Expired, vec![2])]
    {
        assert_eq!(ids(KeyFilter { state: Some(state), ..none() }, 9).await, wanted, "{state:?}");
    }
}

pub(crate) async fn a_key_is_shortened_and_never_lengthened(db: &dyn LiveDb) {
    made_room(db, "a").await;
    let made = key("a", 1, 1_000);
    db.add_key(&made, None, 8).await.unwrap();
    let shortened = db.shorten_key(&made.live_key_id, at(500)).await.unwrap().unwrap();
    assert_eq!(shortened.key.expires_at, at(500));
    let again = db.shorten_key(&made.live_key_id, at(700)).await.unwrap().unwrap();
    assert_eq!(again.key.expires_at, at(500));
    assert_eq!(db.shorten_key(&key("a", 1, 1).live_key_id, at(1)).await.unwrap(), None);
}

pub(crate) async fn broadcasts_are_found_by_when_they_began(db: &dyn LiveDb) {
    for n in 1..=3 {
        let card = card(&format!("r{n}"), n);
        let reason = onair_cluster::events::EndReason::Unpublished;
        apply(db, &[ended(&card, Some(at(n * 10)), at(n * 10 + 5), reason)], at(99)).await.unwrap();
    }
    let began = async |since: Option<u64>, until: Option<u64>| -> Vec<u64> {
        let filter =
            BroadcastFilter { since: since.map(at), until: until.map(at), ..BroadcastFilter::default() };
        let rows = db.broadcasts(&filter, 9).await.unwrap();
        rows.iter().map(|row| row.started_at.0 - at(0).0).collect()
    };
    assert_eq!(began(Some(20), None).await, [30, 20]);
    assert_eq!(began(None, Some(20)).await, [10]);
    assert_eq!(began(Some(11), Some(30)).await, [20]);
}
