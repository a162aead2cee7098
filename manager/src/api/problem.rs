//! Problem: what a client is told when something does not go (RFC 9457), and what we tell ourselves.
//!
//! Two texts: `detail` leaves the house and names what the client can change; `internal` goes into our log only.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::ManagerError;
use crate::live_db::LiveDbError;

/// What went wrong: a closed set that tools may rely on, as the last part of `type` and as `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BadRequest,
    BadParameter,
    BadBody,
    Unauthenticated,
    Forbidden,
    NotFound,
    RoomUnknown,
    SessionUnknown,
    SessionEnded,
    LiveKeyUnknown,
    NotHeld,
    NodeUnknown,
    IssuerUnknown,
    TokenUnknown,
    ProducerUnknown,
    MethodNotAllowed,
    RequestTimeout,
    NotOnAir,
    RoomTaken,
    OtherRoom,
    TooManyTokens,
    BodyTooLarge,
    TooManyRequests,
    Internal,
    LiveDbAway,
    RegistryAway,
    RegistryFull,
    Overloaded,
    FeedFull,
    Stopping,
}

impl Code {
    /// All of them.
    pub(crate) const ALL: [Self; 30] = [
        Self::BadRequest,
        Self::BadParameter,
        Self::BadBody,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::RoomUnknown,
        Self::SessionUnknown,
        Self::SessionEnded,
        Self::LiveKeyUnknown,
        Self::NotHeld,
        Self::NodeUnknown,
        Self::IssuerUnknown,
        Self::TokenUnknown,
        Self::ProducerUnknown,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::NotOnAir,
        Self::RoomTaken,
        Self::OtherRoom,
        Self::TooManyTokens,
        Self::BodyTooLarge,
        Self::TooManyRequests,
        Self::Internal,
        Self::LiveDbAway,
        Self::RegistryAway,
        Self::RegistryFull,
        Self::Overloaded,
        Self::FeedFull,
        Self::Stopping,
    ];

    /// As it stands in problems.
    pub(crate) const fn name(self) -> &'static str {
        self.row().1
    }

    /// Status, name, title.
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "bad_request", "The request cannot be read"),
            Self::BadParameter => (400, "bad_parameter", "A parameter is unknown or has a bad value"),
            Self::BadBody => (400, "bad_body", "The body is not what this route takes"),
            Self::Unauthenticated => (401, "unauthenticated", "No valid token"),
            Self::Forbidden => (403, "forbidden", "The token is not enough"),
            Self::NotFound => (404, "not_found", "Not found"),
            Self::RoomUnknown => (404, "room_unknown", "No such room"),
            Self::SessionUnknown => (404, "session_unknown", "No such session"),
            Self::SessionEnded => (404, "session_ended", "The session has ended"),
            Self::LiveKeyUnknown => (404, "live_key_unknown", "No such live key"),
            Self::NotHeld => (404, "not_held", "The room is not held"),
            Self::NodeUnknown => (404, "node_unknown", "No such node"),
            Self::IssuerUnknown => (404, "issuer_unknown", "No such issuer"),
            Self::TokenUnknown => (404, "token_unknown", "No such token"),
            Self::ProducerUnknown => (404, "producer_unknown", "No such producer"),
            Self::MethodNotAllowed => (405, "method_not_allowed", "The path does not take this method"),
            Self::RequestTimeout => (408, "request_timeout", "The request took too long to arrive"),
            Self::NotOnAir => (409, "not_on_air", "Nobody is live in this room"),
            Self::RoomTaken => (409, "room_taken", "The room belongs to another producer"),
            Self::OtherRoom => (409, "other_room", "The producer has another room"),
            Self::TooManyTokens => (409, "too_many_tokens", "There are too many valid tokens"),
            Self::BodyTooLarge => (413, "body_too_large", "The body is too large"),
            Self::TooManyRequests => (429, "too_many_requests", "Too many requests"),
            Self::Internal => (500, "internal", "Our fault"),
            Self::LiveDbAway => (503, "live_db_away", "The Live DB does not answer"),
            Self::RegistryAway => (503, "registry_away", "The registry does not answer"),
            Self::RegistryFull => (503, "registry_full", "The registry is out of memory"),
            Self::Overloaded => (503, "overloaded", "Too much waits to be recorded"),
            Self::FeedFull => (503, "feed_full", "The event feed has as many clients as it may have"),
            Self::Stopping => (503, "stopping", "This Manager stops"),
        }
    }

    /// What fits a status that the framework made.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            413 => Self::BodyTooLarge,
            400..500 => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

/// A refusal or a failure. Boxed, since most answers are neither.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    detail: String,
    internal: Option<String>,
    more: Map<String, Value>,
    allow: Option<String>,
    challenge: Option<String>,
    retry_after: Option<u64>,
}

/// A problem as it is sent. Routes may add members that belong to their code.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// `urn:onair:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The same for every problem of this type.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Stable name of what went wrong.
    #[schema(example = "bad_parameter")]
    code: String,
    /// What is wrong with this request.
    detail: String,
    /// As in the header `X-Request-Id`.
    request_id: String,
    #[serde(flatten)]
    #[schema(ignore)]
    more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (detail, more) = (detail.into(), Map::new());
        let retry_after = (code.row().0 == 503).then_some(2);
        Self(Box::new(Parts {
            code,
            detail,
            internal: None,
            more,
            allow: None,
            challenge: None,
            retry_after,
        }))
    }

    /// A parameter that is unknown or has a bad value.
    pub(crate) fn parameter(name: &str, why: impl fmt::Display) -> Self {
        Self::new(Code::BadParameter, format!("{name}: {why}")).with("parameter", name)
    }

    /// Adds a member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn allow(mut self, methods: &str) -> Self {
        self.0.allow = Some(methods.to_owned());
        self
    }

    pub(crate) fn challenge(mut self, challenge: String) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// When to ask again, in whole seconds.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait.as_secs_f64().ceil().max(1.0) as u64);
        self
    }

    fn internal(mut self, e: impl fmt::Display) -> Self {
        self.0.internal = Some(e.to_string());
        self
    }

    pub(crate) fn internal_text(&self) -> Option<&str> {
        self.0.internal.as_deref()
    }

    /// The answer to the request of this id.
    pub(crate) fn response(&self, request_id: &str) -> HttpResponse {
        let (status, name, title) = self.0.code.row();
        let body = ProblemBody {
            kind: format!("urn:onair:problem:{name}"),
            title: title.to_owned(),
            status,
            code: name.to_owned(),
            detail: self.0.detail.clone(),
            request_id: request_id.to_owned(),
            more: self.0.more.clone(),
        };
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json").insert_header((CACHE_CONTROL, "no-store"));
        if let Some(methods) = &self.0.allow {
            response.insert_header((ALLOW, methods.as_str()));
        }
        if let Some(challenge) = &self.0.challenge {
            response.insert_header((WWW_AUTHENTICATE, challenge.as_str()));
        }
        if let Some(seconds) = self.0.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        // What remains of the request is not read any more.
        if matches!(self.0.code, Code::RequestTimeout | Code::BodyTooLarge) {
            response.insert_header((CONNECTION, "close"));
        }
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.row().1, self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Replaced by the frame around all routes, which knows the request's id.
    fn error_response(&self) -> HttpResponse {
        self.response("")
    }
}

impl From<LiveDbError> for Problem {
    fn from(e: LiveDbError) -> Self {
        match e {
            LiveDbError::Away(_) => Self::new(
                Code::LiveDbAway,
                "history and new addresses must wait; the live view, ends and revocations work",
            )
            .internal(e),
            LiveDbError::RoomTaken(_) => {
                Self::new(Code::RoomTaken, "this room is another producer's; choose another id")
            }
            _ => Self::new(Code::Internal, "the Live DB did not take or give what it should").internal(e),
        }
    }
}

impl From<ManagerError> for Problem {
    fn from(e: ManagerError) -> Self {
        match e {
            ManagerError::LiveDb(e) => e.into(),
            ManagerError::Registry(onair_cluster::RegistryError::Full) => {
                Self::new(Code::RegistryFull, "it takes nothing new; what is on air goes on").internal(e)
            }
            ManagerError::Registry(_) => Self::new(Code::RegistryAway, "try again in a moment").internal(e),
            ManagerError::TooMuchOwed => {
                Self::new(Code::Overloaded, "too many changes wait for the Live DB to come back").internal(e)
            }
            _ => Self::new(Code::Internal, "the request could not be carried out").internal(e),
        }
    }
}

impl From<onair_cluster::RegistryError> for Problem {
    fn from(e: onair_cluster::RegistryError) -> Self {
        ManagerError::Registry(e).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_codes_has_each_of_them_once() {
        // The last one in the order of declaration has the highest number.
        let highest = Code::ALL.into_iter().map(|code| code as usize).max().unwrap();
        assert_eq!(highest + 1, Code::ALL.len());
        let mut names = Code::ALL.map(Code::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
