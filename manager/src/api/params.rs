//! Query parameters of lists: each known by name, each parsed, nothing ignored.

use std::fmt::Display;
use std::str::FromStr;

use actix_web::web::Query;
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;
use crate::config::HttpLimits;

/// What every list takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the document is made from it; requests are read by Params, which names what is wrong"
)]
pub(super) struct ListParams {
    /// Only of this room.
    room: Option<String>,
    /// Only of this producer.
    producer: Option<String>,
    /// Only on this node.
    node: Option<String>,
    /// Only in this state: `granted` or `live` for sessions, `live` or `ended` for broadcasts.
    state: Option<String>,
    /// Items of a page; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the page before.
    after: Option<String>,
}

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

/// A part of the path, parsed.
pub(super) fn path<T>(name: &str, text: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|e: T::Err| Problem::parameter(name, e))
}
