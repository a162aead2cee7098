//! Broadcasts and their totals, read.

use async_trait::async_trait;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::columns::{limit, ms};
use super::{PostgresLiveDb, failure};
use crate::live_db::parse::{self, select_broadcast};
use crate::live_db::{BroadcastFilter, BroadcastRow, BroadcastState, History, LiveDbError, Totals, TotalsOf};

#[async_trait]
impl History for PostgresLiveDb {
    async fn broadcasts(
        &self,
        filter: &BroadcastFilter,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, LiveDbError> {
        let filter = filter.clone();
        self.call(move |c| Box::pin(async move { broadcasts(c, &filter, limit).await })).await
    }

    async fn totals(&self, of: &TotalsOf) -> Result<Totals, LiveDbError> {
        let of = of.clone();
        self.call(move |c| Box::pin(async move { totals(c, &of).await })).await
    }
}

/// Pages by key, not by offset: the text of the query names only the filters that are set, so that each finds its index.
async fn broadcasts(
    c: &mut PgConnection,
    filter: &BroadcastFilter,
    max: usize,
) -> Result<Vec<BroadcastRow>, LiveDbError> {
    let mut query = QueryBuilder::<Postgres>::new(select_broadcast!("WHERE TRUE"));
    if let Some(room) = &filter.room {
        query.push(" AND room_id = ").push_bind(room.as_str().to_owned());
    }
    if let Some(producer) = &filter.producer {
        query.push(" AND producer_id = ").push_bind(producer.as_str().to_owned());
    }
    if let Some(node) = &filter.node {
        query.push(" AND node_id = ");
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
    // A room has one broadcast on air at most, and the planner, which does not know, would walk through all that it has had to
    // find more of them in order. An order that no index has makes it look for what is on air.
    let is_few =
        filter.state == Some(BroadcastState::Live) && (filter.room.is_some() || filter.producer.is_some());
    query.push(if is_few { " ORDER BY started_at + 0 DESC" } else { " ORDER BY started_at DESC" });
    query.push(", broadcast_id DESC LIMIT ").push_bind(limit(max));
    // Planned anew for each call, with its values: how many rows a filter leaves differs by thousands from room to room.
    let rows = query.build().persistent(false).fetch_all(c).await.map_err(failure)?;
    rows.iter().map(parse::broadcast).collect()
}

async fn totals(c: &mut PgConnection, of: &TotalsOf) -> Result<Totals, LiveDbError> {
    const SUMS: &str = "SELECT coalesce(sum(broadcasts), 0)::bigint AS broadcasts, coalesce(sum(live_ms), 0)::bigint AS live_ms, \
                        coalesce(sum(bytes_in), 0)::bigint AS bytes_in FROM ";
    let mut query = QueryBuilder::<Postgres>::new(SUMS);
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
