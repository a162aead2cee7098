//! What is read and never written here: sessions, broadcasts, outbox and quarantine.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use onair_cluster::{Epoch, RoomId, SessionId, Shard};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::columns::{self, count, limit, ms, select_session, text, time, time_opt};
use super::failure;
use crate::live_db::{
    BroadcastFilter, BroadcastRow, BroadcastState, LiveDbError, OutboxRow, QuarantineRow, SessionRow,
};

/// Folded here: a room's shard is a hash that SQL does not know.
pub(super) async fn newest_epochs(c: &mut SqliteConnection) -> Result<Vec<(RoomId, Epoch)>, LiveDbError> {
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

pub(super) async fn session(
    c: &mut SqliteConnection,
    id: &SessionId,
) -> Result<Option<SessionRow>, LiveDbError> {
    let row = sqlx::query(select_session!("WHERE session_id = ?1"))
        .bind(id.to_string())
        .fetch_optional(c)
        .await
        .map_err(failure)?;
    row.as_ref().map(columns::session).transpose()
}

/// Pages by key, not by offset: the text of the query names only the filters that are set, so that each finds its index.
pub(super) async fn broadcasts(
    c: &mut SqliteConnection,
    filter: &BroadcastFilter,
    max: usize,
) -> Result<Vec<BroadcastRow>, LiveDbError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT broadcast_id, room_id, producer_id, session_id, epoch, node_id, started_at, ended_at, detected_at, \
         end_reason FROM broadcast WHERE TRUE",
    );
    if let Some(room) = &filter.room {
        query.push(" AND room_id = ").push_bind(room.as_str().to_owned());
    }
    if let Some(producer) = &filter.producer {
        query.push(" AND producer_id = ").push_bind(producer.as_str().to_owned());
    }
    if let Some(node) = &filter.node {
        // A node has many broadcasts: beside any narrower filter its index is the wrong one, which `+` hides from the
        // planner. <https://sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_>
        let is_narrow =
            filter.room.is_some() || filter.producer.is_some() || filter.state == Some(BroadcastState::Live);
        query.push(if is_narrow { " AND +node_id = " } else { " AND node_id = " });
        query.push_bind(node.as_str().to_owned());
    }
    match filter.state {
        Some(BroadcastState::Live) => query.push(" AND ended_at IS NULL"),
        Some(BroadcastState::Ended) => query.push(" AND ended_at IS NOT NULL"),
        None => &mut query,
    };
    if let Some(after) = &filter.after {
        query.push(" AND (started_at, broadcast_id) < (").push_bind(ms(after.started_at)?);
        query.push(", ").push_bind(after.broadcast_id.clone()).push(")");
    }
    query.push(" ORDER BY started_at DESC, broadcast_id DESC LIMIT ").push_bind(limit(max));
    let rows = query.build().fetch_all(c).await.map_err(failure)?;
    rows.iter().map(broadcast_row).collect()
}

fn broadcast_row(row: &SqliteRow) -> Result<BroadcastRow, LiveDbError> {
    Ok(BroadcastRow {
        broadcast_id: row.try_get("broadcast_id").map_err(failure)?,
        room_id: text(row, "room_id")?,
        producer_id: text(row, "producer_id")?,
        session_id: text(row, "session_id")?,
        epoch: Epoch(count(row, "epoch")?),
        node_id: text(row, "node_id")?,
        started_at: time(row, "started_at")?,
        end: columns::end(row)?,
    })
}

pub(super) async fn outbox(
    c: &mut SqliteConnection,
    after: i64,
    max: usize,
) -> Result<Vec<OutboxRow>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT id, event_id, room_id, epoch, type, payload, created_at, shipped_at FROM outbox WHERE id > ?1 \
         ORDER BY id LIMIT ?2",
    )
    .bind(after)
    .bind(limit(max))
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter()
        .map(|row| {
            Ok(OutboxRow {
                id: row.try_get("id").map_err(failure)?,
                event_id: row.try_get("event_id").map_err(failure)?,
                room_id: text(row, "room_id")?,
                epoch: Epoch(count(row, "epoch")?),
                kind: row.try_get("type").map_err(failure)?,
                payload: row.try_get("payload").map_err(failure)?,
                created_at: time(row, "created_at")?,
                shipped_at: time_opt(row, "shipped_at")?,
            })
        })
        .collect()
}

pub(super) async fn quarantine(
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
    rows.iter()
        .map(|row| {
            Ok(QuarantineRow {
                id: row.try_get("id").map_err(failure)?,
                event_id: row.try_get("event_id").map_err(failure)?,
                event: row.try_get("event").map_err(failure)?,
                error: row.try_get("error").map_err(failure)?,
                at: time(row, "at")?,
            })
        })
        .collect()
}
