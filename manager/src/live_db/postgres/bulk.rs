//! Rows of a whole batch in one statement each: columns travel as arrays and are put side by side by `unnest`.

use std::collections::BTreeMap;

use onair_cluster::{Facts, LiveKeyId, ProducerId, RoomId, Shard, UnixMs};
use sqlx::PgConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::columns::{ms, number, shard_number};
use super::failure;
use crate::live_db::counts::{self, Count};
use crate::live_db::messages::broadcast_id;
use crate::live_db::rules::{BroadcastWrite, Changes, Outgoing, SessionWrite};
use crate::live_db::{LiveDbError, SessionRow, Totals};

type PgQuery = Query<'static, sqlx::Postgres, PgArguments>;

async fn execute(c: &mut PgConnection, query: PgQuery) -> Result<(), LiveDbError> {
    query.execute(c).await.map_err(failure)?;
    Ok(())
}

/// A column of texts.
fn texts<'a, T: 'a>(rows: impl IntoIterator<Item = &'a T>, text: impl Fn(&'a T) -> String) -> Vec<String> {
    rows.into_iter().map(text).collect()
}

/// A column of numbers; one that does not fit refuses the batch.
fn numbers<'a, T: 'a>(
    rows: impl IntoIterator<Item = &'a T>,
    value: impl Fn(&'a T) -> u64,
) -> Result<Vec<i64>, LiveDbError> {
    rows.into_iter().map(|row| number(value(row))).collect()
}

/// A column of times that may be null.
fn times<'a, T: 'a>(
    rows: impl IntoIterator<Item = &'a T>,
    value: impl Fn(&'a T) -> Option<UnixMs>,
) -> Result<Vec<Option<i64>>, LiveDbError> {
    rows.into_iter().map(|row| value(row).map(ms).transpose()).collect()
}

/// The three columns of an end.
struct Ends {
    ended_at: Vec<Option<i64>>,
    detected_at: Vec<Option<i64>>,
    reasons: Vec<Option<String>>,
}

fn ends(rows: &[&SessionRow]) -> Result<Ends, LiveDbError> {
    let rows = || rows.iter().copied();
    Ok(Ends {
        ended_at: times(rows(), |row| row.end.map(|end| end.ended_at))?,
        detected_at: times(rows(), |row| row.end.map(|end| end.detected_at))?,
        reasons: rows().map(|row| row.end.map(|end| end.reason.as_str().to_owned())).collect(),
    })
}

/// Facts are texts and numbers: writing them cannot fail.
fn facts_json(facts: &Facts) -> String {
    serde_json::to_string(facts).unwrap_or_else(|_| "{}".to_owned())
}

/// Last media only ever rises: a note of it may have come since the row was read.
pub(super) async fn update_sessions(
    c: &mut PgConnection,
    writes: &[SessionWrite],
) -> Result<(), LiveDbError> {
    if writes.is_empty() {
        return Ok(());
    }
    let rows: Vec<&SessionRow> = writes.iter().map(|write| &write.row).collect();
    let of = || rows.iter().copied();
    let ends = ends(&rows)?;
    let query = sqlx::query(
        "UPDATE session SET live_at = new.live_at, \
         last_media_at = greatest(session.last_media_at, new.last_media_at), facts = new.facts, \
         ended_at = new.ended_at, detected_at = new.detected_at, end_reason = new.end_reason \
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[]) \
         AS new (session_id, live_at, last_media_at, facts, ended_at, detected_at, end_reason) \
         WHERE session.session_id = new.session_id",
    )
    .bind(texts(of(), |row| row.card.session_id.to_string()))
    .bind(times(of(), |row| row.facts.live_at)?)
    .bind(times(of(), |row| row.facts.last_media_at)?)
    .bind(texts(of(), |row| facts_json(&row.facts)))
    .bind(ends.ended_at)
    .bind(ends.detected_at)
    .bind(ends.reasons);
    execute(c, query).await
}

pub(super) async fn insert_sessions(
    c: &mut PgConnection,
    writes: &[SessionWrite],
) -> Result<(), LiveDbError> {
    if writes.is_empty() {
        return Ok(());
    }
    let rows: Vec<&SessionRow> = writes.iter().map(|write| &write.row).collect();
    let of = || rows.iter().copied();
    let ends = ends(&rows)?;
    let query = sqlx::query(
        "INSERT INTO session (session_id, shard, room_id, producer_id, live_key_id, epoch, node_id, client_addr, \
         client_agent, granted_at, live_at, last_media_at, facts, ended_at, detected_at, end_reason) \
         SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], \
         $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::bigint[], \
         $15::bigint[], $16::text[])",
    )
    .bind(texts(of(), |row| row.card.session_id.to_string()))
    .bind(of().map(|row| shard_number(row.card.room_id.shard())).collect::<Vec<_>>())
    .bind(texts(of(), |row| row.card.room_id.to_string()))
    .bind(texts(of(), |row| row.card.producer_id.to_string()))
    .bind(texts(of(), |row| row.card.live_key_id.to_string()))
    .bind(numbers(of(), |row| row.card.epoch.0)?)
    .bind(texts(of(), |row| row.card.node_id.to_string()))
    .bind(texts(of(), |row| row.card.client_addr.to_string()))
    .bind(texts(of(), |row| row.card.client_agent.clone()))
    .bind(numbers(of(), |row| row.card.granted_at.0)?)
    .bind(times(of(), |row| row.facts.live_at)?)
    .bind(times(of(), |row| row.facts.last_media_at)?)
    .bind(texts(of(), |row| facts_json(&row.facts)))
    .bind(ends.ended_at)
    .bind(ends.detected_at)
    .bind(ends.reasons);
    execute(c, query).await
}

pub(super) async fn end_broadcasts(c: &mut PgConnection, writes: &[SessionWrite]) -> Result<(), LiveDbError> {
    let is_ending = |write: &&SessionWrite| write.broadcast == BroadcastWrite::End;
    let rows: Vec<&SessionRow> = writes.iter().filter(is_ending).map(|write| &write.row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let ends = ends(&rows)?;
    let query = sqlx::query(
        "UPDATE broadcast SET ended_at = new.ended_at, detected_at = new.detected_at, end_reason = new.end_reason \
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) \
         AS new (broadcast_id, ended_at, detected_at, end_reason) WHERE broadcast.broadcast_id = new.broadcast_id",
    )
    .bind(texts(rows.iter().copied(), |row| broadcast_id(&row.card)))
    .bind(ends.ended_at)
    .bind(ends.detected_at)
    .bind(ends.reasons);
    execute(c, query).await
}

pub(super) async fn insert_broadcasts<'a>(
    c: &mut PgConnection,
    writes: impl Iterator<Item = &'a SessionWrite>,
) -> Result<(), LiveDbError> {
    let is_new = |write: &&SessionWrite| write.broadcast == BroadcastWrite::Insert;
    let rows: Vec<&SessionRow> = writes.filter(is_new).map(|write| &write.row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let of = || rows.iter().copied();
    let ends = ends(&rows)?;
    let query = sqlx::query(
        "INSERT INTO broadcast (broadcast_id, room_id, producer_id, session_id, epoch, node_id, started_at, ended_at, \
         detected_at, end_reason) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], \
         $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])",
    )
    .bind(texts(of(), |row| broadcast_id(&row.card)))
    .bind(texts(of(), |row| row.card.room_id.to_string()))
    .bind(texts(of(), |row| row.card.producer_id.to_string()))
    .bind(texts(of(), |row| row.card.session_id.to_string()))
    .bind(numbers(of(), |row| row.card.epoch.0)?)
    .bind(texts(of(), |row| row.card.node_id.to_string()))
    .bind(times(of(), |row| row.facts.live_at)?)
    .bind(ends.ended_at)
    .bind(ends.detected_at)
    .bind(ends.reasons);
    execute(c, query).await
}

/// A message with its shard and number.
pub(super) type Numbered<'a> = (Shard, u64, &'a Outgoing);

pub(super) async fn insert_messages(
    c: &mut PgConnection,
    messages: &[Numbered<'_>],
    now: UnixMs,
) -> Result<(), LiveDbError> {
    if messages.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO outbox (shard, seq, event_id, room_id, epoch, type, payload, created_at) \
         SELECT new.*, $8 FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], \
         $7::text[]) AS new",
    )
    .bind(messages.iter().map(|(shard, ..)| shard_number(*shard)).collect::<Vec<_>>())
    .bind(numbers(messages, |(_, seq, _)| *seq)?)
    .bind(texts(messages, |(.., out)| out.message.event_id.clone()))
    .bind(texts(messages, |(.., out)| out.room_id.to_string()))
    .bind(numbers(messages, |(.., out)| out.epoch.0)?)
    .bind(texts(messages, |(.., out)| out.message.kind.to_owned()))
    .bind(texts(messages, |(.., out)| out.message.payload.clone()))
    .bind(ms(now)?);
    execute(c, query).await
}

pub(super) async fn note_keys(
    c: &mut PgConnection,
    used: &BTreeMap<LiveKeyId, UnixMs>,
) -> Result<(), LiveDbError> {
    if used.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "UPDATE live_key SET last_used_at = greatest(last_used_at, used.at) \
         FROM unnest($1::text[], $2::bigint[]) AS used (live_key_id, at) \
         WHERE live_key.live_key_id = used.live_key_id",
    )
    .bind(texts(used.keys(), ToString::to_string))
    .bind(numbers(used.values(), |at| at.0)?);
    execute(c, query).await
}

pub(super) async fn add_totals(
    c: &mut PgConnection,
    totals: &BTreeMap<RoomId, (ProducerId, Totals)>,
) -> Result<(), LiveDbError> {
    if totals.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO room_totals (room_id, producer_id, broadcasts, live_ms, bytes_in) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) \
         ON CONFLICT (room_id) DO UPDATE SET broadcasts = room_totals.broadcasts + excluded.broadcasts, \
         live_ms = room_totals.live_ms + excluded.live_ms, bytes_in = room_totals.bytes_in + excluded.bytes_in",
    )
    .bind(texts(totals.keys(), ToString::to_string))
    .bind(texts(totals.values(), |(producer, _)| producer.to_string()))
    .bind(numbers(totals.values(), |(_, totals)| totals.broadcasts)?)
    .bind(numbers(totals.values(), |(_, totals)| totals.live_ms)?)
    .bind(numbers(totals.values(), |(_, totals)| totals.bytes_in)?);
    execute(c, query).await
}

/// Moves the counters of the shards, whose rows are locked.
pub(super) async fn count(c: &mut PgConnection, changes: &Changes) -> Result<(), LiveDbError> {
    let counts = counts::by_shard(changes);
    if counts.is_empty() {
        return Ok(());
    }
    let position = |count: &Count| count.position.map(number).transpose();
    let query = sqlx::query(
        "UPDATE shard_owner SET position = coalesce(new.position, shard_owner.position), \
         last_seq = last_seq + new.messages, unshipped = unshipped + new.messages, \
         broadcasts = shard_owner.broadcasts + new.broadcasts, live_ms = shard_owner.live_ms + new.live_ms, \
         bytes_in = shard_owner.bytes_in + new.bytes_in \
         FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) \
         AS new (shard, position, messages, broadcasts, live_ms, bytes_in) WHERE shard_owner.shard = new.shard",
    )
    .bind(counts.keys().map(|shard| shard_number(*shard)).collect::<Vec<_>>())
    .bind(counts.values().map(position).collect::<Result<Vec<_>, _>>()?)
    .bind(numbers(counts.values(), |count| count.messages)?)
    .bind(numbers(counts.values(), |count| count.totals.broadcasts)?)
    .bind(numbers(counts.values(), |count| count.totals.live_ms)?)
    .bind(numbers(counts.values(), |count| count.totals.bytes_in)?);
    execute(c, query).await
}
