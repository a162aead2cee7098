//! The HTTP API as a tool would call it: the admin token, JSON in, status and JSON out.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::wait::eventually;

/// A caller of one node's API.
#[derive(Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    token: String,
}

/// A status and a body.
pub type Answer = (u16, Value);

impl Api {
    pub fn new(http: SocketAddr, token: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build();
        Self { agent: config.into(), base: format!("http://{http}"), token: token.to_owned() }
    }

    /// A caller who has no token.
    pub fn without_token(http: SocketAddr) -> Self {
        Self::new(http, "none")
    }

    /// Only the status of a GET.
    pub fn status(&self, path: &str) -> u16 {
        self.get(path).0
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub fn get(&self, path: &str) -> Answer {
        answer(path, self.agent.get(self.url(path)).header("Authorization", self.bearer()).call())
    }

    /// The body as text, for what is not JSON.
    pub fn text(&self, path: &str) -> String {
        let mut response = self
            .agent
            .get(self.url(path))
            .header("Authorization", self.bearer())
            .call()
            .unwrap_or_else(|e| panic!("GET {path}: {e}"));
        response.body_mut().read_to_string().expect("text")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.post(self.url(path)).header("Authorization", self.bearer());
        answer(path, request.send_json(body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.put(self.url(path)).header("Authorization", self.bearer());
        answer(path, request.send_json(body))
    }

    pub fn delete(&self, path: &str) -> Answer {
        answer(path, self.agent.delete(self.url(path)).header("Authorization", self.bearer()).call())
    }

    /// The status of a POST with this body, or of a DELETE without one, if the Manager answers at all.
    pub fn try_change(&self, path: &str, body: Option<&Value>) -> Option<Answer> {
        let response = match body {
            Some(body) => {
                self.agent.post(self.url(path)).header("Authorization", self.bearer()).send_json(body)
            }
            None => self.agent.delete(self.url(path)).header("Authorization", self.bearer()).call(),
        };
        response.is_ok().then(|| answer(path, response))
    }

    /// Where it asks.
    pub fn addr(&self) -> SocketAddr {
        self.base.trim_start_matches("http://").parse().expect("made of an address")
    }

    /// As whom it asks.
    pub fn token(&self) -> &str {
        &self.token
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The sessions of the whole node.
    pub fn sessions(&self) -> Vec<Value> {
        self.items("/v1/sessions?limit=500")
    }

    /// The session of `room`, if it has one now.
    pub fn session(&self, room: &str) -> Option<Value> {
        self.items(&format!("/v1/sessions?room={room}")).into_iter().next()
    }

    /// What went live in `room`, as the history tells it.
    pub fn broadcasts(&self, room: &str) -> Vec<Value> {
        self.items(&format!("/v1/broadcasts?room={room}"))
    }

    fn items(&self, path: &str) -> Vec<Value> {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "GET {path}: {body}");
        body["items"].as_array().cloned().unwrap_or_else(|| panic!("GET {path}: no items in {body}"))
    }

    /// Waits until `room` has a live session, and gives it.
    pub fn live_session(&self, room: &str) -> Value {
        eventually(&format!("a live session in {room}"), super::LONG, || {
            self.session(room).filter(|session| session["state"] == "live")
        })
    }

    /// Waits until the history knows `count` ended broadcasts of `room`, checks that there is no other, and gives them,
    /// oldest first.
    pub fn ended_broadcasts(&self, room: &str, count: usize) -> Vec<Value> {
        let mut all = eventually(&format!("{count} ended broadcasts of {room}"), super::LONG, || {
            let all = self.broadcasts(room);
            (all.iter().filter(|b| !b["ended_at"].is_null()).count() >= count).then_some(all)
        });
        all.sort_by_key(|b| b["epoch"].as_u64());
        let ended: Vec<_> = all.into_iter().filter(|b| !b["ended_at"].is_null()).collect();
        assert_eq!(ended.len(), count, "exactly one end each: {ended:?}");
        ended
    }

    /// The one broadcast of `room`, which must have ended for `reason`.
    pub fn assert_ended(&self, room: &str, reason: &str) -> Value {
        let ended = self.ended_broadcasts(room, 1);
        assert_eq!(ended[0]["end_reason"], reason, "{}", ended[0]);
        ended[0].clone()
    }
}

fn answer(path: &str, result: Result<Response<Body>, ureq::Error>) -> Answer {
    let mut response = result.unwrap_or_else(|e| panic!("{path}: {e}"));
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().expect("a body");
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    (status, body)
}
