//! The Live DB on PostgreSQL: a pool of connections on one runtime, whoever calls from wherever.
//!
//! The sockets and tasks of a pool belong to the runtime that it was made on, but callers live on several (the program's, the
//! island's, each HTTP worker's), any of which may be busy or ending. So every call runs as a task on the runtime that
//! [`PostgresLiveDb::open`] was called on. A call has a bound for the wait for a connection, and one for all the rest; a
//! connection that exceeds it is thrown away, with whatever the server still does on it.
//! What a call has returned survives a crash of the server: `synchronous_commit` is on.

mod addresses;
mod apply;
mod audit;
mod bulk;
mod catalogue;
mod columns;
mod failure;
mod history;
mod keys;
mod opening;
mod options;
mod outbox;
mod owners;
mod sessions;
mod tokens;
mod upkeep;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use onair_cluster::UnixMs;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::runtime::Handle;
use tokio::time::timeout;

pub use self::options::PostgresOptions;

use self::failure::failure;
use super::{LiveDb, LiveDbError, Purged};
use crate::config::Retention;

/// An open PostgreSQL Live DB.
#[derive(Debug)]
pub struct PostgresLiveDb {
    pool: PgPool,
    runtime: Handle,
    call_timeout: Duration,
}

/// Transactions that store events at the same time.
const WRITERS: usize = 4;
/// How long a closing waits for calls under way.
const CLOSE_MAX: Duration = Duration::from_secs(5);

impl PostgresLiveDb {
    /// Reaches the server, migrates the schema if need be, and checks that the database is the cluster's own. Must be called
    /// on the runtime that is to carry the connections: one that lives as long as the process.
    ///
    /// # Errors
    /// [`LiveDbError::Away`] if the server does not answer within `options.open_timeout`; [`LiveDbError::Refused`] for a URL that
    /// makes no sense, for credentials that are not accepted and for a database of another cluster;
    /// [`LiveDbError::Unreadable`] for a schema of a newer version.
    pub async fn open(options: &PostgresOptions) -> Result<Self, LiveDbError> {
        let pool = opening::open(options).await?;
        Ok(Self { pool, runtime: Handle::current(), call_timeout: options.call_timeout })
    }

    /// Runs `work` on a connection, on our runtime. A caller that is gone meanwhile leaves the call to end by itself.
    async fn call<T, F>(&self, work: F) -> Result<T, LiveDbError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, LiveDbError>> + Send + 'static,
    {
        let (pool, patience) = (self.pool.clone(), self.call_timeout);
        let call = self.runtime.spawn(async move {
            let mut c = pool.acquire().await.map_err(failure)?;
            match timeout(patience, work(&mut c)).await {
                Ok(answer) => answer,
                Err(_) => {
                    // Nobody knows what it is doing: it is closed, not asked.
                    drop(c.detach());
                    Err(LiveDbError::Away(format!("no answer in {patience:?}")))
                }
            }
        });
        call.await.unwrap_or_else(|e| Err(LiveDbError::Away(format!("the call was cut off: {e}"))))
    }

    /// The same in a transaction: committed if `work` succeeds, else rolled back.
    async fn transaction<T, F>(&self, work: F) -> Result<T, LiveDbError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, LiveDbError>> + Send + 'static,
    {
        self.call(move |c| {
            Box::pin(async move {
                let mut tx = c.begin().await.map_err(failure)?;
                match work(&mut tx).await {
                    Ok(value) => {
                        tx.commit().await.map_err(failure)?;
                        Ok(value)
                    }
                    Err(e) => {
                        // When this fails the connection rolls back by itself; the first error is the one worth telling.
                        let _ = tx.rollback().await;
                        Err(e)
                    }
                }
            })
        })
        .await
    }
}

#[async_trait]
impl LiveDb for PostgresLiveDb {
    async fn purge(&self, retention: &Retention, now: UnixMs, limit: usize) -> Result<Purged, LiveDbError> {
        upkeep::purge(self, *retention, now, limit).await
    }

    /// Enough that one hides the latency of another, and half of the connections stay for everything else.
    fn writers(&self) -> usize {
        WRITERS
    }

    async fn check(&self) -> Result<(), LiveDbError> {
        self.call(|c| Box::pin(upkeep::check(c))).await
    }

    async fn close(&self) {
        let pool = self.pool.clone();
        let closing = self.runtime.spawn(async move { timeout(CLOSE_MAX, pool.close()).await.is_ok() });
        if !closing.await.unwrap_or(true) {
            tracing::warn!("connections to the Live DB did not close in good order");
        }
    }
}
