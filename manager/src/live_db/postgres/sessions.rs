//! Sessions: the calls of [`Ledger`], and what they read. What they write is in [`apply`].

use async_trait::async_trait;
use onair_cluster::{Epoch, Event, RoomId, SessionId, Shard, UnixMs};
use sqlx::PgConnection;

use super::columns::{self, count, limit, shard_number, text};
use super::{PostgresLiveDb, apply, failure, upkeep};
use crate::live_db::parse::{self, select_session};
use crate::live_db::{Applied, Ledger, LiveDbError, MediaNote, QuarantineRow, SessionRow, ShardTerm};

#[async_trait]
impl Ledger for PostgresLiveDb {
    async fn apply(
        &self,
        terms: &[ShardTerm],
        events: &[Event],
        now: UnixMs,
    ) -> Result<Applied, LiveDbError> {
        let (terms, events) = (terms.to_vec(), events.to_vec());
        let (again_terms, again) = (terms.clone(), events.clone());
        // Refusals are very rare, savepoints cost round trips: first without them.
        let together = self
            .transaction(move |c| Box::pin(async move { apply::together(c, &terms, &events, now).await }));
        match together.await {
            Err(LiveDbError::Refused(_)) => {}
            other => return other,
        }
        self.transaction(move |c| {
            Box::pin(async move { apply::one_by_one(c, &again_terms, &again, now).await })
        })
        .await
    }

    async fn positions(&self) -> Result<Vec<(Shard, u64)>, LiveDbError> {
        self.call(|c| Box::pin(positions(c))).await
    }

    async fn note_media(&self, terms: &[ShardTerm], notes: &[MediaNote]) -> Result<u64, LiveDbError> {
        let (terms, notes) = (terms.to_vec(), notes.to_vec());
        self.call(move |c| Box::pin(async move { upkeep::note_media(c, &terms, &notes).await })).await
    }

    async fn close_lost(&self, terms: &[ShardTerm], now: UnixMs) -> Result<u64, LiveDbError> {
        let terms = terms.to_vec();
        self.transaction(move |c| Box::pin(async move { apply::close_lost(c, &terms, now).await })).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, LiveDbError> {
        let id = *id;
        self.call(move |c| Box::pin(async move { session(c, id).await })).await
    }

    async fn open_sessions(&self, shard: Shard) -> Result<Vec<SessionRow>, LiveDbError> {
        self.call(move |c| Box::pin(async move { open(c, &[shard]).await })).await
    }

    async fn newest_epochs(&self) -> Result<Vec<(RoomId, Epoch)>, LiveDbError> {
        self.call(|c| Box::pin(newest_epochs(c))).await
    }

    async fn quarantine(&self, after: i64, limit: usize) -> Result<Vec<QuarantineRow>, LiveDbError> {
        self.call(move |c| Box::pin(async move { quarantine(c, after, limit).await })).await
    }
}

async fn positions(c: &mut PgConnection) -> Result<Vec<(Shard, u64)>, LiveDbError> {
    let sql = "SELECT shard, position FROM shard_owner WHERE position > 0 ORDER BY shard";
    let rows = sqlx::query(sql).fetch_all(c).await.map_err(failure)?;
    rows.iter().map(|row| Ok((columns::shard(row, "shard")?, count(row, "position")?))).collect()
}

async fn session(c: &mut PgConnection, id: SessionId) -> Result<Option<SessionRow>, LiveDbError> {
    let row = sqlx::query(select_session!("WHERE session_id = $1"))
        .bind(id.to_string())
        .fetch_optional(c)
        .await
        .map_err(failure)?;
    row.as_ref().map(parse::session).transpose()
}

/// All of these shards that are open, the oldest first.
pub(super) async fn open(c: &mut PgConnection, shards: &[Shard]) -> Result<Vec<SessionRow>, LiveDbError> {
    let numbers: Vec<i32> = shards.iter().map(|shard| shard_number(*shard)).collect();
    let rows = sqlx::query(select_session!("WHERE ended_at IS NULL AND shard = ANY($1) ORDER BY granted_at"))
        .bind(numbers)
        .fetch_all(c)
        .await
        .map_err(failure)?;
    rows.iter().map(parse::session).collect()
}

/// One look into the index for each shard, however many sessions there are.
async fn newest_epochs(c: &mut PgConnection) -> Result<Vec<(RoomId, Epoch)>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT newest.room_id, newest.epoch FROM shard_owner CROSS JOIN LATERAL ( \
             SELECT room_id, epoch FROM session WHERE session.shard = shard_owner.shard \
             ORDER BY epoch DESC LIMIT 1) AS newest",
    )
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(|row| Ok((text(row, "room_id")?, Epoch(count(row, "epoch")?)))).collect()
}

async fn quarantine(c: &mut PgConnection, after: i64, max: usize) -> Result<Vec<QuarantineRow>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT id, event_id, event, error, at FROM quarantine WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after)
    .bind(limit(max))
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::quarantine).collect()
}
