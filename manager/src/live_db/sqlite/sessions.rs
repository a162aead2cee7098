//! Sessions: the calls of [`Ledger`], and what they read. What they write is in [`apply`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use onair_cluster::{Epoch, Event, RoomId, SessionId, Shard, UnixMs};
use sqlx::SqliteConnection;

use super::columns::{self, count, limit, text};
use super::{SqliteLiveDb, apply, begin, failure, settle, upkeep};
use crate::live_db::parse::{self, select_session};
use crate::live_db::{Applied, Ledger, LiveDbError, MediaNote, QuarantineRow, SessionRow, ShardTerm};

#[async_trait]
impl Ledger for SqliteLiveDb {
    async fn apply(
        &self,
        terms: &[ShardTerm],
        events: &[Event],
        now: UnixMs,
    ) -> Result<Applied, LiveDbError> {
        self.fence(terms, events.iter().map(|event| event.shard))?;
        // Refusals are very rare, savepoints cost two statements an event: first without them.
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = apply::together(&mut tx, events, now).await;
        match settle(tx, done).await {
            Err(LiveDbError::Refused(_)) => {}
            other => return other,
        }
        let mut tx = begin(&mut writer).await?;
        let done = apply::one_by_one(&mut tx, events, now).await;
        settle(tx, done).await
    }

    async fn positions(&self) -> Result<Vec<(Shard, u64)>, LiveDbError> {
        positions(&mut *self.connections.reader().await?).await
    }

    async fn note_media(&self, terms: &[ShardTerm], notes: &[MediaNote]) -> Result<u64, LiveDbError> {
        // One term for all shards: under any other nothing is noted.
        if terms.iter().all(|owned| owned.term != self.term) {
            return Ok(0);
        }
        upkeep::note_media(&mut *self.connections.writer().await?, notes).await
    }

    async fn close_lost(&self, terms: &[ShardTerm], now: UnixMs) -> Result<u64, LiveDbError> {
        self.fence(terms, terms.iter().map(|owned| owned.shard))?;
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let shards: Vec<Shard> = terms.iter().map(|owned| owned.shard).collect();
        let done = apply::close_lost(&mut tx, &shards, now).await;
        settle(tx, done).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, LiveDbError> {
        session(&mut *self.connections.reader().await?, id).await
    }

    async fn open_sessions(&self, shard: Shard) -> Result<Vec<SessionRow>, LiveDbError> {
        let mut open = open(&mut *self.connections.reader().await?).await?;
        open.retain(|session| session.card.room_id.shard() == shard);
        Ok(open)
    }

    async fn newest_epochs(&self) -> Result<Vec<(RoomId, Epoch)>, LiveDbError> {
        newest_epochs(&mut *self.connections.reader().await?).await
    }

    async fn quarantine(&self, after: i64, limit: usize) -> Result<Vec<QuarantineRow>, LiveDbError> {
        quarantine(&mut *self.connections.reader().await?, after, limit).await
    }
}

async fn positions(c: &mut SqliteConnection) -> Result<Vec<(Shard, u64)>, LiveDbError> {
    let sql = "SELECT shard, position FROM shard_owner WHERE position > 0 ORDER BY shard";
    let rows = sqlx::query(sql).fetch_all(c).await.map_err(failure)?;
    rows.iter().map(|row| Ok((columns::shard(row, "shard")?, count(row, "position")?))).collect()
}

/// All that are open, the oldest first. Filtered by shard here: it is a hash that SQL does not know.
pub(super) async fn open(c: &mut SqliteConnection) -> Result<Vec<SessionRow>, LiveDbError> {
    let sql = select_session!("WHERE ended_at IS NULL ORDER BY granted_at");
    let rows = sqlx::query(sql).fetch_all(c).await.map_err(failure)?;
    rows.iter().map(parse::session).collect()
}

/// Folded here: a room's shard is a hash that SQL does not know.
async fn newest_epochs(c: &mut SqliteConnection) -> Result<Vec<(RoomId, Epoch)>, LiveDbError> {
    let sql = "SELECT room_id, max(epoch) AS epoch FROM session GROUP BY room_id";
    let mut rows = sqlx::query(sql).fetch(c);
    let mut newest: BTreeMap<Shard, (RoomId, Epoch)> = BTreeMap::new();
    while let Some(row) = rows.try_next().await.map_err(failure)? {
        let room: RoomId = text(&row, "room_id")?;
        let epoch = Epoch(count(&row, "epoch")?);
        let known = newest.entry(room.shard()).or_insert_with(|| (room.clone(), epoch));
        if known.1 < epoch {
            *known = (room, epoch);
        }
    }
    Ok(newest.into_values().collect())
}

async fn session(c: &mut SqliteConnection, id: &SessionId) -> Result<Option<SessionRow>, LiveDbError> {
    let row = sqlx::query(select_session!("WHERE session_id = ?1"))
        .bind(id.to_string())
        .fetch_optional(c)
        .await
        .map_err(failure)?;
    row.as_ref().map(parse::session).transpose()
}

async fn quarantine(
    c: &mut SqliteConnection,
    after: i64,
    max: usize,
) -> Result<Vec<QuarantineRow>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT id, event_id, event, error, at FROM quarantine WHERE id > ?1 ORDER BY id LIMIT ?2",
    )
    .bind(after)
    .bind(limit(max))
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::quarantine).collect()
}
