//! Lifecycle events become rows: loads what the [rules] must know, and writes what they give. With the
//! outbox, the only place that writes sessions and broadcasts.

use onair_cluster::{Event, Facts, Shard, UnixMs};
use sqlx::{Acquire, SqliteConnection};

use super::columns::{ms, number};
use super::{failure, outbox, sessions};
use crate::live_db::messages::broadcast_id;
use crate::live_db::parse::{self, select_session};
use crate::live_db::rules::{self, BroadcastWrite, Changes, SessionWrite};
use crate::live_db::{Applied, LiveDbError, Outcome, SessionRow};

/// All events; the first refusal fails the whole.
pub(super) async fn together(
    c: &mut SqliteConnection,
    events: &[Event],
    now: UnixMs,
) -> Result<Applied, LiveDbError> {
    let on_record = load(c, events).await?;
    let mut changes = rules::changes(on_record, events);
    write(c, &changes, now).await?;
    Ok(Applied { outcomes: std::mem::take(&mut changes.outcomes) })
}

/// Each event in a savepoint of its own; what is refused goes into quarantine.
pub(super) async fn one_by_one(
    c: &mut SqliteConnection,
    events: &[Event],
    now: UnixMs,
) -> Result<Applied, LiveDbError> {
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        let mut savepoint = c.begin().await.map_err(failure)?;
        match together(&mut savepoint, std::slice::from_ref(event), now).await {
            Ok(applied) => {
                savepoint.commit().await.map_err(failure)?;
                outcomes.extend(applied.outcomes);
            }
            Err(LiveDbError::Refused(why)) => {
                savepoint.rollback().await.map_err(failure)?;
                quarantine(c, event, &why, now).await?;
                outcomes.push(Outcome::Quarantined(why));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(Applied { outcomes })
}

/// Ends every open session of `shards` at its last known media. Returns how many there were.
pub(super) async fn close_lost(
    c: &mut SqliteConnection,
    shards: &[Shard],
    now: UnixMs,
) -> Result<u64, LiveDbError> {
    let mut open = sessions::open(c).await?;
    open.retain(|session| shards.contains(&session.card.room_id.shard()));
    let changes = rules::lost(open, now);
    write(c, &changes, now).await?;
    Ok(changes.updates.len() as u64)
}

/// What the rules must know, session by session: look-ups in one file cost microseconds.
async fn load(c: &mut SqliteConnection, events: &[Event]) -> Result<Vec<SessionRow>, LiveDbError> {
    let wanted = rules::wanted(events);
    let mut on_record: Vec<SessionRow> = Vec::new();
    for id in &wanted.sessions {
        let sql = select_session!("WHERE session_id = ?1");
        let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&mut *c).await.map_err(failure)?;
        on_record.extend(row.as_ref().map(parse::session).transpose()?);
    }
    for room in &wanted.rooms {
        let sql = select_session!("WHERE room_id = ?1 AND ended_at IS NULL");
        let row = sqlx::query(sql).bind(room.as_str()).fetch_optional(&mut *c).await.map_err(failure)?;
        on_record.extend(row.as_ref().map(parse::session).transpose()?);
    }
    Ok(on_record)
}

async fn write(c: &mut SqliteConnection, changes: &Changes, now: UnixMs) -> Result<(), LiveDbError> {
    for session in &changes.updates {
        update(c, &session.row).await?;
        broadcast(c, session).await?;
    }
    for session in &changes.inserts {
        insert(c, &session.row).await?;
        broadcast(c, session).await?;
    }
    for outgoing in &changes.messages {
        outbox::tell(c, outgoing, now).await?;
    }
    for (key, used_at) in &changes.keys_used {
        sqlx::query(
            "UPDATE live_key SET last_used_at = max(coalesce(last_used_at, 0), ?2) WHERE live_key_id = ?1",
        )
        .bind(key.as_str())
        .bind(ms(*used_at)?)
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    }
    add_totals(c, changes).await?;
    for (shard, n) in &changes.positions {
        note_position(c, *shard, *n).await?;
    }
    Ok(())
}

async fn note_position(c: &mut SqliteConnection, shard: Shard, n: u64) -> Result<(), LiveDbError> {
    sqlx::query("UPDATE shard_owner SET position = ?2 WHERE shard = ?1")
        .bind(i64::from(shard.number()))
        .bind(number(n)?)
        .execute(c)
        .await
        .map_err(failure)?;
    Ok(())
}

async fn insert(c: &mut SqliteConnection, row: &SessionRow) -> Result<(), LiveDbError> {
    let SessionRow { card, facts, end } = row;
    sqlx::query(
        "INSERT INTO session (session_id, room_id, producer_id, live_key_id, epoch, node_id, client_addr, \
         client_agent, granted_at, live_at, last_media_at, facts, ended_at, detected_at, end_reason) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )
    .bind(card.session_id.to_string())
    .bind(card.room_id.as_str())
    .bind(card.producer_id.as_str())
    .bind(card.live_key_id.as_str())
    .bind(number(card.epoch.0)?)
    .bind(card.node_id.as_str())
    .bind(card.client_addr.to_string())
    .bind(card.client_agent.as_str())
    .bind(ms(card.granted_at)?)
    .bind(facts.live_at.map(ms).transpose()?)
    .bind(facts.last_media_at.map(ms).transpose()?)
    .bind(facts_json(facts))
    .bind(end.map(|end| ms(end.ended_at)).transpose()?)
    .bind(end.map(|end| ms(end.detected_at)).transpose()?)
    .bind(end.map(|end| end.reason.as_str()))
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

async fn update(c: &mut SqliteConnection, row: &SessionRow) -> Result<(), LiveDbError> {
    let SessionRow { card, facts, end } = row;
    sqlx::query(
        "UPDATE session SET live_at = ?2, last_media_at = ?3, facts = ?4, ended_at = ?5, detected_at = ?6, \
         end_reason = ?7 WHERE session_id = ?1",
    )
    .bind(card.session_id.to_string())
    .bind(facts.live_at.map(ms).transpose()?)
    .bind(facts.last_media_at.map(ms).transpose()?)
    .bind(facts_json(facts))
    .bind(end.map(|end| ms(end.ended_at)).transpose()?)
    .bind(end.map(|end| ms(end.detected_at)).transpose()?)
    .bind(end.map(|end| end.reason.as_str()))
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

/// Records the session's broadcast, or its end.
async fn broadcast(c: &mut SqliteConnection, session: &SessionWrite) -> Result<(), LiveDbError> {
    let SessionRow { card, facts, end } = &session.row;
    let (ended_at, detected_at) = (end.map(|end| ms(end.ended_at)), end.map(|end| ms(end.detected_at)));
    let query = match session.broadcast {
        BroadcastWrite::Nothing => return Ok(()),
        BroadcastWrite::End => sqlx::query(
            "UPDATE broadcast SET ended_at = ?2, detected_at = ?3, end_reason = ?4 WHERE broadcast_id = ?1",
        )
        .bind(broadcast_id(card)),
        BroadcastWrite::Insert => sqlx::query(
            "INSERT INTO broadcast (broadcast_id, ended_at, detected_at, end_reason, room_id, producer_id, \
             session_id, epoch, node_id, started_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .bind(broadcast_id(card)),
    };
    let query = query
        .bind(ended_at.transpose()?)
        .bind(detected_at.transpose()?)
        .bind(end.map(|end| end.reason.as_str()));
    let query = if session.broadcast == BroadcastWrite::Insert {
        query
            .bind(card.room_id.as_str())
            .bind(card.producer_id.as_str())
            .bind(card.session_id.to_string())
            .bind(number(card.epoch.0)?)
            .bind(card.node_id.as_str())
            .bind(facts.live_at.map(ms).transpose()?)
    } else {
        query
    };
    query.execute(c).await.map_err(failure)?;
    Ok(())
}

async fn add_totals(c: &mut SqliteConnection, changes: &Changes) -> Result<(), LiveDbError> {
    for (room, (producer, totals)) in &changes.totals {
        sqlx::query(
            "INSERT INTO room_totals (room_id, producer_id, broadcasts, live_ms, bytes_in) \
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (room_id) DO UPDATE SET \
             broadcasts = broadcasts + excluded.broadcasts, live_ms = live_ms + excluded.live_ms, \
             bytes_in = bytes_in + excluded.bytes_in",
        )
        .bind(room.as_str())
        .bind(producer.as_str())
        .bind(number(totals.broadcasts)?)
        .bind(number(totals.live_ms)?)
        .bind(number(totals.bytes_in)?)
        .execute(&mut *c)
        .await
        .map_err(failure)?;
        sqlx::query(
            "UPDATE shard_owner SET broadcasts = broadcasts + ?2, live_ms = live_ms + ?3, \
             bytes_in = bytes_in + ?4 WHERE shard = ?1",
        )
        .bind(i64::from(room.shard().number()))
        .bind(number(totals.broadcasts)?)
        .bind(number(totals.live_ms)?)
        .bind(number(totals.bytes_in)?)
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    }
    Ok(())
}

async fn quarantine(
    c: &mut SqliteConnection,
    event: &Event,
    why: &str,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    sqlx::query(
        "INSERT INTO quarantine (event_id, shard, room_id, event, error, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(event.id())
    .bind(i64::from(event.shard.number()))
    .bind(event.session.room_id.as_str())
    .bind(serde_json::to_string(event).unwrap_or_default())
    .bind(why)
    .bind(ms(now)?)
    .execute(&mut *c)
    .await
    .map_err(failure)?;
    if event.n > 0 {
        // Put aside is dealt with.
        note_position(c, event.shard, event.n).await?;
    }
    Ok(())
}

/// Facts are texts and numbers: writing them cannot fail.
fn facts_json(facts: &Facts) -> String {
    serde_json::to_string(facts).unwrap_or_else(|_| "{}".to_owned())
}
