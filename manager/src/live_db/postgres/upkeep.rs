//! What keeps the database truthful and small: the last media of open sessions, and what may be forgotten.

use std::time::Duration;

use onair_cluster::UnixMs;
use sqlx::PgConnection;

use super::columns::{limit, number};
use super::{PostgresLiveDb, failure, outbox, owners};
use crate::config::Retention;
use crate::live_db::{LiveDbError, MediaNote, Purged, ShardTerm};

/// One statement for all sessions. Waits for nothing: a row that a lane has locked is about to know better.
pub(super) async fn note_media(
    c: &mut PgConnection,
    terms: &[ShardTerm],
    notes: &[MediaNote],
) -> Result<u64, LiveDbError> {
    let (shards, terms) = owners::arrays(terms)?;
    let ids: Vec<String> = notes.iter().map(|note| note.session_id.to_string()).collect();
    let times = notes.iter().map(|note| number(note.last_media_at.0)).collect::<Result<Vec<_>, _>>()?;
    let done = sqlx::query(
        "UPDATE session SET last_media_at = noted.at FROM ( \
             SELECT session_id, note.at FROM unnest($1::text[], $2::bigint[]) AS note (id, at) \
             JOIN session ON session_id = note.id \
             JOIN unnest($3::integer[], $4::bigint[]) AS given (shard, term) ON given.shard = session.shard \
             JOIN shard_owner ON shard_owner.shard = given.shard AND shard_owner.term = given.term \
             WHERE ended_at IS NULL AND coalesce(last_media_at, 0) < note.at \
             FOR NO KEY UPDATE OF session SKIP LOCKED) AS noted \
         WHERE session.session_id = noted.session_id",
    )
    .bind(ids)
    .bind(times)
    .bind(shards)
    .bind(terms)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(done.rows_affected())
}

/// Each kind in a transaction of its own, the outbox shard by shard: nobody waits long for a lock.
pub(super) async fn purge(
    db: &PostgresLiveDb,
    retention: Retention,
    now: UnixMs,
    max: usize,
) -> Result<Purged, LiveDbError> {
    let before = |age: Duration| {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        i64::try_from(now.0.saturating_sub(age)).unwrap_or(i64::MAX)
    };
    let delete = |sql: &'static str, before: i64| {
        db.call(move |c| {
            Box::pin(async move {
                let done = sqlx::query(sql).bind(before).bind(limit(max)).execute(c).await;
                done.map(|done| done.rows_affected()).map_err(failure)
            })
        })
    };
    Ok(Purged {
        sessions: delete(
            "DELETE FROM session WHERE session_id IN \
             (SELECT session_id FROM session WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)",
            before(retention.history),
        )
        .await?,
        broadcasts: delete(
            "DELETE FROM broadcast WHERE broadcast_id IN \
             (SELECT broadcast_id FROM broadcast WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)",
            before(retention.history),
        )
        .await?,
        outbox: purge_outbox(db, retention, now, max).await?,
        keys: delete(
            "DELETE FROM live_key WHERE live_key_id IN \
             (SELECT live_key_id FROM live_key WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
            before(retention.expired_keys),
        )
        .await?
            + delete(
                "DELETE FROM denied_key WHERE live_key_id IN \
                 (SELECT live_key_id FROM denied_key WHERE kept_until < $1 ORDER BY kept_until LIMIT $2)",
                before(Duration::ZERO),
            )
            .await?,
        holds: delete(
            "DELETE FROM hold WHERE room_id IN \
             (SELECT room_id FROM hold WHERE held_until < $1 ORDER BY held_until LIMIT $2)",
            before(Duration::ZERO),
        )
        .await?,
        tokens: delete(
            "DELETE FROM api_token WHERE token_id IN \
             (SELECT token_id FROM api_token WHERE least(revoked_at, expires_at) < $1 LIMIT $2)",
            before(retention.history),
        )
        .await?,
        audit: delete(
            "DELETE FROM audit WHERE audit_id IN \
             (SELECT audit_id FROM audit WHERE audit_id < lpad(to_hex($1), 12, '0') ORDER BY audit_id LIMIT $2)",
            before(retention.history),
        )
        .await?,
    })
}

async fn purge_outbox(
    db: &PostgresLiveDb,
    retention: Retention,
    now: UnixMs,
    max: usize,
) -> Result<u64, LiveDbError> {
    let to_purge =
        db.call(move |c| Box::pin(async move { outbox::shards_to_purge(c, &retention, now).await }));
    let mut forgotten = 0;
    for shard in to_purge.await? {
        let left = max.saturating_sub(usize::try_from(forgotten).unwrap_or(usize::MAX));
        if left == 0 {
            break;
        }
        let purge = db.transaction(move |c| {
            Box::pin(async move { outbox::purge(c, shard, &retention, now, left).await })
        });
        forgotten += purge.await?;
    }
    Ok(forgotten)
}

pub(super) async fn check(c: &mut PgConnection) -> Result<(), LiveDbError> {
    sqlx::query("SELECT FROM shard_owner LIMIT 1").fetch_optional(c).await.map_err(failure)?;
    Ok(())
}
