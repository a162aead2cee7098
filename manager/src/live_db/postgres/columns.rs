//! Between PostgreSQL's columns and our types: times and epochs are integers, ids are texts, facts are JSON.

use std::fmt::Display;
use std::str::FromStr;

use onair_cluster::events::EndReason;
use onair_cluster::{Epoch, Facts, SessionCard, Shard, UnixMs};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::failure;
use crate::live_db::{LiveDbError, SessionEnd, SessionRow};

/// A query for the columns that [`session`] reads, and what follows them.
macro_rules! select_session {
    ($rest:literal) => {
        concat!(
            "SELECT session_id, room_id, producer_id, live_key_id, epoch, node_id, client_addr, client_agent, ",
            "granted_at, live_at, last_media_at, facts, ended_at, detected_at, end_reason FROM session ",
            $rest
        )
    };
}
pub(super) use select_session;

/// A time as a signed integer. Refused past the year 292 million.
pub(super) fn ms(time: UnixMs) -> Result<i64, LiveDbError> {
    number(time.0)
}

/// Any count as a signed integer.
pub(super) fn number(n: u64) -> Result<i64, LiveDbError> {
    i64::try_from(n).map_err(|_| LiveDbError::Refused(format!("{n} is too large for a column")))
}

/// A limit as a signed integer.
pub(super) fn limit(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unreadable(column: &str, e: &dyn Display) -> LiveDbError {
    LiveDbError::Unreadable(format!("column {column}: {e}"))
}

/// A text column, parsed.
pub(super) fn text<T>(row: &PgRow, column: &str) -> Result<T, LiveDbError>
where
    T: FromStr,
    T::Err: Display,
{
    let text: &str = row.try_get(column).map_err(failure)?;
    text.parse().map_err(|e: T::Err| unreadable(column, &e))
}

/// An integer column that is never negative.
pub(super) fn count(row: &PgRow, column: &str) -> Result<u64, LiveDbError> {
    let n: i64 = row.try_get(column).map_err(failure)?;
    u64::try_from(n).map_err(|e| unreadable(column, &e))
}

/// The same, where it may be null.
pub(super) fn count_opt(row: &PgRow, column: &str) -> Result<Option<u64>, LiveDbError> {
    let n: Option<i64> = row.try_get(column).map_err(failure)?;
    n.map(u64::try_from).transpose().map_err(|e| unreadable(column, &e))
}

/// A shard's number.
pub(super) fn shard(row: &PgRow, column: &str) -> Result<Shard, LiveDbError> {
    let n: i32 = row.try_get(column).map_err(failure)?;
    let shard = u8::try_from(n).ok().and_then(Shard::new);
    shard.ok_or_else(|| unreadable(column, &format_args!("{n} is no shard")))
}

/// A shard as a column has it.
pub(super) fn shard_number(shard: Shard) -> i32 {
    i32::from(shard.number())
}

/// A time.
pub(super) fn time(row: &PgRow, column: &str) -> Result<UnixMs, LiveDbError> {
    count(row, column).map(UnixMs)
}

/// A time that may be null.
pub(super) fn time_opt(row: &PgRow, column: &str) -> Result<Option<UnixMs>, LiveDbError> {
    Ok(count_opt(row, column)?.map(UnixMs))
}

/// `ended_at`, `detected_at` and `end_reason`: all or none.
pub(super) fn end(row: &PgRow) -> Result<Option<SessionEnd>, LiveDbError> {
    let Some(ended_at) = time_opt(row, "ended_at")? else { return Ok(None) };
    let reason: &str = row.try_get("end_reason").map_err(failure)?;
    let reason = EndReason::parse(reason).ok_or_else(|| unreadable("end_reason", &reason))?;
    Ok(Some(SessionEnd { ended_at, detected_at: time(row, "detected_at")?, reason }))
}

/// A row of [`select_session`].
pub(super) fn session(row: &PgRow) -> Result<SessionRow, LiveDbError> {
    let facts: &str = row.try_get("facts").map_err(failure)?;
    let facts: Facts = serde_json::from_str(facts).map_err(|e| unreadable("facts", &e))?;
    Ok(SessionRow {
        card: SessionCard {
            session_id: text(row, "session_id")?,
            room_id: text(row, "room_id")?,
            producer_id: text(row, "producer_id")?,
            live_key_id: text(row, "live_key_id")?,
            epoch: Epoch(count(row, "epoch")?),
            node_id: text(row, "node_id")?,
            client_addr: text(row, "client_addr")?,
            client_agent: row.try_get("client_agent").map_err(failure)?,
            granted_at: time(row, "granted_at")?,
        },
        // The columns are newer than what the last event told.
        facts: Facts {
            live_at: time_opt(row, "live_at")?,
            last_media_at: time_opt(row, "last_media_at")?,
            ..facts
        },
        end: end(row)?,
    })
}
