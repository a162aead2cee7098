//! Lifecycle events become rows: loads what the [rules] must know, and writes what they give. With [`bulk`], the only place
//! that writes sessions and broadcasts.

use onair_cluster::{Event, Shard, UnixMs};
use sqlx::{Acquire, SqliteConnection};

use super::columns::{array, ms, number};
use super::{bulk, failure, sessions};
use crate::live_db::parse::{self, select_session};
use crate::live_db::rules::{self, Changes};
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

/// What the rules must know, by one look-up; a session that is wanted twice comes once.
async fn load(c: &mut SqliteConnection, events: &[Event]) -> Result<Vec<SessionRow>, LiveDbError> {
    let wanted = rules::wanted(events);
    let sessions = wanted.sessions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rooms = wanted.rooms.iter().map(|room| room.as_str()).collect::<Vec<_>>();
    let rows = sqlx::query(select_session!(
        "WHERE session_id IN (SELECT value FROM json_each(?1)) \
         OR (ended_at IS NULL AND room_id IN (SELECT value FROM json_each(?2)))"
    ))
    .bind(array(&sessions)?)
    .bind(array(&rooms)?)
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::session).collect()
}

async fn write(c: &mut SqliteConnection, changes: &Changes, now: UnixMs) -> Result<(), LiveDbError> {
    bulk::statements(changes, now)?.run(c).await
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
        sqlx::query("UPDATE shard_owner SET position = ?2 WHERE shard = ?1")
            .bind(i64::from(event.shard.number()))
            .bind(number(event.n)?)
            .execute(c)
            .await
            .map_err(failure)?;
    }
    Ok(())
}
