//! Fresh stores, one for each case.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use onair_manager::live_db::{PostgresLiveDb, PostgresOptions, SqliteLiveDb};
use onair_testkit::postgres::Postgres;
use tempfile::TempDir;

/// A fresh SQLite store in a directory of its own.
pub(crate) async fn sqlite() -> (SqliteLiveDb, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (SqliteLiveDb::open(dir.path()).await.unwrap(), dir)
}

/// Where a PostgreSQL store is. The server runs as long as this is kept.
pub(crate) struct Place {
    pub(crate) server: Arc<Postgres>,
    pub(crate) database: String,
}

/// A fresh PostgreSQL store in a database of its own.
pub(crate) async fn postgres() -> (PostgresLiveDb, Place) {
    let server = server();
    let database = server.create_database();
    let db = PostgresLiveDb::open(&options(&server, &database)).await.unwrap();
    (db, Place { server, database })
}

/// One server for all cases that run at the same time; it ends with the last of them.
pub(crate) fn server() -> Arc<Postgres> {
    static SERVER: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    server.upgrade().unwrap_or_else(|| {
        let new = Arc::new(Postgres::start());
        *server = Arc::downgrade(&new);
        new
    })
}

pub(crate) fn options(server: &Postgres, database: &str) -> PostgresOptions {
    let mut options = PostgresOptions::new(server.url(database), "onair".to_owned());
    options.connections_max = 4;
    options
}
