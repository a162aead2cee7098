//! What keeps the file truthful and small: the last media of open sessions, and what may be forgotten.

use std::time::Duration;

use onair_cluster::UnixMs;
use sqlx::SqliteConnection;

use super::columns::{array, limit};
use super::{failure, outbox};
use crate::config::Retention;
use crate::live_db::{LiveDbError, MediaNote, Purged};

/// One statement for all sessions: the notes travel as one JSON array of pairs.
pub(super) async fn note_media(c: &mut SqliteConnection, notes: &[MediaNote]) -> Result<u64, LiveDbError> {
    let pairs: Vec<(String, u64)> =
        notes.iter().map(|note| (note.session_id.to_string(), note.last_media_at.0)).collect();
    let done = sqlx::query(
        "UPDATE session SET last_media_at = note.at \
         FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each(?1)) AS note \
         WHERE session.session_id = note.id AND session.ended_at IS NULL \
         AND coalesce(session.last_media_at, 0) < note.at",
    )
    .bind(array(&pairs)?)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(done.rows_affected())
}

pub(super) async fn purge(
    c: &mut SqliteConnection,
    retention: &Retention,
    now: UnixMs,
    max: usize,
) -> Result<Purged, LiveDbError> {
    let before = |age: Duration| {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        i64::try_from(now.0.saturating_sub(age)).unwrap_or(i64::MAX)
    };
    let outbox = outbox::purge(c, retention, now, max).await?;
    let mut delete = async |sql: &'static str, before: i64| {
        let done = sqlx::query(sql).bind(before).bind(limit(max)).execute(&mut *c).await;
        done.map(|done| done.rows_affected()).map_err(failure)
    };
    Ok(Purged {
        sessions: delete(
            "DELETE FROM session WHERE rowid IN (SELECT rowid FROM session WHERE ended_at < ?1 LIMIT ?2)",
            before(retention.history),
        )
        .await?,
        broadcasts: delete(
            "DELETE FROM broadcast WHERE rowid IN (SELECT rowid FROM broadcast WHERE ended_at < ?1 LIMIT ?2)",
            before(retention.history),
        )
        .await?,
        outbox,
        keys: delete(
            "DELETE FROM live_key WHERE live_key_id IN \
             (SELECT live_key_id FROM live_key WHERE expires_at < ?1 LIMIT ?2)",
            before(retention.expired_keys),
        )
        .await?
            + delete(
                "DELETE FROM denied_key WHERE live_key_id IN \
                 (SELECT live_key_id FROM denied_key WHERE kept_until < ?1 LIMIT ?2)",
                before(Duration::ZERO),
            )
            .await?,
        holds: delete(
            "DELETE FROM hold WHERE room_id IN (SELECT room_id FROM hold WHERE held_until < ?1 LIMIT ?2)",
            before(Duration::ZERO),
        )
        .await?,
        tokens: delete(
            "DELETE FROM api_token WHERE token_id IN (SELECT token_id FROM api_token \
             WHERE min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at)) < ?1 LIMIT ?2)",
            before(retention.history),
        )
        .await?,
        audit: delete(
            "DELETE FROM audit WHERE audit_id IN \
             (SELECT audit_id FROM audit WHERE audit_id < printf('%012x', ?1) ORDER BY audit_id LIMIT ?2)",
            before(retention.history),
        )
        .await?,
    })
}

pub(super) async fn check(c: &mut SqliteConnection) -> Result<(), LiveDbError> {
    sqlx::query("SELECT 1 FROM room LIMIT 1").fetch_optional(c).await.map_err(failure)?;
    Ok(())
}
