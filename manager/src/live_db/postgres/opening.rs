//! From options to a pool of connections: the server reached, the schema migrated, the database known to be ours.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use tokio::time::{Instant, sleep, timeout};

use super::PostgresOptions;
use super::failure::failure;
use crate::core::backoff;
use crate::live_db::LiveDbError;
use crate::reports::LiveDbAwaited;

static MIGRATIONS: Migrator = sqlx::migrate!("src/live_db/migrations/postgres");

/// One attempt to reach the server. Longer than a busy server takes, shorter than a network that swallows packets.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a migration may take, the wait for another Manager that runs it included.
const MIGRATE_MAX: Duration = Duration::from_secs(600);
/// A connection that was used within this time is not asked again whether it lives.
const FRESH: Duration = Duration::from_secs(1);

/// Tries until `options.open_timeout` is over while the server does not answer; at once gives up what will not change.
pub(super) async fn open(options: &PostgresOptions) -> Result<PgPool, LiveDbError> {
    let connect = options.connect_options()?;
    let deadline = Instant::now() + options.open_timeout;
    let mut attempt = 0;
    loop {
        match prepare(options, &connect).await {
            Ok(()) => break,
            Err(LiveDbError::Away(why)) => {
                let error = LiveDbError::Away(format!("PostgreSQL at {}: {why}", options.place()));
                if Instant::now() >= deadline {
                    return Err(error);
                }
                LiveDbAwaited { error: &error, attempt }.emit();
                sleep(backoff(attempt)).await;
                attempt += 1;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(pool(options, connect))
}

/// Migrates, and checks whose database it is, on connections of its own: what a pool says when it cannot connect is only
/// that it could not.
async fn prepare(options: &PostgresOptions, connect: &PgConnectOptions) -> Result<(), LiveDbError> {
    let silent = |_| LiveDbError::Away(format!("no answer in {CONNECT_MAX:?}"));
    let c = timeout(CONNECT_MAX, connect.connect()).await.map_err(silent)?.map_err(unconnected)?;
    let _ = timeout(CONNECT_MAX, c.close()).await;

    let one = PgPoolOptions::new().max_connections(1).connect_lazy_with(connect.clone());
    let prepared = async {
        // Under an advisory lock of sqlx's: of several Managers that start at once, one migrates and the others wait.
        let silent = |_| LiveDbError::Away(format!("the schema was not migrated in {MIGRATE_MAX:?}"));
        timeout(MIGRATE_MAX, MIGRATIONS.run(&one)).await.map_err(silent)?.map_err(unmigrated)?;
        let silent = |_| LiveDbError::Away(format!("no answer in {CONNECT_MAX:?}"));
        timeout(CONNECT_MAX, belong(&one, &options.cluster)).await.map_err(silent)?
    };
    let prepared = prepared.await;
    let _ = timeout(CONNECT_MAX, one.close()).await;
    prepared
}

/// Wrong credentials (class 28) and a database that does not exist (3D000) are an operator's to mend, and not worth a retry.
fn unconnected(e: sqlx::Error) -> LiveDbError {
    let code = e.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    if code.starts_with("28") || code == "3D000" {
        return LiveDbError::Refused(format!("PostgreSQL lets us not in: {}", failure(e)));
    }
    failure(e)
}

fn unmigrated(e: MigrateError) -> LiveDbError {
    match e {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => failure(e),
        MigrateError::VersionMissing(version) => LiveDbError::Unreadable(format!(
            "the schema has migration {version}, which this version does not know; the database is of a newer Onair"
        )),
        MigrateError::VersionMismatch(version) => LiveDbError::Unreadable(format!(
            "migration {version} of the schema is not the one that this version knows"
        )),
        e => LiveDbError::Unreadable(format!("the schema cannot be migrated: {e}")),
    }
}

/// Gives the database to `cluster`, unless it belongs to another.
async fn belong(pool: &PgPool, cluster: &str) -> Result<(), LiveDbError> {
    sqlx::query("INSERT INTO cluster (name) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(cluster)
        .execute(pool)
        .await
        .map_err(failure)?;
    let row = sqlx::query("SELECT name FROM cluster").fetch_one(pool).await.map_err(failure)?;
    let owner: String = row.try_get("name").map_err(failure)?;
    if owner == cluster {
        Ok(())
    } else {
        Err(LiveDbError::Refused(format!("the database is of cluster \"{owner}\", not of \"{cluster}\"")))
    }
}

fn pool(options: &PostgresOptions, connect: PgConnectOptions) -> PgPool {
    let ms = |time: Duration| time.as_millis();
    // An open transaction in which nothing happens is a frozen Manager's, and keeps its shard from the next owner: it ends
    // before the Manager's lease does. The keep-alives find connections whose other end is gone.
    let settings = format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
         SET synchronous_commit = on; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; \
         SET tcp_keepalives_count = 3",
        ms(options.statement_timeout),
        ms(options.lock_timeout),
        ms(options.statement_timeout),
    );
    let settings: std::sync::Arc<str> = settings.into();
    PgPoolOptions::new()
        .max_connections(options.connections_max.max(2))
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|c, meta| {
            Box::pin(async move {
                if meta.idle_for > FRESH {
                    c.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |c, _| {
            let settings = std::sync::Arc::clone(&settings);
            Box::pin(async move {
                c.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(settings.to_string()))).await.map(|_| ())
            })
        })
        .connect_lazy_with(connect)
}
