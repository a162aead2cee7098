//! The connections to one SQLite file: a writer and a few readers, each behind a lock that is given back by being dropped.
//!
//! Not a pool of sqlx: that one takes a connection back in a task of the runtime that dropped it. Callers live on several
//! runtimes here (the program's, the island's, each HTTP worker's), and one that is busy or ending would keep the writer
//! from all others.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::failure;
use crate::live_db::LiveDbError;

/// How long a call waits for a connection, and for a lock that a foreign tool (a backup) holds.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Readers beside the writer: history, and look-ups for requests.
const READERS: usize = 4;

/// A place of a connection; empty once closed.
type Place = Mutex<Option<SqliteConnection>>;

#[derive(Debug)]
pub(super) struct Connections {
    /// One: SQLite has one writer anyway, and waiting here is fair, unlike waiting for its lock.
    writer: Place,
    readers: Vec<Place>,
    /// As many as there are readers that nobody uses.
    free: Semaphore,
}

/// A reader in use.
pub(super) struct Reader<'a> {
    // Dropped in this order: whoever gets the permit finds the place unlocked.
    connection: MappedMutexGuard<'a, SqliteConnection>,
    _permit: SemaphorePermit<'a>,
}

impl Connections {
    /// Around a writer that has made and migrated the file.
    pub(super) async fn open(
        writer: SqliteConnection,
        options: SqliteConnectOptions,
    ) -> Result<Self, LiveDbError> {
        let options = options.read_only(true);
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            readers.push(Mutex::new(Some(options.connect().await.map_err(failure)?)));
        }
        Ok(Self { writer: Mutex::new(Some(writer)), readers, free: Semaphore::new(READERS) })
    }

    pub(super) async fn writer(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, LiveDbError> {
        let place = timeout(PATIENCE, self.writer.lock()).await.map_err(|_| busy("the writer"))?;
        in_place(place)
    }

    pub(super) async fn reader(&self) -> Result<Reader<'_>, LiveDbError> {
        let permit = timeout(PATIENCE, self.free.acquire()).await.map_err(|_| busy("every reader"))?;
        let permit = permit.map_err(|_| closed())?;
        let place = self.readers.iter().find_map(|place| place.try_lock().ok());
        let connection = in_place(place.ok_or_else(|| busy("every reader"))?)?;
        Ok(Reader { connection, _permit: permit })
    }

    /// Waits for what is under way.
    pub(super) async fn close(&self) {
        self.free.close();
        for place in self.readers.iter().chain([&self.writer]) {
            if let Some(connection) = place.lock().await.take()
                && let Err(e) = connection.close().await
            {
                tracing::warn!(error = %e, "a connection to the Live DB did not close in good order");
            }
        }
    }
}

impl Deref for Reader<'_> {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

fn in_place(
    place: MutexGuard<'_, Option<SqliteConnection>>,
) -> Result<MappedMutexGuard<'_, SqliteConnection>, LiveDbError> {
    MutexGuard::try_map(place, Option::as_mut).map_err(|_| closed())
}

fn busy(who: &str) -> LiveDbError {
    LiveDbError::Away(format!("{who} was busy for {PATIENCE:?}"))
}

fn closed() -> LiveDbError {
    LiveDbError::Away("closed".to_owned())
}
