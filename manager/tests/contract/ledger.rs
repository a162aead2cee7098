//! Terms, positions, the numbers of messages, and totals.

use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::{Event, Shard};
use onair_manager::config::Retention;
use onair_manager::live_db::{
    BroadcastFilter, FeedSpan, LiveDb, LiveDbError, MediaNote, ShardTerm, Term, Totals, TotalsOf,
};

use super::{apply, at, card, ended, granted, live, note_media, outbox, producer, room, terms, told};

/// A term that is over, and one that is yet to come.
async fn wrong_terms(db: &dyn LiveDb) -> [Vec<ShardTerm>; 2] {
    let off = |by: i64| {
        move |owned: &ShardTerm| ShardTerm {
            term: Term(owned.term.0.checked_add_signed(by).unwrap()),
            shard: owned.shard,
        }
    };
    let now = terms(db).await;
    [now.iter().map(off(-1)).collect(), now.iter().map(off(1)).collect()]
}

pub(crate) async fn nothing_is_written_under_a_term_that_is_not_ours(db: &dyn LiveDb) {
    let session = card("r", 1);
    let shard = session.room_id.shard();
    let whole = [granted(&session), live(&session, at(5))];
    apply(db, &whole, at(5)).await.unwrap();
    let before = (db.session(&session.session_id).await.unwrap(), outbox(db).await);
    let end = [ended(&session, Some(at(5)), at(9), EndReason::Unpublished)];
    let note = [MediaNote { session_id: session.session_id, last_media_at: at(8) }];
    for wrong in wrong_terms(db).await {
        let fenced = |e: &LiveDbError| matches!(e, LiveDbError::Fenced(s) if *s == shard);
        assert!(fenced(&db.apply(&wrong, &end, at(9)).await.unwrap_err()));
        let ours: Vec<_> = wrong.iter().copied().filter(|owned| owned.shard == shard).collect();
        assert!(fenced(&db.close_lost(&ours, at(9)).await.unwrap_err()));
        assert!(fenced(&db.mark_shipped(ours[0], &[1], at(9)).await.unwrap_err()));
        assert_eq!(db.note_media(&wrong, &note).await.unwrap(), 0);
    }
    let others: Vec<_> = terms(db).await.into_iter().filter(|owned| owned.shard != shard).collect();
    assert!(matches!(db.apply(&others, &end, at(9)).await, Err(LiveDbError::Fenced(s)) if s == shard));
    assert_eq!((db.session(&session.session_id).await.unwrap(), outbox(db).await), before);
}

pub(crate) async fn the_last_event_of_each_shard_is_known(db: &dyn LiveDb) {
    assert_eq!(db.positions().await.unwrap(), []);
    let numbered = |event: Event, n| Event { n, ..event };
    let (a, b) = (card("a", 1), card("b", 2));
    let events = [numbered(granted(&a), 7), numbered(live(&a, at(3)), 8), numbered(granted(&b), 40)];
    apply(db, &events, at(5)).await.unwrap();
    let mut expected = vec![(room("a").shard(), 8), (room("b").shard(), 40)];
    expected.sort_unstable();
    assert_eq!(db.positions().await.unwrap(), expected);
    // A repair has no number; a registry that numbers anew begins low.
    let repair = numbered(ended(&b, None, at(6), EndReason::Lost), 0);
    apply(db, &[repair, numbered(ended(&a, Some(at(3)), at(6), EndReason::Drain), 2)], at(7)).await.unwrap();
    let positions = db.positions().await.unwrap();
    assert!(positions.contains(&(room("a").shard(), 2)) && positions.contains(&(room("b").shard(), 40)));
}

pub(crate) async fn a_quarantined_event_moves_the_position_too(db: &dyn LiveDb) {
    let session = card("r", u64::MAX);
    apply(db, &[Event { n: 9, ..granted(&session) }], at(1)).await.unwrap();
    assert_eq!(db.positions().await.unwrap(), [(session.room_id.shard(), 9)]);
}

pub(crate) async fn open_sessions_are_found_by_their_shard(db: &dyn LiveDb) {
    let (open, over, elsewhere) = (card("a", 1), card("a", 2), card("b", 3));
    let end = ended(&over, None, at(5), EndReason::Unpublished);
    apply(db, &[granted(&elsewhere), end, granted(&open)], at(6)).await.unwrap();
    let found = db.open_sessions(room("a").shard()).await.unwrap();
    assert_eq!(found.iter().map(|row| &row.card).collect::<Vec<_>>(), [&open]);
    assert_eq!(db.open_sessions(room("b").shard()).await.unwrap().len(), 1);
}

pub(crate) async fn messages_are_numbered_per_shard_and_marked_once(db: &dyn LiveDb) {
    let (here, there) = (room("a").shard(), room("b").shard());
    for epoch in 1..=3 {
        let (a, b) = (card("a", epoch), card("b", epoch));
        let end = |card| ended(card, Some(at(epoch)), at(10 + epoch), EndReason::Unpublished);
        apply(db, &[end(&a), end(&b)], at(100 + epoch)).await.unwrap();
    }
    let seqs =
        |rows: &[onair_manager::live_db::OutboxRow]| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&db.feed(here, 0, 100).await.unwrap()), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seqs(&db.feed(there, 4, 1).await.unwrap()), [5]);
    let both = db.feed_all(&[(there, 5), (here, 3)], 2).await.unwrap();
    let both: Vec<_> = both.iter().map(|row| (row.shard, row.seq)).collect();
    assert_eq!(both, [(there, 6), (here, 4), (here, 5)]);
    let span = |spans: Vec<FeedSpan>, shard: Shard| spans[shard.index()];
    let spans = db.feed_span().await.unwrap();
    assert_eq!(spans.len(), 64);
    assert_eq!(span(spans, here), FeedSpan { shard: here, first_kept: 1, last: 6 });

    assert_eq!(db.unshipped_count().await.unwrap(), 12);
    assert_eq!(db.oldest_unshipped().await.unwrap(), Some(at(101)));
    let ours = terms(db).await[here.index()];
    assert_eq!(db.mark_shipped(ours, &[1, 2], at(200)).await.unwrap(), 2);
    assert_eq!(db.mark_shipped(ours, &[1, 2, 3], at(201)).await.unwrap(), 1, "what is marked stays marked");
    assert_eq!(db.feed(here, 1, 1).await.unwrap()[0].shipped_at, Some(at(200)));
    assert_eq!(seqs(&db.unshipped(here, 2).await.unwrap()), [4, 5]);
    assert_eq!(db.unshipped_count().await.unwrap(), 9);
    let theirs = terms(db).await[there.index()];
    db.mark_shipped(theirs, &[1, 2, 3, 4, 5, 6], at(201)).await.unwrap();
    assert_eq!(db.oldest_unshipped().await.unwrap(), Some(at(102)));
}

pub(crate) async fn what_is_not_shipped_is_kept_while_somebody_ships(db: &dyn LiveDb) {
    let shard = room("a").shard();
    for epoch in 1..=2 {
        let end = ended(&card("a", epoch), Some(at(epoch)), at(10), EndReason::Unpublished);
        apply(db, &[end], at(10 * epoch)).await.unwrap();
    }
    let ours = terms(db).await[shard.index()];
    // The second of four is not shipped, so the third stays, too: what is kept has no gaps.
    db.mark_shipped(ours, &[1, 3], at(50)).await.unwrap();
    let retention = |is_shipped| Retention {
        outbox: Duration::from_secs(1),
        outbox_is_shipped: is_shipped,
        ..Retention::default()
    };
    let old = at(60_000);
    assert_eq!(db.purge(&retention(true), old, 100).await.unwrap().outbox, 1);
    assert_eq!(db.feed_span().await.unwrap()[shard.index()], FeedSpan { shard, first_kept: 2, last: 4 });
    assert_eq!(db.unshipped_count().await.unwrap(), 2);
    assert_eq!(db.purge(&retention(false), old, 2).await.unwrap().outbox, 2, "a batch at a time");
    assert_eq!(db.purge(&retention(false), old, 2).await.unwrap().outbox, 1);
    assert_eq!(db.feed_span().await.unwrap()[shard.index()], FeedSpan { shard, first_kept: 5, last: 4 });
    assert_eq!((db.unshipped_count().await.unwrap(), db.oldest_unshipped().await.unwrap()), (0, None));
    // Numbers go on.
    apply(db, &[live(&card("a", 9), at(60_000))], old).await.unwrap();
    assert_eq!(db.feed(shard, 0, 9).await.unwrap()[0].seq, 5);
}

pub(crate) async fn totals_are_counted_as_it_happens_and_outlive_the_history(db: &dyn LiveDb) {
    let total = async |of| db.totals(&of).await.unwrap();
    assert_eq!(total(TotalsOf::Everyone).await, Totals::default());
    let (a, again, b, unseen) = (card("a", 1), card("a", 2), card("b", 3), card("c", 4));
    let events = [
        ended(&a, Some(at(10)), at(110), EndReason::Unpublished),
        ended(&again, Some(at(200)), at(250), EndReason::Unpublished),
        granted(&b),
        live(&b, at(5)),
        ended(&unseen, None, at(9), EndReason::Timeout),
    ];
    apply(db, &events, at(300)).await.unwrap();
    apply(db, &events, at(301)).await.unwrap();
    let of_a = Totals { broadcasts: 2, live_ms: 150, bytes_in: 84 };
    assert_eq!(total(TotalsOf::Room(room("a"))).await, of_a);
    assert_eq!(total(TotalsOf::Producer(producer("p-a"))).await, of_a);
    assert_eq!(total(TotalsOf::Room(room("b"))).await, Totals { broadcasts: 1, ..Totals::default() });
    assert_eq!(total(TotalsOf::Producer(producer("nobody"))).await, Totals::default());
    assert_eq!(total(TotalsOf::Everyone).await, Totals { broadcasts: 3, ..of_a });
    let retention = Retention { history: Duration::ZERO, ..Retention::default() };
    assert_eq!(db.purge(&retention, at(60_000), 100).await.unwrap().broadcasts, 2);
    assert_eq!(db.broadcasts(&BroadcastFilter::default(), 9).await.unwrap().len(), 1);
    assert_eq!(total(TotalsOf::Room(room("a"))).await, of_a);
}

pub(crate) async fn a_text_that_no_column_holds_is_no_reason_to_stop(db: &dyn LiveDb) {
    // PostgreSQL takes no NUL in a text, SQLite takes it; either way the shard goes on, and nothing is half written.
    let nul = super::SessionCard { client_agent: "a\0b".to_owned(), ..card("a", 1) };
    let good = card("a", 2);
    let events = [granted(&nul), live(&nul, at(3)), granted(&good), live(&good, at(5))];
    let outcomes = apply(db, &events, at(6)).await.unwrap().outcomes;
    let is_stored = db.session(&nul.session_id).await.unwrap().is_some();
    let quarantined = db.quarantine(0, 10).await.unwrap();
    assert_eq!(quarantined.len(), if is_stored { 0 } else { 2 }, "{outcomes:?}");
    for row in &quarantined {
        assert_eq!(serde_json::from_str::<Event>(&row.event).unwrap().session, nul);
    }
    assert!(db.session(&good.session_id).await.unwrap().unwrap().facts.live_at.is_some());
    assert!(
        told(db)
            .await
            .contains(&(format!("{}/live", good.session_id), "onair.broadcast.started.v1".to_owned()))
    );
    assert_eq!(note_media(db, &[]).await.unwrap(), 0);
}
