//! Between the columns of a store and our types: times and epochs are integers, ids are texts, what has a name is that name.
//! The same for every store; what a store has to say is in [`Columns`].

use std::fmt::Display;
use std::str::FromStr;

use onair_cluster::registry::Takeover;
use onair_cluster::{Epoch, Shard, UnixMs};

use super::LiveDbError;

/// A row of a store: its columns by name. An error is the store's own, as its callers know it.
pub(super) trait Columns {
    /// A text.
    fn text_at(&self, column: &str) -> Result<&str, LiveDbError>;
    /// A text that may be null.
    fn text_opt_at(&self, column: &str) -> Result<Option<&str>, LiveDbError>;
    /// An integer.
    fn integer_at(&self, column: &str) -> Result<i64, LiveDbError>;
    /// An integer that may be null.
    fn integer_opt_at(&self, column: &str) -> Result<Option<i64>, LiveDbError>;
    /// An integer that a store may keep in fewer bytes.
    fn small_at(&self, column: &str) -> Result<i64, LiveDbError>;
    /// Bytes.
    fn bytes_at(&self, column: &str) -> Result<&[u8], LiveDbError>;
}

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

/// A rule of takeover by its name.
pub(super) fn takeover_name(takeover: Takeover) -> &'static str {
    match takeover {
        Takeover::Idle => "idle",
        Takeover::Never => "never",
        Takeover::Always => "always",
    }
}

fn takeover_named(name: &str) -> Option<Takeover> {
    [Takeover::Idle, Takeover::Never, Takeover::Always].into_iter().find(|rule| takeover_name(*rule) == name)
}

/// What is wrong with a column.
pub(super) fn unreadable(column: &str, e: &dyn Display) -> LiveDbError {
    LiveDbError::Unreadable(format!("column {column}: {e}"))
}

/// A text column, parsed.
pub(super) fn text<T>(row: &impl Columns, column: &str) -> Result<T, LiveDbError>
where
    T: FromStr,
    T::Err: Display,
{
    row.text_at(column)?.parse().map_err(|e: T::Err| unreadable(column, &e))
}

/// The same, where it may be null.
pub(super) fn text_opt<T>(row: &impl Columns, column: &str) -> Result<Option<T>, LiveDbError>
where
    T: FromStr,
    T::Err: Display,
{
    row.text_opt_at(column)?.map(str::parse).transpose().map_err(|e: T::Err| unreadable(column, &e))
}

/// What has the name that stands in a text column.
pub(super) fn named<T>(
    row: &impl Columns,
    column: &str,
    of_name: impl FnOnce(&str) -> Option<T>,
) -> Result<T, LiveDbError> {
    let name = row.text_at(column)?;
    of_name(name).ok_or_else(|| unreadable(column, &name))
}

/// A key's rule of takeover.
pub(super) fn takeover(row: &impl Columns, column: &str) -> Result<Takeover, LiveDbError> {
    named(row, column, takeover_named)
}

/// An integer column that is never negative.
pub(super) fn count(row: &impl Columns, column: &str) -> Result<u64, LiveDbError> {
    let n = row.integer_at(column)?;
    u64::try_from(n).map_err(|e| unreadable(column, &e))
}

/// The same, where it may be null.
pub(super) fn count_opt(row: &impl Columns, column: &str) -> Result<Option<u64>, LiveDbError> {
    let n = row.integer_opt_at(column)?;
    n.map(u64::try_from).transpose().map_err(|e| unreadable(column, &e))
}

/// An epoch.
pub(super) fn epoch(row: &impl Columns, column: &str) -> Result<Epoch, LiveDbError> {
    count(row, column).map(Epoch)
}

/// A shard's number.
pub(super) fn shard(row: &impl Columns, column: &str) -> Result<Shard, LiveDbError> {
    let n = row.small_at(column)?;
    let shard = u8::try_from(n).ok().and_then(Shard::new);
    shard.ok_or_else(|| unreadable(column, &format_args!("{n} is no shard")))
}

/// A time.
pub(super) fn time(row: &impl Columns, column: &str) -> Result<UnixMs, LiveDbError> {
    count(row, column).map(UnixMs)
}

/// A time that may be null.
pub(super) fn time_opt(row: &impl Columns, column: &str) -> Result<Option<UnixMs>, LiveDbError> {
    Ok(count_opt(row, column)?.map(UnixMs))
}
