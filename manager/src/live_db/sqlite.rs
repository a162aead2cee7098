//! The Live DB on SQLite: one file, one writer connection, a few readers, and one process that owns it all.
//!
//! WAL with `synchronous = FULL`: what a call has returned survives a power cut. Every write is `BEGIN IMMEDIATE`, so a
//! transaction that has begun cannot find itself behind another. The lock lies in a file beside the database and lasts as
//! long as the process, however it ends.
//!
//! No statistics are gathered for the query planner. It believes for as long as the file stays open that a table is as small as
//! it was when they were: one day's rows, and joins with a batch read whole tables from then on. Without them it takes tables
//! to be large and uses the indexes, which are there for every query.

mod addresses;
mod apply;
mod audit;
mod bulk;
mod catalogue;
mod columns;
mod connections;
mod history;
mod keys;
mod outbox;
mod owners;
mod sessions;
mod tokens;
mod upkeep;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;

use async_trait::async_trait;
use onair_cluster::UnixMs;
use parking_lot::Mutex;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};

use self::connections::{Connections, PATIENCE};

use super::{LiveDb, LiveDbError, Purged, Term};
use crate::config::Retention;

/// An open SQLite Live DB.
#[derive(Debug)]
pub struct SqliteLiveDb {
    connections: Connections,
    /// Of all shards, since this opening of the file.
    term: Term,
    /// Held until [`LiveDb::close`] or the end of the process.
    lock: Mutex<Option<File>>,
}

/// The database's name in the data directory.
const FILE_NAME: &str = "live.db";

impl SqliteLiveDb {
    /// Opens `live.db` in `dir`, making both if need be, and migrates it.
    ///
    /// # Errors
    /// [`LiveDbError::InUse`] while another process has it open; else what file system and SQLite say.
    pub async fn open(dir: &Path) -> Result<Self, LiveDbError> {
        let path = dir.join(FILE_NAME);
        let away = |deed: &str, e: &dyn std::fmt::Display| {
            LiveDbError::Away(format!("cannot {deed} {}: {e}", path.display()))
        };
        fs::create_dir_all(dir).map_err(|e| away("make the directory of", &e))?;
        let lock_path = path.with_extension("db.lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|e| away("lock", &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LiveDbError::InUse(path.display().to_string())),
            Err(TryLockError::Error(e)) => return Err(away("lock", &e)),
        }
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What a statement may have to undo is kept while it runs: for a batch that is a file otherwise, in a directory
            // that may be full or read-only.
            .pragma("temp_store", "MEMORY")
            .busy_timeout(PATIENCE);
        let writing = options.clone().create_if_missing(true);
        let mut writer = writing.connect().await.map_err(failure)?;
        sqlx::migrate!("src/live_db/migrations/sqlite")
            .run(&mut writer)
            .await
            .map_err(|e| LiveDbError::Unreadable(format!("{}: {e}", path.display())))?;
        let term = owners::next_term(&mut writer).await?;
        let connections = Connections::open(writer, options).await?;
        Ok(Self { connections, term, lock: Mutex::new(Some(lock)) })
    }
}

/// A transaction that has the writer's lock from its start.
async fn begin(writer: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, LiveDbError> {
    writer.begin_with("BEGIN IMMEDIATE").await.map_err(failure)
}

/// What an error of sqlx means to our callers. <https://sqlite.org/rescode.html>
fn failure(e: sqlx::Error) -> LiveDbError {
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    const CORRUPT: i32 = 11;
    const NOT_A_DB: i32 = 26;
    match &e {
        sqlx::Error::Database(db) => {
            let code = db.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
            match code & 0xff {
                TOO_BIG | CONSTRAINT | MISMATCH => LiveDbError::Refused(e.to_string()),
                CORRUPT | NOT_A_DB => LiveDbError::Unreadable(e.to_string()),
                _ => LiveDbError::Away(e.to_string()),
            }
        }
        sqlx::Error::Encode(_) => LiveDbError::Refused(e.to_string()),
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::RowNotFound => LiveDbError::Unreadable(e.to_string()),
        _ => LiveDbError::Away(e.to_string()),
    }
}

/// Commits, if what was done in the transaction succeeded; else rolls back.
async fn settle<T>(tx: Transaction<'_, Sqlite>, done: Result<T, LiveDbError>) -> Result<T, LiveDbError> {
    match done {
        Ok(value) => {
            tx.commit().await.map_err(failure)?;
            Ok(value)
        }
        Err(e) => {
            // The connection rolls back by itself when this fails; the first error is the one worth telling.
            let _ = tx.rollback().await;
            Err(e)
        }
    }
}

#[async_trait]
impl LiveDb for SqliteLiveDb {
    async fn purge(&self, retention: &Retention, now: UnixMs, limit: usize) -> Result<Purged, LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = upkeep::purge(&mut tx, retention, now, limit).await;
        settle(tx, done).await
    }

    async fn check(&self) -> Result<(), LiveDbError> {
        upkeep::check(&mut *self.connections.reader().await?).await
    }

    async fn close(&self) {
        self.connections.close().await;
        self.lock.lock().take();
    }
}
