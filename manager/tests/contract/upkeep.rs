//! After a kill, and after a long time.

use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::Hold;
use onair_manager::config::Retention;
use onair_manager::live_db::{BroadcastFilter, LiveDb, MediaNote, SessionEnd};

use super::{apply, at, card, close_lost, ended, granted, live, note_media, room, told};

pub(crate) async fn sessions_left_open_are_closed_lost_once(db: &dyn LiveDb) {
    let (live_one, granted_one, over) = (card("a", 1), card("b", 2), card("c", 3));
    apply(
        db,
        &[
            granted(&live_one),
            live(&live_one, at(10)),
            granted(&granted_one),
            granted(&over),
            ended(&over, None, at(5), EndReason::Disconnected),
        ],
        at(11),
    )
    .await
    .unwrap();
    let note = MediaNote { session_id: live_one.session_id, last_media_at: at(4_000) };
    note_media(db, &[note]).await.unwrap();

    assert_eq!(close_lost(db, at(60_000)).await.unwrap(), 2);
    let end = |ended_at| SessionEnd { ended_at, detected_at: at(60_000), reason: EndReason::Lost };
    let row = db.session(&live_one.session_id).await.unwrap().unwrap();
    assert_eq!(row.end, Some(end(at(4_000))), "it ended at its last known media");
    let row = db.session(&granted_one.session_id).await.unwrap().unwrap();
    assert_eq!(row.end, Some(end(at(2))), "without media, at its grant");
    let row = db.session(&over.session_id).await.unwrap().unwrap();
    assert_eq!(row.end.unwrap().reason, EndReason::Disconnected);
    let broadcasts = db.broadcasts(&BroadcastFilter::default(), 10).await.unwrap();
    assert_eq!(broadcasts[0].end, Some(end(at(4_000))));
    let id = live_one.session_id;
    let ids: Vec<_> = told(db).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [format!("{id}/live"), format!("{id}/ended")]);

    assert_eq!(close_lost(db, at(70_000)).await.unwrap(), 0);
    assert_eq!(told(db).await.len(), 2);
}

pub(crate) async fn last_media_is_noted_for_open_sessions_only(db: &dyn LiveDb) {
    let (open, over) = (card("a", 1), card("b", 2));
    apply(db, &[granted(&open), granted(&over), ended(&over, None, at(5), EndReason::Disconnected)], at(6))
        .await
        .unwrap();
    let note =
        |card: &super::SessionCard, ms| MediaNote { session_id: card.session_id, last_media_at: at(ms) };
    assert_eq!(note_media(db, &[note(&open, 100), note(&over, 100)]).await.unwrap(), 1);
    assert_eq!(note_media(db, &[note(&open, 50)]).await.unwrap(), 0, "time does not run backwards");
    assert_eq!(note_media(db, &[]).await.unwrap(), 0);
    let row = db.session(&open.session_id).await.unwrap().unwrap();
    assert_eq!(row.facts.last_media_at, Some(at(100)));
    assert_eq!(db.session(&over.session_id).await.unwrap().unwrap().facts.last_media_at, None);
}

pub(crate) async fn what_is_too_old_is_forgotten_and_nothing_else(db: &dyn LiveDb) {
    let (old, recent, open) = (card("a", 1), card("b", 2), card("c", 3));
    apply(db, &[ended(&old, Some(at(1)), at(10), EndReason::Unpublished)], at(10)).await.unwrap();
    apply(
        db,
        &[ended(&recent, Some(at(1)), at(9_000), EndReason::Unpublished), granted(&open), live(&open, at(4))],
        at(9_000),
    )
    .await
    .unwrap();
    db.put_hold(&room("a"), &Hold { until: at(5), reason: String::new() }, at(1)).await.unwrap();
    db.put_hold(&room("b"), &Hold { until: at(50_000), reason: String::new() }, at(1)).await.unwrap();
    let seconds = Duration::from_secs;
    let retention = Retention {
        history: seconds(5),
        outbox: seconds(5),
        outbox_is_shipped: false,
        expired_keys: seconds(5),
    };
    let purged = db.purge(&retention, at(10_000), 100).await.unwrap();
    assert_eq!((purged.sessions, purged.broadcasts, purged.outbox, purged.holds), (1, 1, 2, 1));
    assert_eq!(db.session(&old.session_id).await.unwrap(), None);
    assert!(db.session(&recent.session_id).await.unwrap().is_some());
    assert!(db.session(&open.session_id).await.unwrap().is_some(), "what is open is never too old");
    assert_eq!(db.broadcasts(&BroadcastFilter::default(), 10).await.unwrap().len(), 2);
    assert_eq!(told(db).await.len(), 3);
    assert_eq!(db.purge(&retention, at(10_000), 100).await.unwrap().total(), 0);
}
