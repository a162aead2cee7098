//! Goal: what only SQLite promises: one process owns the file, and what was written is there after it.

use super::{apply, at, card, granted, producer, room, stores::sqlite};
use onair_manager::live_db::{Addresses, Ledger, LiveDb, LiveDbError, SqliteLiveDb};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

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
async fn statistics_of_a_small_table_are_never_left_for_the_day_it_is_large() {
    let (db, dir) = sqlite().await;
    apply(&db, &[granted(&card("r", 1))], at(1)).await.unwrap();
    db.close().await;
    let options = SqliteConnectOptions::new().filename(dir.path().join("live.db"));
    let mut file = options.connect().await.unwrap();
    let query = "SELECT count(*) FROM sqlite_stat1";
    assert_eq!(sqlx::query_scalar::<_, i64>(query).fetch_one(&mut file).await.unwrap(), 0);
    file.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("live.db"), "not a database, but long enough to have a header".repeat(9))
        .unwrap();
    let error = SqliteLiveDb::open(dir.path()).await.unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
}
