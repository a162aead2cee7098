//! The outbox, on PostgreSQL. Numbers are given by the applying transaction, under the lock on the shard's row.

use async_trait::async_trait;
use onair_cluster::{Shard, UnixMs};
use sqlx::PgConnection;

use super::columns::{count, limit, ms, number, shard_number, time_opt};
use super::owners::fence;
use super::{PostgresLiveDb, failure};
use crate::config::Retention;
use crate::live_db::parse::{self, select_outbox};
use crate::live_db::{FeedSpan, LiveDbError, Outbox, OutboxRow, ShardTerm};

#[async_trait]
impl Outbox for PostgresLiveDb {
    async fn unshipped(&self, shard: Shard, limit: usize) -> Result<Vec<OutboxRow>, LiveDbError> {
        let sql =
            select_outbox!("WHERE shard = $1 AND seq > $2 AND shipped_at IS NULL ORDER BY seq LIMIT $3");
        self.call(move |c| Box::pin(rows(c, sql, shard, 0, limit))).await
    }

    async fn mark_shipped(&self, owned: ShardTerm, seqs: &[u64], now: UnixMs) -> Result<u64, LiveDbError> {
        let seqs = seqs.to_vec();
        self.transaction(move |c| Box::pin(async move { mark_shipped(c, owned, &seqs, now).await })).await
    }

    async fn mark_refused(
        &self,
        owned: ShardTerm,
        seq: u64,
        why: &str,
        now: UnixMs,
    ) -> Result<(), LiveDbError> {
        let why = why.to_owned();
        self.transaction(move |c| Box::pin(async move { mark_refused(c, owned, seq, &why, now).await })).await
    }

    async fn oldest_unshipped(&self) -> Result<Option<UnixMs>, LiveDbError> {
        self.call(|c| Box::pin(oldest_unshipped(c))).await
    }

    async fn unshipped_count(&self) -> Result<u64, LiveDbError> {
        self.call(|c| Box::pin(unshipped_count(c))).await
    }

    async fn feed(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<OutboxRow>, LiveDbError> {
        let sql = select_outbox!("WHERE shard = $1 AND seq > $2 ORDER BY seq LIMIT $3");
        self.call(move |c| Box::pin(rows(c, sql, shard, after, limit))).await
    }

    async fn feed_all(&self, after: &[(Shard, u64)], limit: usize) -> Result<Vec<OutboxRow>, LiveDbError> {
        let after = after.to_vec();
        self.call(move |c| Box::pin(async move { feed_all(c, &after, limit).await })).await
    }

    async fn feed_span(&self) -> Result<Vec<FeedSpan>, LiveDbError> {
        self.call(|c| Box::pin(feed_span(c))).await
    }
}

async fn rows(
    c: &mut PgConnection,
    sql: &'static str,
    shard: Shard,
    after: u64,
    max: usize,
) -> Result<Vec<OutboxRow>, LiveDbError> {
    let query = sqlx::query(sql).bind(shard_number(shard)).bind(number(after)?).bind(limit(max));
    let rows = query.fetch_all(c).await.map_err(failure)?;
    rows.iter().map(parse::outbox).collect()
}

async fn oldest_unshipped(c: &mut PgConnection) -> Result<Option<UnixMs>, LiveDbError> {
    let sql = "SELECT min(created_at) AS oldest FROM outbox WHERE shipped_at IS NULL";
    time_opt(&sqlx::query(sql).fetch_one(c).await.map_err(failure)?, "oldest")
}

async fn unshipped_count(c: &mut PgConnection) -> Result<u64, LiveDbError> {
    let sql = "SELECT sum(unshipped)::bigint AS unshipped FROM shard_owner";
    count(&sqlx::query(sql).fetch_one(c).await.map_err(failure)?, "unshipped")
}

async fn feed_all(
    c: &mut PgConnection,
    after: &[(Shard, u64)],
    max: usize,
) -> Result<Vec<OutboxRow>, LiveDbError> {
    let shards: Vec<i32> = after.iter().map(|(shard, _)| shard_number(*shard)).collect();
    let after = after.iter().map(|(_, after)| number(*after)).collect::<Result<Vec<_>, _>>()?;
    let rows = sqlx::query(
        "SELECT next.* FROM unnest($1::integer[], $2::bigint[]) WITH ORDINALITY AS place (shard, after, nth) \
         CROSS JOIN LATERAL (SELECT * FROM outbox WHERE outbox.shard = place.shard AND seq > place.after \
         ORDER BY seq LIMIT $3) AS next ORDER BY place.nth, next.seq",
    )
    .bind(shards)
    .bind(after)
    .bind(limit(max))
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::outbox).collect()
}

async fn feed_span(c: &mut PgConnection) -> Result<Vec<FeedSpan>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT shard, last_seq, coalesce((SELECT min(seq) FROM outbox WHERE outbox.shard = shard_owner.shard), \
         last_seq + 1) AS first_kept FROM shard_owner ORDER BY shard",
    )
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::feed_span).collect()
}

async fn mark_shipped(
    c: &mut PgConnection,
    owned: ShardTerm,
    seqs: &[u64],
    now: UnixMs,
) -> Result<u64, LiveDbError> {
    fence(c, &[owned], [owned.shard]).await?;
    let seqs = seqs.iter().map(|seq| number(*seq)).collect::<Result<Vec<_>, _>>()?;
    let marked = sqlx::query(
        "UPDATE outbox SET shipped_at = $3 WHERE shard = $1 AND seq = ANY($2) AND shipped_at IS NULL",
    )
    .bind(shard_number(owned.shard))
    .bind(seqs)
    .bind(ms(now)?)
    .execute(&mut *c)
    .await
    .map_err(failure)?
    .rows_affected();
    count_away(c, owned.shard, marked).await?;
    Ok(marked)
}

async fn mark_refused(
    c: &mut PgConnection,
    owned: ShardTerm,
    seq: u64,
    why: &str,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    // Fences the whole transaction.
    mark_shipped(c, owned, &[seq], now).await?;
    sqlx::query(
        "INSERT INTO quarantine (event_id, shard, room_id, event, error, at) \
         SELECT event_id, shard, room_id, payload, $3, $4 FROM outbox WHERE shard = $1 AND seq = $2 \
         ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(shard_number(owned.shard))
    .bind(number(seq)?)
    .bind(why)
    .bind(ms(now)?)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

/// So many messages of the shard wait no more.
async fn count_away(c: &mut PgConnection, shard: Shard, messages: u64) -> Result<(), LiveDbError> {
    sqlx::query("UPDATE shard_owner SET unshipped = unshipped - $2 WHERE shard = $1")
        .bind(shard_number(shard))
        .bind(number(messages)?)
        .execute(c)
        .await
        .map_err(failure)?;
    Ok(())
}

/// Forgets messages of a shard that are old enough, from the oldest on as far as all are, so that what is kept has no gaps.
pub(super) async fn purge(
    c: &mut PgConnection,
    shard: Shard,
    retention: &Retention,
    now: UnixMs,
    max: usize,
) -> Result<u64, LiveDbError> {
    // Before the messages, as every other transaction: none can wait for this one with a lock that this one waits for.
    sqlx::query("SELECT FROM shard_owner WHERE shard = $1 FOR NO KEY UPDATE")
        .bind(shard_number(shard))
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    let sql = select_outbox!("WHERE shard = $1 AND seq > $2 ORDER BY seq LIMIT $3");
    let oldest = rows(c, sql, shard, 0, max).await?;
    let Some(last) = oldest.iter().take_while(|row| retention.forgets(row, now)).last() else { return Ok(0) };
    let unshipped = oldest.iter().filter(|row| row.seq <= last.seq && row.shipped_at.is_none()).count();
    let done = sqlx::query("DELETE FROM outbox WHERE shard = $1 AND seq <= $2")
        .bind(shard_number(shard))
        .bind(number(last.seq)?)
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    if unshipped > 0 {
        count_away(c, shard, unshipped as u64).await?;
    }
    Ok(done.rows_affected())
}

/// Shards whose oldest message may be old enough to be forgotten.
pub(super) async fn shards_to_purge(
    c: &mut PgConnection,
    retention: &Retention,
    now: UnixMs,
) -> Result<Vec<Shard>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT oldest.* FROM shard_owner CROSS JOIN LATERAL ( \
             SELECT * FROM outbox WHERE outbox.shard = shard_owner.shard ORDER BY seq LIMIT 1) AS oldest",
    )
    .fetch_all(c)
    .await
    .map_err(failure)?;
    let oldest = rows.iter().map(parse::outbox).collect::<Result<Vec<_>, _>>()?;
    Ok(oldest.iter().filter(|row| retention.forgets(row, now)).map(|row| row.shard).collect())
}
