//! Lifecycle events become rows: fences the shards, loads what the [rules] must know, and writes what
//! they give, in a handful of statements for the whole batch.

use std::collections::BTreeMap;

use onair_cluster::{Event, Shard, UnixMs};
use sqlx::{Acquire, PgConnection};

use super::columns::{ms, number, shard_number};
use super::owners::{Fenced, fence};
use super::{bulk, failure, sessions};
use crate::live_db::parse::{self, select_session};
use crate::live_db::rules::{self, Changes};
use crate::live_db::{Applied, LiveDbError, Outcome, SessionRow, ShardTerm};

/// All events; the first refusal fails the whole.
pub(super) async fn together(
    c: &mut PgConnection,
    terms: &[ShardTerm],
    events: &[Event],
    now: UnixMs,
) -> Result<Applied, LiveDbError> {
    let mut numbers = Numbers::new(fence(c, terms, shards_of(events)).await?);
    let mut changes = rules::changes(load(c, events).await?, events);
    write(c, &changes, &mut numbers, now).await?;
    Ok(Applied { outcomes: std::mem::take(&mut changes.outcomes) })
}

/// Each event in a savepoint of its own; what is refused goes into quarantine.
pub(super) async fn one_by_one(
    c: &mut PgConnection,
    terms: &[ShardTerm],
    events: &[Event],
    now: UnixMs,
) -> Result<Applied, LiveDbError> {
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        let mut savepoint = c.begin().await.map_err(failure)?;
        match together(&mut savepoint, terms, std::slice::from_ref(event), now).await {
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

/// Ends every open session of the shards at its last known media. Returns how many there were.
pub(super) async fn close_lost(
    c: &mut PgConnection,
    terms: &[ShardTerm],
    now: UnixMs,
) -> Result<u64, LiveDbError> {
    let shards: Vec<Shard> = terms.iter().map(|owned| owned.shard).collect();
    let mut numbers = Numbers::new(fence(c, terms, shards.iter().copied()).await?);
    let changes = rules::lost(sessions::open(c, &shards).await?, now);
    write(c, &changes, &mut numbers, now).await?;
    Ok(changes.updates.len() as u64)
}

fn shards_of(events: &[Event]) -> impl Iterator<Item = Shard> + '_ {
    events.iter().map(|event| event.shard)
}

/// What the rules must know. Two look-ups by index; a session that is in both comes once.
async fn load(c: &mut PgConnection, events: &[Event]) -> Result<Vec<SessionRow>, LiveDbError> {
    let wanted = rules::wanted(events);
    let sessions: Vec<String> = wanted.sessions.iter().map(ToString::to_string).collect();
    let rooms: Vec<String> = wanted.rooms.iter().map(|room| room.as_str().to_owned()).collect();
    let rows = sqlx::query(select_session!(
        "WHERE session_id = ANY($1) OR (ended_at IS NULL AND room_id = ANY($2))"
    ))
    .bind(sessions)
    .bind(rooms)
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(parse::session).collect()
}

/// The newest message number of each shard.
struct Numbers(BTreeMap<Shard, u64>);

impl Numbers {
    fn new(fenced: Vec<Fenced>) -> Self {
        Self(fenced.into_iter().map(|row| (row.shard, row.last_seq)).collect())
    }

    /// The next one. A message whose shard was not fenced would be one of another shard's room.
    fn next(&mut self, shard: Shard) -> Result<u64, LiveDbError> {
        let last = self.0.get_mut(&shard);
        let last =
            last.ok_or_else(|| LiveDbError::Refused(format!("a room of shard {shard} is elsewhere")))?;
        *last += 1;
        Ok(*last)
    }
}

async fn write(
    c: &mut PgConnection,
    changes: &Changes,
    numbers: &mut Numbers,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    bulk::update_sessions(c, &changes.updates).await?;
    bulk::end_broadcasts(c, &changes.updates).await?;
    bulk::insert_sessions(c, &changes.inserts).await?;
    bulk::insert_broadcasts(c, changes.updates.iter().chain(&changes.inserts)).await?;
    let mut messages = Vec::with_capacity(changes.messages.len());
    for outgoing in &changes.messages {
        let shard = outgoing.room_id.shard();
        messages.push((shard, numbers.next(shard)?, outgoing));
    }
    bulk::insert_messages(c, &messages, now).await?;
    bulk::note_keys(c, &changes.keys_used).await?;
    bulk::add_totals(c, &changes.totals).await?;
    bulk::count(c, changes).await
}

async fn quarantine(c: &mut PgConnection, event: &Event, why: &str, now: UnixMs) -> Result<(), LiveDbError> {
    sqlx::query(
        "INSERT INTO quarantine (event_id, shard, room_id, event, error, at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(event.id())
    .bind(shard_number(event.shard))
    .bind(event.session.room_id.as_str())
    .bind(serde_json::to_string(event).unwrap_or_default())
    .bind(why)
    .bind(ms(now)?)
    .execute(&mut *c)
    .await
    .map_err(failure)?;
    if event.n > 0 {
        // Put aside is dealt with.
        sqlx::query("UPDATE shard_owner SET position = $2 WHERE shard = $1")
            .bind(shard_number(event.shard))
            .bind(number(event.n)?)
            .execute(c)
            .await
            .map_err(failure)?;
    }
    Ok(())
}
