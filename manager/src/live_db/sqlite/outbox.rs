//! The outbox, on SQLite. Numbers are given by the one writer, from the counters in `shard_owner`.

use async_trait::async_trait;
use onair_cluster::{Shard, UnixMs};
use sqlx::SqliteConnection;

use super::columns::{array, count, limit, ms, number, time_opt};
use super::{SqliteLiveDb, begin, failure, settle};
use crate::config::Retention;
use crate::live_db::parse::{self, select_outbox};
use crate::live_db::{FeedSpan, LiveDbError, Outbox, OutboxRow, ShardTerm};

#[async_trait]
impl Outbox for SqliteLiveDb {
    async fn unshipped(&self, shard: Shard, limit: usize) -> Result<Vec<OutboxRow>, LiveDbError> {
        let sql =
            select_outbox!("WHERE shard = ?1 AND seq > ?2 AND shipped_at IS NULL ORDER BY seq LIMIT ?3");
        rows(&mut *self.connections.reader().await?, sql, shard, 0, limit).await
    }

    async fn mark_shipped(&self, owned: ShardTerm, seqs: &[u64], now: UnixMs) -> Result<u64, LiveDbError> {
        self.fence(&[owned], [owned.shard])?;
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = mark_shipped(&mut tx, owned.shard, seqs, now).await;
        settle(tx, done).await
    }

    async fn mark_refused(
        &self,
        owned: ShardTerm,
        seq: u64,
        why: &str,
        now: UnixMs,
    ) -> Result<(), LiveDbError> {
        self.fence(&[owned], [owned.shard])?;
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = mark_refused(&mut tx, owned.shard, seq, why, now).await;
        settle(tx, done).await
    }

    async fn oldest_unshipped(&self) -> Result<Option<UnixMs>, LiveDbError> {
        let sql = "SELECT min(created_at) AS oldest FROM outbox WHERE shipped_at IS NULL";
        let mut reader = self.connections.reader().await?;
        let row = sqlx::query(sql).fetch_one(&mut *reader).await.map_err(failure)?;
        time_opt(&row, "oldest")
    }

    async fn unshipped_count(&self) -> Result<u64, LiveDbError> {
        let sql = "SELECT sum(unshipped) AS unshipped FROM shard_owner";
        let mut reader = self.connections.reader().await?;
        let row = sqlx::query(sql).fetch_one(&mut *reader).await.map_err(failure)?;
        count(&row, "unshipped")
    }

    async fn feed(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<OutboxRow>, LiveDbError> {
        let sql = select_outbox!("WHERE shard = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
        rows(&mut *self.connections.reader().await?, sql, shard, after, limit).await
    }

    async fn feed_span(&self) -> Result<Vec<FeedSpan>, LiveDbError> {
        let sql = "SELECT shard, last_seq, coalesce((SELECT min(seq) FROM outbox \
                   WHERE outbox.shard = shard_owner.shard), last_seq + 1) AS first_kept \
                   FROM shard_owner ORDER BY shard";
        let mut reader = self.connections.reader().await?;
        let rows = sqlx::query(sql).fetch_all(&mut *reader).await.map_err(failure)?;
        rows.iter().map(parse::feed_span).collect()
    }
}

async fn rows(
    c: &mut SqliteConnection,
    sql: &'static str,
    shard: Shard,
    after: u64,
    max: usize,
) -> Result<Vec<OutboxRow>, LiveDbError> {
    let query = sqlx::query(sql).bind(i64::from(shard.number())).bind(number(after)?).bind(limit(max));
    let rows = query.fetch_all(c).await.map_err(failure)?;
    rows.iter().map(parse::outbox).collect()
}

/// One statement for all numbers: they travel as one JSON array.
async fn mark_shipped(
    c: &mut SqliteConnection,
    shard: Shard,
    seqs: &[u64],
    now: UnixMs,
) -> Result<u64, LiveDbError> {
    let marked = sqlx::query(
        "UPDATE outbox SET shipped_at = ?3 \
         WHERE shard = ?1 AND seq IN (SELECT value FROM json_each(?2)) AND shipped_at IS NULL",
    )
    .bind(i64::from(shard.number()))
    .bind(array(seqs)?)
    .bind(ms(now)?)
    .execute(&mut *c)
    .await
    .map_err(failure)?
    .rows_affected();
    sqlx::query("UPDATE shard_owner SET unshipped = unshipped - ?2 WHERE shard = ?1")
        .bind(i64::from(shard.number()))
        .bind(number(marked)?)
        .execute(c)
        .await
        .map_err(failure)?;
    Ok(marked)
}

async fn mark_refused(
    c: &mut SqliteConnection,
    shard: Shard,
    seq: u64,
    why: &str,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    sqlx::query(
        "INSERT INTO quarantine (event_id, shard, room_id, event, error, at) \
         SELECT event_id, shard, room_id, payload, ?3, ?4 FROM outbox WHERE shard = ?1 AND seq = ?2 \
         ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(i64::from(shard.number()))
    .bind(number(seq)?)
    .bind(why)
    .bind(ms(now)?)
    .execute(&mut *c)
    .await
    .map_err(failure)?;
    mark_shipped(c, shard, &[seq], now).await.map(|_| ())
}

/// Forgets messages that are old enough, from the oldest of each shard on as far as all are, so that what is kept has no gaps.
pub(super) async fn purge(
    c: &mut SqliteConnection,
    retention: &Retention,
    now: UnixMs,
    max: usize,
) -> Result<u64, LiveDbError> {
    let mut forgotten = 0;
    for shard in Shard::all() {
        let sql = select_outbox!("WHERE shard = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
        let left = max.saturating_sub(usize::try_from(forgotten).unwrap_or(usize::MAX));
        let oldest = rows(c, sql, shard, 0, left).await?;
        let old = oldest.iter().take_while(|row| retention.forgets(row, now)).last();
        let Some(last) = old else { continue };
        let shard = i64::from(shard.number());
        let unshipped = oldest.iter().filter(|row| row.seq <= last.seq && row.shipped_at.is_none()).count();
        let done = sqlx::query("DELETE FROM outbox WHERE shard = ?1 AND seq <= ?2")
            .bind(shard)
            .bind(number(last.seq)?)
            .execute(&mut *c)
            .await
            .map_err(failure)?;
        forgotten += done.rows_affected();
        if unshipped > 0 {
            sqlx::query("UPDATE shard_owner SET unshipped = unshipped - ?2 WHERE shard = ?1")
                .bind(shard)
                .bind(limit(unshipped))
                .execute(&mut *c)
                .await
                .map_err(failure)?;
        }
    }
    Ok(forgotten)
}
