//! Rows of a whole batch at once: one statement for each kind of row, whose rows travel as one JSON array, and all statements in
//! one question to the connection.
//!
//! Each question is answered by a thread of the connection's own. To wake it and to be woken by it costs more than what most
//! statements do, so what counts is how often that happens, not how many rows there are.

use std::collections::BTreeMap;

use onair_cluster::{Facts, Shard, UnixMs};
use serde::Serialize;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::columns::{array, ms, number};
use super::failure;
use crate::live_db::messages::broadcast_id;
use crate::live_db::rules::{BroadcastWrite, Changes, SessionWrite};
use crate::live_db::{LiveDbError, SessionRow, counts};

/// Statements that run one after the other, up to the first that fails.
#[derive(Default)]
pub(super) struct Statements {
    sql: String,
    /// For each statement its rows, as JSON.
    rows: Vec<String>,
}

impl Statements {
    /// Adds a statement that reads `rows` from its one parameter, as an array of arrays of columns. Without rows there is
    /// nothing to do.
    fn add(&mut self, statement: &'static str, rows: &[impl Serialize]) -> Result<(), LiveDbError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.sql.push_str(statement);
        self.sql.push(';');
        self.rows.push(array(rows)?);
        Ok(())
    }

    pub(super) async fn run(self, c: &mut SqliteConnection) -> Result<(), LiveDbError> {
        if self.sql.is_empty() {
            return Ok(());
        }
        // Put together from the texts in this file. There are few such texts, and the connection keeps them prepared.
        let mut query = sqlx::query(AssertSqlSafe(self.sql));
        for rows in self.rows {
            query = query.bind(rows);
        }
        query.execute(c).await.map_err(failure)?;
        Ok(())
    }
}

/// All that `changes` asks for.
pub(super) fn statements(changes: &Changes, now: UnixMs) -> Result<Statements, LiveDbError> {
    let mut statements = Statements::default();
    put_sessions(&mut statements, changes)?;
    end_broadcasts(&mut statements, &changes.updates)?;
    insert_broadcasts(&mut statements, changes)?;
    insert_messages(&mut statements, changes, now)?;
    note_keys(&mut statements, changes)?;
    add_totals(&mut statements, changes)?;
    count(&mut statements, changes)?;
    Ok(statements)
}

/// The columns of an end: all or none.
type End = (Option<i64>, Option<i64>, Option<&'static str>);

fn end(row: &SessionRow) -> Result<End, LiveDbError> {
    let Some(end) = row.end else { return Ok((None, None, None)) };
    Ok((Some(ms(end.ended_at)?), Some(ms(end.detected_at)?), Some(end.reason.as_str())))
}

/// Facts are texts and numbers: writing them cannot fail.
fn facts_json(facts: &Facts) -> String {
    serde_json::to_string(facts).unwrap_or_else(|_| "{}".to_owned())
}

/// Those on record come first: a session may open where one is closed. They are known by their id, and so are updated; any
/// other conflict is refused.
fn put_sessions(statements: &mut Statements, changes: &Changes) -> Result<(), LiveDbError> {
    let rows = changes.updates.iter().chain(&changes.inserts).map(|write| {
        let SessionRow { card, facts, .. } = &write.row;
        let (ended_at, detected_at, reason) = end(&write.row)?;
        Ok((
            card.session_id.to_string(),
            card.room_id.as_str(),
            card.producer_id.as_str(),
            card.live_key_id.as_str(),
            number(card.epoch.0)?,
            card.node_id.as_str(),
            card.client_addr.to_string(),
            card.client_agent.as_str(),
            ms(card.granted_at)?,
            facts.live_at.map(ms).transpose()?,
            facts.last_media_at.map(ms).transpose()?,
            facts_json(facts),
            ended_at,
            detected_at,
            reason,
        ))
    });
    statements.add(
        "INSERT INTO session (session_id, room_id, producer_id, live_key_id, epoch, node_id, client_addr, \
         client_agent, granted_at, live_at, last_media_at, facts, ended_at, detected_at, end_reason) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
         value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, \
         value ->> 14 FROM json_each(?) WHERE true \
         ON CONFLICT (session_id) DO UPDATE SET live_at = excluded.live_at, \
         last_media_at = excluded.last_media_at, facts = excluded.facts, ended_at = excluded.ended_at, \
         detected_at = excluded.detected_at, end_reason = excluded.end_reason",
        &rows.collect::<Result<Vec<_>, LiveDbError>>()?,
    )
}

fn end_broadcasts(statements: &mut Statements, writes: &[SessionWrite]) -> Result<(), LiveDbError> {
    let ending = writes.iter().filter(|write| write.broadcast == BroadcastWrite::End);
    let rows = ending.map(|write| {
        let (ended_at, detected_at, reason) = end(&write.row)?;
        Ok((broadcast_id(&write.row.card), ended_at, detected_at, reason))
    });
    statements.add(
        "UPDATE broadcast SET ended_at = new.value ->> 1, detected_at = new.value ->> 2, \
         end_reason = new.value ->> 3 FROM json_each(?) AS new WHERE broadcast_id = new.value ->> 0",
        &rows.collect::<Result<Vec<_>, LiveDbError>>()?,
    )
}

fn insert_broadcasts(statements: &mut Statements, changes: &Changes) -> Result<(), LiveDbError> {
    let writes = changes.updates.iter().chain(&changes.inserts);
    let new = writes.filter(|write| write.broadcast == BroadcastWrite::Insert);
    let rows = new.map(|write| {
        let SessionRow { card, facts, .. } = &write.row;
        let (ended_at, detected_at, reason) = end(&write.row)?;
        Ok((
            broadcast_id(card),
            card.room_id.as_str(),
            card.producer_id.as_str(),
            card.session_id.to_string(),
            number(card.epoch.0)?,
            card.node_id.as_str(),
            facts.live_at.map(ms).transpose()?,
            ended_at,
            detected_at,
            reason,
        ))
    });
    statements.add(
        "INSERT INTO broadcast (broadcast_id, room_id, producer_id, session_id, epoch, node_id, started_at, \
         ended_at, detected_at, end_reason) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
         value ->> 7, value ->> 8, value ->> 9 FROM json_each(?)",
        &rows.collect::<Result<Vec<_>, LiveDbError>>()?,
    )
}

/// Under the next numbers of their shards: there is one writer, and [`count`] comes after.
fn insert_messages(statements: &mut Statements, changes: &Changes, now: UnixMs) -> Result<(), LiveDbError> {
    let mut told: BTreeMap<Shard, u64> = BTreeMap::new();
    let mut rows = Vec::with_capacity(changes.messages.len());
    for outgoing in &changes.messages {
        let shard = outgoing.room_id.shard();
        let nth = told.entry(shard).or_default();
        *nth += 1;
        let message = &outgoing.message;
        rows.push((
            shard.number(),
            *nth,
            message.event_id.as_str(),
            outgoing.room_id.as_str(),
            number(outgoing.epoch.0)?,
            message.kind,
            message.payload.as_str(),
            ms(now)?,
        ));
    }
    statements.add(
        "INSERT INTO outbox (shard, seq, event_id, room_id, epoch, type, payload, created_at) \
         SELECT value ->> 0, (SELECT last_seq FROM shard_owner WHERE shard = value ->> 0) + (value ->> 1), \
         value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 FROM json_each(?)",
        &rows,
    )
}

fn note_keys(statements: &mut Statements, changes: &Changes) -> Result<(), LiveDbError> {
    let rows = changes.keys_used.iter().map(|(key, used_at)| Ok((key.as_str(), ms(*used_at)?)));
    statements.add(
        "UPDATE live_key SET last_used_at = max(coalesce(last_used_at, 0), used.value ->> 1) \
         FROM json_each(?) AS used WHERE live_key_id = used.value ->> 0",
        &rows.collect::<Result<Vec<_>, LiveDbError>>()?,
    )
}

fn add_totals(statements: &mut Statements, changes: &Changes) -> Result<(), LiveDbError> {
    let rows = changes.totals.iter().map(|(room, (producer, totals))| {
        Ok((
            room.as_str(),
            producer.as_str(),
            number(totals.broadcasts)?,
            number(totals.live_ms)?,
            number(totals.bytes_in)?,
        ))
    });
    statements.add(
        "INSERT INTO room_totals (room_id, producer_id, broadcasts, live_ms, bytes_in) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?) WHERE true \
         ON CONFLICT (room_id) DO UPDATE SET broadcasts = broadcasts + excluded.broadcasts, \
         live_ms = live_ms + excluded.live_ms, bytes_in = bytes_in + excluded.bytes_in",
        &rows.collect::<Result<Vec<_>, LiveDbError>>()?,
    )
}

/// Moves the counters of the shards.
fn count(statements: &mut Statements, changes: &Changes) -> Result<(), LiveDbError> {
    let counts = counts::by_shard(changes);
    let rows = counts.iter().map(|(shard, count)| {
        Ok((
            shard.number(),
            count.position.map(number).transpose()?,
            number(count.messages)?,
            number(count.totals.broadcasts)?,
            number(count.totals.live_ms)?,
            number(count.totals.bytes_in)?,
        ))
    });
    statements.add(
        "UPDATE shard_owner SET position = coalesce(new.value ->> 1, position), \
         last_seq = last_seq + (new.value ->> 2), unshipped = unshipped + (new.value ->> 2), \
         broadcasts = broadcasts + (new.value ->> 3), live_ms = live_ms + (new.value ->> 4), \
         bytes_in = bytes_in + (new.value ->> 5) FROM json_each(?) AS new WHERE shard = new.value ->> 0",
        &rows.collect::<Result<Vec<_>, LiveDbError>>()?,
    )
}
