//! What becomes of lifecycle events.

use onair_cluster::events::EndReason;
use onair_cluster::{Epoch, UnixMs};
use onair_manager::live_db::{BroadcastFilter, LiveDb, Outcome, SessionEnd};

use super::{apply, at, card, ended, facts, granted, live, outbox, room, told};

async fn broadcasts(db: &dyn LiveDb) -> Vec<onair_manager::live_db::BroadcastRow> {
    db.broadcasts(&BroadcastFilter::default(), 100).await.unwrap()
}

pub(crate) async fn a_session_is_told_from_grant_to_end(db: &dyn LiveDb) {
    let card = card("r", 1);
    let id = card.session_id;
    apply(db, &[granted(&card)], at(1)).await.unwrap();
    let row = db.session(&id).await.unwrap().unwrap();
    assert_eq!((row.card, row.end, row.facts.live_at), (card.clone(), None, None));
    assert_eq!(broadcasts(db).await, []);

    apply(db, &[live(&card, at(50))], at(51)).await.unwrap();
    let row = db.session(&id).await.unwrap().unwrap();
    assert_eq!(row.facts, facts(Some(at(50))));
    let on_air = broadcasts(db).await.remove(0);
    assert_eq!((on_air.session_id, on_air.started_at, on_air.end), (id, at(50), None));
    assert_eq!(on_air.broadcast_id, id.to_string());

    apply(db, &[ended(&card, Some(at(50)), at(90), EndReason::Unpublished)], at(99)).await.unwrap();
    let end = SessionEnd { ended_at: at(90), detected_at: at(97), reason: EndReason::Unpublished };
    assert_eq!(db.session(&id).await.unwrap().unwrap().end, Some(end));
    assert_eq!(broadcasts(db).await.remove(0).end, Some(end));

    let rows = outbox(db).await;
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["onair.broadcast.started.v1", "onair.broadcast.ended.v1"]);
    assert_eq!(rows[0].event_id, format!("{id}/live"));
    assert_eq!(rows[1].event_id, format!("{id}/ended"));
    assert_eq!((rows[1].epoch, rows[1].created_at, rows[1].shipped_at), (Epoch(1), at(99), None));
    let payload: serde_json::Value = serde_json::from_str(&rows[1].payload).unwrap();
    assert_eq!(payload["started_at"], at(50).to_rfc3339());
    assert_eq!(payload["ended_at"], at(90).to_rfc3339());
    assert_eq!(payload["detected_at"], at(97).to_rfc3339());
    assert_eq!(payload["end_reason"], "unpublished");
    assert_eq!(payload["video"]["height"], 720);
    let shard = card.room_id.shard();
    assert_eq!((rows[0].shard, rows[0].seq, rows[1].shard, rows[1].seq), (shard, 1, shard, 2));
    assert_eq!(db.feed(shard, 1, 10).await.unwrap(), rows[1..]);
}

pub(crate) async fn repeated_events_change_nothing(db: &dyn LiveDb) {
    let card = card("r", 1);
    let events =
        [granted(&card), live(&card, at(5)), ended(&card, Some(at(5)), at(9), EndReason::Disconnected)];
    let first = apply(db, &events, at(10)).await.unwrap();
    assert_eq!(first.outcomes, [Outcome::Applied, Outcome::Applied, Outcome::Applied]);
    let session = db.session(&card.session_id).await.unwrap();
    let messages = outbox(db).await;
    let again = apply(db, &events, at(20)).await.unwrap();
    assert_eq!(again.outcomes, [Outcome::Repeat, Outcome::Repeat, Outcome::Repeat]);
    // A second end with another reason is a repeat too: `ended` is final.
    let other = apply(db, &[ended(&card, Some(at(5)), at(15), EndReason::Lost)], at(20)).await.unwrap();
    assert_eq!(other.outcomes, [Outcome::Repeat]);
    assert_eq!(db.session(&card.session_id).await.unwrap(), session);
    assert_eq!(outbox(db).await, messages);
}

pub(crate) async fn ended_alone_writes_session_broadcast_and_both_messages(db: &dyn LiveDb) {
    let card = card("r", 1);
    apply(db, &[ended(&card, Some(at(5)), at(9), EndReason::Timeout)], at(10)).await.unwrap();
    let row = db.session(&card.session_id).await.unwrap().unwrap();
    assert_eq!(row.card, card);
    assert_eq!(row.facts, facts(Some(at(5))));
    assert_eq!(row.end.unwrap().reason, EndReason::Timeout);
    assert_eq!(broadcasts(db).await.len(), 1);
    let id = card.session_id;
    let ids: Vec<_> = told(db).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [format!("{id}/live"), format!("{id}/ended")]);
}

pub(crate) async fn live_after_ended_only_fills_in_the_start(db: &dyn LiveDb) {
    let card = card("r", 1);
    let mut end = ended(&card, None, at(9), EndReason::Crash);
    end.facts.bytes_in = 1_000;
    apply(db, &[end], at(10)).await.unwrap();
    assert_eq!(told(db).await, []);
    apply(db, &[live(&card, at(5))], at(11)).await.unwrap();
    let row = db.session(&card.session_id).await.unwrap().unwrap();
    assert_eq!(row.facts.live_at, Some(at(5)));
    assert_eq!(row.facts.bytes_in, 1_000, "the facts of the end are newer than those of the start");
    assert_eq!(row.end.unwrap().reason, EndReason::Crash);
    let broadcast = broadcasts(db).await.remove(0);
    assert_eq!((broadcast.started_at, broadcast.end.unwrap().ended_at), (at(5), at(9)));
    assert_eq!(told(db).await.len(), 2);
}

pub(crate) async fn a_session_that_never_went_live_is_no_broadcast(db: &dyn LiveDb) {
    let card = card("r", 1);
    apply(db, &[granted(&card), ended(&card, None, at(9), EndReason::Timeout)], at(10)).await.unwrap();
    assert!(db.session(&card.session_id).await.unwrap().unwrap().end.is_some());
    assert_eq!(broadcasts(db).await, []);
    assert_eq!(told(db).await, []);
}

pub(crate) async fn any_order_of_a_sessions_events_ends_in_the_same_rows(db: &dyn LiveDb) {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (n, order) in orders.into_iter().enumerate() {
        let card = card(&format!("room-{n}"), 1);
        let events =
            [granted(&card), live(&card, at(5)), ended(&card, Some(at(5)), at(9), EndReason::Unpublished)];
        for which in order {
            apply(db, &[events[which].clone()], at(10)).await.unwrap();
        }
        let row = db.session(&card.session_id).await.unwrap().unwrap();
        assert_eq!(row.facts, facts(Some(at(5))), "{order:?}");
        assert_eq!(row.end.unwrap().ended_at, at(9), "{order:?}");
        let ours = format!("{}/", card.session_id);
        let kinds: Vec<_> = told(db).await.into_iter().filter(|(id, _)| id.starts_with(&ours)).collect();
        assert_eq!(kinds.len(), 2, "{order:?}");
        assert!(kinds[0].1.contains("started") && kinds[1].1.contains("ended"), "{order:?}");
    }
    assert_eq!(broadcasts(db).await.len(), 6);
}

pub(crate) async fn a_room_has_one_open_session(db: &dyn LiveDb) {
    let (older, newer) = (card("r", 10), card("r", 20));
    apply(db, &[granted(&older), live(&older, at(15))], at(15)).await.unwrap();
    // Its end was never heard of.
    apply(db, &[granted(&newer), live(&newer, at(25))], at(25)).await.unwrap();
    let end = db.session(&older.session_id).await.unwrap().unwrap().end.unwrap();
    assert_eq!((end.reason, end.ended_at), (EndReason::Superseded, at(20)));
    assert_eq!(db.session(&newer.session_id).await.unwrap().unwrap().end, None);
    let ids: Vec<_> = told(db).await.into_iter().map(|(id, _)| id).collect();
    let (a, b) = (older.session_id, newer.session_id);
    assert_eq!(ids, [format!("{a}/live"), format!("{a}/ended"), format!("{b}/live")]);
}

pub(crate) async fn an_older_session_does_not_open_under_a_newer_one(db: &dyn LiveDb) {
    let (older, newer) = (card("r", 10), card("r", 20));
    apply(db, &[granted(&newer)], at(21)).await.unwrap();
    let late = apply(db, &[granted(&older), live(&older, at(15))], at(22)).await.unwrap();
    assert_eq!(late.outcomes, [Outcome::Fenced, Outcome::Fenced]);
    assert_eq!(db.session(&older.session_id).await.unwrap(), None);
    // Its end carries all that was fenced off.
    let end = apply(db, &[ended(&older, Some(at(15)), at(19), EndReason::Superseded)], at(23)).await.unwrap();
    assert_eq!(end.outcomes, [Outcome::Applied]);
    assert_eq!(broadcasts(db).await.len(), 1);
    assert_eq!(db.session(&newer.session_id).await.unwrap().unwrap().end, None);
}

pub(crate) async fn a_refused_event_is_quarantined_and_the_rest_goes_on(db: &dyn LiveDb) {
    let (a, b) = (card("r", 1), card("s", 2));
    // Another session with the same room and epoch: no registry makes it, and no store takes it.
    let twin = super::SessionCard { session_id: super::SessionId::random(), ..a.clone() };
    let events = [
        granted(&a),
        ended(&a, Some(at(2)), at(3), EndReason::Unpublished),
        ended(&twin, Some(at(2)), at(3), EndReason::Unpublished),
        granted(&b),
    ];
    let applied = apply(db, &events, at(5)).await.unwrap();
    assert_eq!(applied.outcomes[..2], [Outcome::Applied, Outcome::Applied]);
    assert!(matches!(applied.outcomes[2], Outcome::Quarantined(_)), "{applied:?}");
    assert_eq!(applied.outcomes[3], Outcome::Applied);
    let rows = db.quarantine(0, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].event_id.clone(), rows[0].at), (events[2].id(), at(5)));
    assert_eq!(serde_json::from_str::<super::Event>(&rows[0].event).unwrap(), events[2]);
    assert!(!rows[0].error.is_empty());
    assert!(db.session(&b.session_id).await.unwrap().is_some());
    assert!(told(db).await.iter().all(|(id, _)| !id.starts_with(&twin.session_id.to_string())));
    apply(db, &events, at(6)).await.unwrap();
    assert_eq!(db.quarantine(0, 10).await.unwrap().len(), 1);
}

pub(crate) async fn a_number_no_column_holds_is_quarantined_too(db: &dyn LiveDb) {
    let card = card("r", u64::MAX);
    let applied = apply(db, &[granted(&card)], UnixMs(1)).await.unwrap();
    assert!(matches!(applied.outcomes[0], Outcome::Quarantined(_)));
}

pub(crate) async fn a_batch_of_many_rooms_reads_back_as_it_was_told(db: &dyn LiveDb) {
    let shard = room("a").shard();
    let beside = (0..).map(|i| format!("b{i}")).find(|name| room(name).shard() == shard).unwrap();
    let elsewhere = (0..).map(|i| format!("c{i}")).find(|name| room(name).shard() != shard).unwrap();
    let agent = "\" \\ \\u0041 '; -- [null] {\"a\":1} \u{1}\t\n\u{7f} é \u{2028} 🎥";
    let named =
        |name: &str, epoch| super::SessionCard { client_agent: agent.to_owned(), ..card(name, epoch) };
    let (on_air, first, second) = (named("a", 1), named("a", 2), named("a", 3));
    let (near, far, unseen) = (named(&beside, 4), named(&elsewhere, 5), named("unseen", 6));
    apply(db, &[granted(&on_air), live(&on_air, at(10))], at(11)).await.unwrap();

    let mut told_of_near = live(&near, at(25));
    told_of_near.facts.bytes_in = i64::MAX.unsigned_abs();
    told_of_near.facts.bitrate_kbps = u32::MAX;
    let video = told_of_near.facts.video.as_mut().unwrap();
    (video.codec, video.fps) = (agent.to_owned(), Some(0.1 + 0.2));
    let batch = [
        granted(&far),
        ended(&on_air, Some(at(10)), at(20), EndReason::Unpublished),
        granted(&first),
        told_of_near.clone(),
        live(&first, at(30)),
        // Its room is not closed yet.
        granted(&second),
        live(&far, at(31)),
        granted(&unseen),
        live(&second, at(40)),
        ended(&unseen, None, at(41), EndReason::Timeout),
    ];
    let applied = apply(db, &batch, at(50)).await.unwrap();
    assert!(applied.outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{applied:?}");
    for card in [&on_air, &first, &second, &near, &far, &unseen] {
        assert_eq!(db.session(&card.session_id).await.unwrap().unwrap().card, *card);
    }
    let session = async |card: &super::SessionCard| db.session(&card.session_id).await.unwrap().unwrap();
    assert_eq!(session(&near).await.facts, told_of_near.facts);
    assert_eq!(session(&near).await.end, None);
    assert_eq!(session(&on_air).await.end.unwrap().ended_at, at(20));
    assert_eq!(session(&first).await.end.unwrap().reason, EndReason::Superseded);
    assert_eq!(session(&second).await.end, None);
    assert_eq!(session(&unseen).await.facts.live_at, None);
    let rows = broadcasts(db).await;
    let starts: Vec<_> = rows.iter().map(|row| (row.session_id, row.started_at, row.end.is_some())).collect();
    let expected = [
        (second.session_id, at(40), false),
        (far.session_id, at(31), false),
        (first.session_id, at(30), true),
        (near.session_id, at(25), false),
        (on_air.session_id, at(10), true),
    ];
    assert_eq!(starts, expected);

    // Numbers follow the order in which it was told, whatever else is in the batch.
    let feed = db.feed(shard, 0, 100).await.unwrap();
    let told: Vec<_> = feed.iter().map(|row| (row.seq, row.event_id.clone())).collect();
    let of = |card: &super::SessionCard, what: &str| format!("{}/{what}", card.session_id);
    let expected = [
        (1, of(&on_air, "live")),
        (2, of(&on_air, "ended")),
        (3, of(&near, "live")),
        (4, of(&first, "live")),
        (5, of(&first, "ended")),
        (6, of(&second, "live")),
    ];
    assert_eq!(told, expected);
    assert_eq!(db.feed(room(&elsewhere).shard(), 0, 100).await.unwrap()[0].seq, 1);
    assert_eq!(db.unshipped_count().await.unwrap(), 7);
    let payload: serde_json::Value = serde_json::from_str(&feed[2].payload).unwrap();
    assert_eq!(payload["video"]["codec"], agent);
    // The next batch goes on from there.
    let end = ended(&second, Some(at(40)), at(60), EndReason::Unpublished);
    apply(db, &[end], at(61)).await.unwrap();
    assert_eq!(db.feed(shard, 6, 100).await.unwrap()[0].seq, 7);
}
