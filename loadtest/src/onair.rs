//! Onair's API, as far as a load test needs it: addresses to publish to, nodes to go to, and what the record says afterwards.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use ureq::Agent;

/// Requests at a time.
const AT_ONCE: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(20);

/// A caller of the API.
#[derive(Clone)]
pub struct Onair {
    agent: Agent,
    base: String,
    bearer: String,
}

/// Where a producer publishes, and where the room is played.
#[derive(Clone)]
pub struct Place {
    /// The room's id.
    pub room: String,
    /// The address with its live key.
    pub publish: String,
    /// The address for players.
    pub play: String,
}

/// A broadcast on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The session's id.
    pub session: String,
    /// Its order in the room.
    pub epoch: u64,
    /// RFC 3339 in UTC with milliseconds, so that texts compare like times.
    pub started_at: String,
    /// Likewise; `None` while on air.
    pub ended_at: Option<String>,
}

impl Onair {
    /// A caller of the API at `base`, `http://host:port`, with a bearer token.
    pub fn new(base: &str, token: &str) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Self {
            agent: config.into(),
            base: base.trim_end_matches('/').to_owned(),
            bearer: format!("Bearer {}", token.trim()),
        }
    }

    /// A new broadcast address for each producer, in their order; with `tokens`, players get a token with theirs.
    ///
    /// # Errors
    /// When the API does not answer, or refuses.
    pub fn places(&self, producers: &[String], tokens: bool) -> Result<Vec<Place>> {
        each(producers, |producer| {
            let made = self.post(&format!("/v1/producers/{producer}/broadcast-url"), &json!({}))?;
            let (room, publish) = (text(&made, "room_id")?, text(&made, "url")?);
            let play = if tokens {
                text(&self.post(&format!("/v1/rooms/{room}/play-url"), &json!({}))?, "url")?
            } else {
                let server = text(&made, "server")?;
                format!("{server}/live")
            };
            Ok(Place { room, publish, play })
        })
    }

    /// `host:port` of each node that takes publishers and players.
    ///
    /// # Errors
    /// Likewise.
    pub fn nodes(&self) -> Result<Vec<String>> {
        let nodes = self.get("/v1/nodes")?;
        let nodes = nodes["items"].as_array().context("no list of nodes")?;
        let ready = nodes.iter().filter(|node| node["state"] == "ready");
        Ok(ready.filter_map(|node| node["rtmp"].as_str().map(str::to_owned)).collect())
    }

    /// What is on record of each room, in the order of the rooms.
    ///
    /// # Errors
    /// Likewise.
    pub fn records(&self, rooms: &[String]) -> Result<Vec<Vec<Recorded>>> {
        each(rooms, |room| {
            let (mut records, mut after) = (Vec::new(), String::new());
            loop {
                let page = self.get(&format!("/v1/broadcasts?room={room}&limit=100{after}"))?;
                for item in page["items"].as_array().context("no list of broadcasts")? {
                    records.push(Recorded {
                        session: text(item, "session_id")?,
                        epoch: item["epoch"].as_u64().unwrap_or(0),
                        started_at: text(item, "started_at")?,
                        ended_at: item["ended_at"].as_str().map(str::to_owned),
                    });
                }
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => return Ok(records),
                }
            }
        })
    }

    /// How many of these rooms have a publisher now.
    ///
    /// # Errors
    /// Likewise.
    pub fn held(&self, rooms: &[String]) -> Result<usize> {
        let counts = each(rooms, |room| {
            let page = self.get(&format!("/v1/sessions?room={room}"))?;
            Ok(page["items"].as_array().map_or(0, Vec::len))
        })?;
        Ok(counts.into_iter().sum())
    }

    fn get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        answer(path, request.call())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        answer(path, request.send_json(body))
    }
}

impl std::fmt::Debug for Onair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Onair").field("base", &self.base).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("room", &self.room).finish_non_exhaustive()
    }
}

fn answer(path: &str, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value> {
    let mut response = result.with_context(|| format!("the API at {path}"))?;
    let status = response.status().as_u16();
    let body: Value = response.body_mut().read_json().unwrap_or(Value::Null);
    if !(200..300).contains(&status) {
        let detail = body["detail"].as_str().unwrap_or("no detail");
        bail!("the API at {path}: {status}, {detail}");
    }
    Ok(body)
}

fn text(value: &Value, key: &str) -> Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("the API gave no {key}"))
}

/// Asks for each of `items`, a few at a time, and keeps their order.
fn each<T: Sync, R: Send>(items: &[T], ask: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = Mutex::new(items.iter().enumerate());
    let answers = Mutex::new(Vec::with_capacity(items.len()));
    // A worker that panicked while it held a lock has left nothing half done: both are lists.
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let item = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                    let Some((at, item)) = item else { break };
                    let answer = ask(item);
                    let is_failed = answer.is_err();
                    answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, answer));
                    if is_failed {
                        break;
                    }
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_their_order_and_a_failure_is_not_swallowed() {
        let items: Vec<u32> = (0..100).collect();
        let doubled = each(&items, |n| Ok(n * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert!(each(&items, |n| if *n == 50 { bail!("no") } else { Ok(()) }).is_err());
        assert!(each(&[] as &[u8], |_| Ok(())).unwrap().is_empty());
    }
}
