//! Broadcasts and their totals, read.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::columns::{limit, ms};
use super::{SqliteLiveDb, failure};
use crate::live_db::parse::{self, select_broadcast};
use crate::live_db::{BroadcastFilter, BroadcastRow, BroadcastState, History, LiveDbError, Totals, TotalsOf};

#[async_trait]
impl History for SqliteLiveDb {
    async fn broadcasts(
        &self,
        filter: &BroadcastFilter,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, LiveDbError> {
        broadcasts(&mut *self.connections.reader().await?, filter, limit).await
    }

    async fn totals(&self, of: &TotalsOf) -> Result<Totals, LiveDbError> {
        totals(&mut *self.connections.reader().await?, of).await
    }
}

/// Pages by key, not by offset: the text of the query names only the filters that are set, so that each finds its index.
async fn broadcasts(
    c: &mut SqliteConnection,
    filter: &BroadcastFilter,
    max: usize,
) -> Result<Vec<BroadcastRow>, LiveDbError> {
    let mut query = QueryBuilder::<Sqlite>::new(select_broadcast!("WHERE TRUE"));
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
    if let Some(since) = filter.since {
        query.push(" AND started_at >= ").push_bind(ms(since)?);
    }
    if let Some(until) = filter.until {
        query.push(" AND started_at < ").push_bind(ms(until)?);
    }
    if let Some(after) = &filter.after {
        query.push(" AND (started_at, broadcast_id) < (").push_bind(ms(after.started_at)?);
        query.push(", ").push_bind(after.broadcast_id.clone()).push(")");
    }
    query.push(" ORDER BY started_at DESC, broadcast_id DESC LIMIT ").push_bind(limit(max));
    let rows = query.build().fetch_all(c).await.map_err(failure)?;
    rows.iter().map(parse::broadcast).collect()
}

async fn totals(c: &mut SqliteConnection, of: &TotalsOf) -> Result<Totals, LiveDbError> {
    const SUMS: &str = "SELECT coalesce(sum(broadcasts), 0) AS broadcasts, coalesce(sum(live_ms), 0) AS live_ms, \
                        coalesce(sum(bytes_in), 0) AS bytes_in FROM ";
    let mut query = QueryBuilder::<Sqlite>::new(SUMS);
    match of {
        TotalsOf::Everyone => query.push("shard_owner"),
        TotalsOf::Producer(producer) => {
            query.push("room_totals WHERE producer_id = ").push_bind(producer.as_str().to_owned())
        }
        TotalsOf::Room(room) => {
            query.push("room_totals WHERE room_id = ").push_bind(room.as_str().to_owned())
        }
    };
    let row = query.build().fetch_one(c).await.map_err(failure)?;
    parse::totals(&row)
}
