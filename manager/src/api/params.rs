//! Query parameters of lists: each known by name, each parsed, nothing ignored.

use std::fmt::Display;
use std::str::FromStr;

use actix_web::web::Query;
use onair_cluster::UnixMs;

use super::problem::Problem;
use crate::config::HttpLimits;

/// The parameters of one request that have not been taken yet.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(query: &str) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|e| Problem::parameter("query", e))?
            .into_inner();
        for (n, (name, _)) in pairs.iter().enumerate() {
            if pairs[..n].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::parameter(name, "given twice"));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of `name`, parsed.
    pub(super) fn take<T>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.take_text(name);
        text.map(|text| text.parse().map_err(|e: T::Err| Problem::parameter(name, e))).transpose()
    }

    /// The value of `name`, by a parser that knows only right and wrong.
    pub(super) fn take_with<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let wrong = || Problem::parameter(name, format!("must be {expected}"));
        self.take_text(name).map(|text| parse(&text).ok_or_else(wrong)).transpose()
    }

    /// A time (RFC 3339).
    pub(super) fn take_time(&mut self, name: &str) -> Result<Option<UnixMs>, Problem> {
        self.take_with(name, "a time such as 2026-01-31T12:00:00Z", |text| {
            let time: jiff::Timestamp = text.parse().ok()?;
            // Before 1970 nothing was broadcast: as good as its first moment.
            Some(UnixMs(u64::try_from(time.as_millisecond()).unwrap_or(0)))
        })
    }

    /// How many items are asked for.
    pub(super) fn take_limit(&mut self, limits: &HttpLimits) -> Result<usize, Problem> {
        let max = limits.page_max;
        let limit = self.take_with("limit", &format!("a number from 1 to {max}"), |text| {
            text.parse().ok().filter(|n| (1..=max).contains(n))
        })?;
        Ok(limit.unwrap_or(limits.page_default))
    }

    /// Whatever was not taken is unknown here: a filter with a typing error must not silently match everything.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::parameter(name, "this list has no such parameter")),
        }
    }

    fn take_text(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }
}

/// The rows of a page, out of one more than asked for, and where the next page begins if there is one.
pub(super) fn page<T>(
    mut rows: Vec<T>,
    limit: usize,
    cursor: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| is_more).map(cursor);
    (rows, next)
}

/// A time in a cursor: milliseconds, up to 15 digits, which is the year 33658.
pub(super) fn digits(text: &str) -> Option<u64> {
    let is_fit = (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_fit { text.parse().ok() } else { None }
}

/// A part of the path, parsed.
pub(super) fn path<T>(name: &str, text: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|e: T::Err| Problem::parameter(name, e))
}
