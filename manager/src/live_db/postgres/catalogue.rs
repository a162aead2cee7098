//! Lists of producers and live keys in PostgreSQL.

use async_trait::async_trait;
use onair_cluster::{LiveKeyId, ProducerId, UnixMs};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::columns::{limit, ms};
use super::{PostgresLiveDb, failure, keys};
use crate::live_db::parse::{self, select_key};
use crate::live_db::{Catalogue, KeyFilter, KeyRow, KeyState, LiveDbError, RoomRow};

#[async_trait]
impl Catalogue for PostgresLiveDb {
    async fn room_of(&self, producer: &ProducerId) -> Result<Option<RoomRow>, LiveDbError> {
        let producer = producer.clone();
        self.call(move |c| Box::pin(async move { keys::room_of(c, &producer).await })).await
    }

    async fn producers(&self, after: Option<&ProducerId>, max: usize) -> Result<Vec<RoomRow>, LiveDbError> {
        let after = after.cloned();
        self.call(move |c| Box::pin(async move { producers(c, after.as_ref(), max).await })).await
    }

    async fn key_list(&self, filter: &KeyFilter, max: usize) -> Result<Vec<KeyRow>, LiveDbError> {
        let filter = filter.clone();
        self.call(move |c| Box::pin(async move { key_list(c, &filter, max).await })).await
    }

    async fn shorten_key(&self, id: &LiveKeyId, at: UnixMs) -> Result<Option<KeyRow>, LiveDbError> {
        let id = id.clone();
        self.transaction(move |c| Box::pin(async move { shorten(c, &id, at).await })).await
    }
}

async fn producers(
    c: &mut PgConnection,
    after: Option<&ProducerId>,
    max: usize,
) -> Result<Vec<RoomRow>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT room_id, producer_id, created_at FROM room WHERE producer_id > $1 ORDER BY producer_id LIMIT $2",
    )
    .bind(after.map_or("", ProducerId::as_str))
    .bind(limit(max))
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::room).collect()
}

async fn key_list(c: &mut PgConnection, filter: &KeyFilter, max: usize) -> Result<Vec<KeyRow>, LiveDbError> {
    let mut query = QueryBuilder::<Postgres>::new(select_key!("WHERE TRUE"));
    if let Some(room) = &filter.room {
        query.push(" AND room_id = ").push_bind(room.as_str().to_owned());
    }
    if let Some(producer) = &filter.producer {
        // A producer has one room, and rooms have an index.
        query.push(" AND room_id = (SELECT room_id FROM room WHERE producer_id = ");
        query.push_bind(producer.as_str().to_owned()).push(")");
    }
    let now = ms(filter.now)?;
    match filter.state {
        None => &mut query,
        Some(KeyState::Revoked) => query.push(" AND revoked_at IS NOT NULL"),
        Some(KeyState::Active) => query.push(" AND revoked_at IS NULL AND expires_at > ").push_bind(now),
        Some(KeyState::Expired) => query.push(" AND revoked_at IS NULL AND expires_at <= ").push_bind(now),
    };
    if let Some(after) = &filter.after {
        query.push(" AND (created_at, live_key_id) < (").push_bind(ms(after.created_at)?);
        query.push(", ").push_bind(after.live_key_id.as_str().to_owned()).push(")");
    }
    query.push(" ORDER BY created_at DESC, live_key_id DESC LIMIT ").push_bind(limit(max));
    // Planned anew for each call, with its values.
    let rows = query.build().persistent(false).fetch_all(c).await.map_err(failure)?;
    rows.iter().map(parse::key).collect()
}

async fn shorten(c: &mut PgConnection, id: &LiveKeyId, at: UnixMs) -> Result<Option<KeyRow>, LiveDbError> {
    sqlx::query("UPDATE live_key SET expires_at = $2 WHERE live_key_id = $1 AND expires_at > $2")
        .bind(id.as_str())
        .bind(ms(at)?)
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    keys::key(c, id).await
}
