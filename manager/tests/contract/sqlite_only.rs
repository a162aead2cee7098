//! Goal: what only SQLite promises: one process owns the file, and what was written is there after it.

use super::{apply, at, card, granted, producer, room, stores::sqlite};
use onair_manager::live_db::{Addresses, Ledger, LiveDb, LiveDbError, SqliteLiveDb};

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let (first, dir) = sqlite().await;
    let refused = SqliteLiveDb::open(dir.path()).await;
    let Err(LiveDbError::InUse(path)) = refused else { panic!("{refused:?}") };
    assert!(path.ends_with("live.db"), "{path}");
    first.close().await;
    SqliteLiveDb::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_a_reopen() {
    let (db, dir) = sqlite().await;
    let session = card("r", 1);
    db.ensure_room(&producer("anna"), &room("r"), at(0)).await.unwrap();
    apply(&db, &[granted(&session)], at(1)).await.unwrap();
    db.close().await;
    assert!(matches!(db.check().await, Err(LiveDbError::Away(_))));
    let db = SqliteLiveDb::open(dir.path()).await.unwrap();
    db.check().await.unwrap();
    assert!(db.room(&room("r")).await.unwrap().is_some());
    assert!(db.session(&session.session_id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("live.db"), "not a database, but long enough to have a header".repeat(9))
        .unwrap();
    let error = SqliteLiveDb::open(dir.path()).await.unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
}
