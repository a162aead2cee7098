//! Producers, rooms, live keys and holds: what the API writes.

use std::collections::HashSet;

use onair_cluster::live_key::LEEWAY;
use onair_cluster::registry::{Hold, KeyRecord};
use onair_cluster::{LiveKeyId, ProducerId, RoomId, UnixMs};
use sqlx::PgConnection;

use super::columns::{limit, ms, number, takeover_name, text};
use super::failure;
use crate::live_db::parse::{self, select_key};
use crate::live_db::{HoldRow, KeyRow, LiveDbError, NewKey, RoomRow};

pub(super) async fn room(c: &mut PgConnection, room: &RoomId) -> Result<Option<RoomRow>, LiveDbError> {
    let row = sqlx::query("SELECT room_id, producer_id, created_at FROM room WHERE room_id = $1")
        .bind(room.as_str())
        .fetch_optional(c)
        .await
        .map_err(failure)?;
    row.as_ref().map(parse::room).transpose()
}

pub(super) async fn room_of(
    c: &mut PgConnection,
    producer: &ProducerId,
) -> Result<Option<RoomRow>, LiveDbError> {
    let row = sqlx::query("SELECT room_id, producer_id, created_at FROM room WHERE producer_id = $1")
        .bind(producer.as_str())
        .fetch_optional(c)
        .await
        .map_err(failure)?;
    row.as_ref().map(parse::room).transpose()
}

pub(super) async fn ensure_room(
    c: &mut PgConnection,
    producer: &ProducerId,
    candidate: &RoomId,
    now: UnixMs,
) -> Result<RoomRow, LiveDbError> {
    sqlx::query("INSERT INTO producer (producer_id, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(producer.as_str())
        .bind(ms(now)?)
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    // Two requests may have come at once: the second waits here for the first, and finds its room.
    sqlx::query(
        "INSERT INTO room (room_id, producer_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(candidate.as_str())
    .bind(producer.as_str())
    .bind(ms(now)?)
    .execute(&mut *c)
    .await
    .map_err(failure)?;
    room_of(c, producer).await?.ok_or_else(|| LiveDbError::RoomTaken(candidate.clone()))
}

pub(super) async fn key(c: &mut PgConnection, id: &LiveKeyId) -> Result<Option<KeyRow>, LiveDbError> {
    let row = sqlx::query(select_key!("WHERE live_key_id = $1"))
        .bind(id.as_str())
        .fetch_optional(c)
        .await
        .map_err(failure)?;
    row.as_ref().map(parse::key).transpose()
}

pub(super) async fn add(
    c: &mut PgConnection,
    key: &NewKey,
    in_use: Option<&LiveKeyId>,
    max: usize,
) -> Result<Vec<LiveKeyId>, LiveDbError> {
    let max_duration = key.max_duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    // Two keys that come at once must not both find room for one.
    sqlx::query("SELECT FROM room WHERE room_id = $1 FOR NO KEY UPDATE")
        .bind(key.room_id.as_str())
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    sqlx::query(
        "INSERT INTO live_key (live_key_id, room_id, producer_id, takeover, max_duration_ms, created_at, \
         expires_at, max_bitrate) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(key.live_key_id.as_str())
    .bind(key.room_id.as_str())
    .bind(key.producer_id.as_str())
    .bind(takeover_name(key.takeover))
    .bind(max_duration.map(number).transpose()?)
    .bind(ms(key.created_at)?)
    .bind(ms(key.expires_at)?)
    .bind(key.max_bitrate.map(number).transpose()?)
    .execute(&mut *c)
    .await
    .map_err(failure)?;

    // Those idle longest first: an address is idle since it was last used or, if it never was, since it was handed out.
    let rows = sqlx::query(
        "SELECT live_key_id FROM live_key WHERE room_id = $1 AND revoked_at IS NULL AND expires_at > $2 \
         ORDER BY greatest(created_at, last_used_at), live_key_id",
    )
    .bind(key.room_id.as_str())
    .bind(ms(key.created_at)?)
    .fetch_all(&mut *c)
    .await
    .map_err(failure)?;
    let mut kept: HashSet<LiveKeyId> = HashSet::from([key.live_key_id.clone()]);
    kept.extend(in_use.cloned());
    let open = sqlx::query("SELECT live_key_id FROM session WHERE room_id = $1 AND ended_at IS NULL")
        .bind(key.room_id.as_str())
        .fetch_optional(&mut *c)
        .await
        .map_err(failure)?;
    if let Some(open) = open {
        kept.insert(text(&open, "live_key_id")?);
    }
    let mut retired = Vec::new();
    for row in &rows {
        if rows.len() - retired.len() <= max {
            break;
        }
        let id: LiveKeyId = text(row, "live_key_id")?;
        if kept.contains(&id) {
            continue;
        }
        sqlx::query("UPDATE live_key SET revoked_at = $2, revoked_why = 'retired' WHERE live_key_id = $1")
            .bind(id.as_str())
            .bind(ms(key.created_at)?)
            .execute(&mut *c)
            .await
            .map_err(failure)?;
        retired.push(id);
    }
    Ok(retired)
}

pub(super) async fn revoke(
    c: &mut PgConnection,
    id: &LiveKeyId,
    now: UnixMs,
) -> Result<Option<KeyRow>, LiveDbError> {
    sqlx::query(
        "UPDATE live_key SET revoked_at = $2, revoked_why = 'asked' WHERE live_key_id = $1 AND revoked_at IS NULL",
    )
    .bind(id.as_str())
    .bind(ms(now)?)
    .execute(&mut *c)
    .await
    .map_err(failure)?;
    key(c, id).await
}

pub(super) async fn deny(c: &mut PgConnection, record: &KeyRecord, now: UnixMs) -> Result<(), LiveDbError> {
    sqlx::query(
        "INSERT INTO denied_key (live_key_id, room_id, producer_id, denied_at, kept_until) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (live_key_id) \
         DO UPDATE SET kept_until = greatest(denied_key.kept_until, excluded.kept_until)",
    )
    .bind(record.live_key_id.as_str())
    .bind(record.room_id.as_str())
    .bind(record.producer_id.as_str())
    .bind(ms(now)?)
    .bind(ms(record.expires_at)?)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

/// Our own keys as the registry knows them, and the denied ones of others.
pub(super) async fn records(
    c: &mut PgConnection,
    after: Option<&LiveKeyId>,
    max: usize,
    now: UnixMs,
) -> Result<Vec<KeyRecord>, LiveDbError> {
    let leeway = u64::try_from(LEEWAY.as_millis()).unwrap_or(0);
    let rows = sqlx::query(
        "(SELECT live_key_id, room_id, producer_id, takeover, max_duration_ms, max_bitrate, revoked_at, \
         expires_at + $4 AS kept_until FROM live_key WHERE live_key_id > $1 AND expires_at > $2 \
         ORDER BY live_key_id LIMIT $3) \
         UNION ALL \
         (SELECT live_key_id, room_id, producer_id, 'idle', NULL, NULL, denied_at, kept_until \
         FROM denied_key WHERE live_key_id > $1 AND kept_until > $2 ORDER BY live_key_id LIMIT $3) \
         ORDER BY live_key_id LIMIT $3",
    )
    .bind(after.map_or("", LiveKeyId::as_str))
    .bind(ms(now)?)
    .bind(limit(max))
    .bind(number(leeway)?)
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::key_record).collect()
}

pub(super) async fn put_hold(
    c: &mut PgConnection,
    room: &RoomId,
    hold: &Hold,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    sqlx::query(
        "INSERT INTO hold (room_id, held_until, reason, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (room_id) DO UPDATE SET held_until = excluded.held_until, reason = excluded.reason, \
         created_at = excluded.created_at",
    )
    .bind(room.as_str())
    .bind(ms(hold.until)?)
    .bind(hold.reason.as_str())
    .bind(ms(now)?)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

pub(super) async fn lift_hold(c: &mut PgConnection, room: &RoomId) -> Result<bool, LiveDbError> {
    let done = sqlx::query("DELETE FROM hold WHERE room_id = $1")
        .bind(room.as_str())
        .execute(c)
        .await
        .map_err(failure)?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn holds(
    c: &mut PgConnection,
    after: Option<&RoomId>,
    max: usize,
    now: UnixMs,
) -> Result<Vec<HoldRow>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT room_id, held_until, reason FROM hold WHERE room_id > $1 AND held_until > $2 \
         ORDER BY room_id LIMIT $3",
    )
    .bind(after.map_or("", RoomId::as_str))
    .bind(ms(now)?)
    .bind(limit(max))
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::hold).collect()
}
