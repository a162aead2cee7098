//! Who is let through to a route: the role that the table asks for, against what the bearer token stands for.
//!
//! 401 says that there is no good token, 403 that it is not enough and which role would be, 429 that it comes too often.

use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{HttpMessage, HttpRequest};

use super::problem::{Code, Problem};
use super::table;
use crate::caller::Caller;
use crate::core::Core;
use crate::gate::{self, Refusal};
use crate::role::Role;

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing, and as often as anybody likes: probes and scrapers are not to be told lies about health.
    Probe,
    /// Nothing.
    Open,
    /// This role, or one above it.
    Role(Role),
    /// This role, or a live key of the room in the path.
    RoleOrLiveKey(Role),
}

impl Access {
    /// The least role that gets through.
    pub(crate) fn role(self) -> Option<Role> {
        match self {
            Self::Probe | Self::Open => None,
            Self::Role(role) | Self::RoleOrLiveKey(role) => Some(role),
        }
    }
}

static ROUTES: LazyLock<HashMap<(Method, &'static str), Access>> =
    LazyLock::new(|| table().into_iter().map(|entry| ((entry.method, entry.path), entry.access)).collect());

/// What a request must show. A path under `/v1` that is not in the table needs a token all the same: strangers are told nothing
/// about what is there.
fn access(method: &Method, pattern: Option<&str>, path: &str) -> Access {
    // HEAD is GET without the body.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let known = pattern
        .and_then(|pattern| ROUTES.iter().find(|((of, at), _)| of == method && *at == pattern))
        .map(|(_, access)| *access);
    let is_ours = path == "/v1" || path.starts_with("/v1/");
    known.unwrap_or(if is_ours { Access::Role(Role::Viewer) } else { Access::Open })
}

/// Lets a request through, and says whose it is if the route asks for that.
pub(super) async fn admit(core: &Core, request: &ServiceRequest) -> Result<Option<Caller>, Problem> {
    let pattern = request.match_pattern();
    let access = access(request.method(), pattern.as_deref(), request.path());
    let peer = request.peer_addr().map(|peer| peer.ip());
    let refused = |refusal| refuse(core, access, refusal);
    let Some(role) = access.role() else {
        if access == Access::Open {
            core.gate.count_stranger(peer).map_err(refused)?;
        }
        return Ok(None);
    };
    let token = match bearer(request.headers()) {
        Ok(token) => token,
        Err(detail) => {
            core.gate.count_stranger(peer).map_err(refused)?;
            return Err(unauthenticated(core, "", detail.to_owned()));
        }
    };
    // The third part of `/v1/rooms/{room}/end`; ids need no escapes.
    let room = match access {
        Access::RoleOrLiveKey(_) => request.path().split('/').nth(3),
        _ => None,
    };
    let caller = match gate::identify(core, token, room, peer).await {
        Ok(caller) => caller,
        Err(refusal) => {
            if matches!(refusal, Refusal::Invalid(_)) {
                core.gate.count_stranger(peer).map_err(refused)?;
            }
            return Err(refused(refusal));
        }
    };
    core.gate.count(&caller).map_err(refused)?;
    match (caller.role(), access) {
        (Some(has), _) if has >= role => Ok(Some(caller)),
        (None, Access::RoleOrLiveKey(_)) => Ok(Some(caller)),
        (has, _) => {
            let has = has.map_or("no role", Role::name);
            Err(refused(Refusal::Forbidden(format!("this needs the role {role}; the token has {has}"))))
        }
    }
}

/// Who asks: behind the frame, every route that asks for a role has a caller.
pub(super) fn caller(request: &HttpRequest) -> Result<Caller, Problem> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Problem::new(Code::Internal, "nobody knows who asks"))
}

/// RFC 6750 §2.1: the scheme is matched without regard to case.
fn bearer(headers: &HeaderMap) -> Result<&[u8], &'static str> {
    let value =
        headers.get(AUTHORIZATION).ok_or("this path needs a token, in the header Authorization: Bearer")?;
    match value.as_bytes().split_first_chunk::<7>() {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => Ok(token.trim_ascii()),
        _ => Err("the Authorization header must be of the scheme Bearer"),
    }
}

/// RFC 6750 §3: without a token the challenge names no error.
fn unauthenticated(core: &Core, error: &str, detail: String) -> Problem {
    let realm = &core.config.cluster_name;
    Problem::new(Code::Unauthenticated, detail).challenge(format!("Bearer realm=\"{realm}\"{error}"))
}

fn refuse(core: &Core, access: Access, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Invalid(detail) => unauthenticated(core, ", error=\"invalid_token\"", detail),
        Refusal::Forbidden(detail) => {
            let (realm, role) = (&core.config.cluster_name, access.role().map_or("", Role::name));
            let scope = format!("Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{role}\"");
            Problem::new(Code::Forbidden, detail).with("role_needed", role).challenge(scope)
        }
        Refusal::TooOften(wait) => {
            Problem::new(Code::TooManyRequests, "too many requests; try again later").retry_after(wait)
        }
        Refusal::Unknowable => {
            Problem::new(Code::Overloaded, "whether this token is good cannot be known right now")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_needs_a_token_under_v1_only() {
        let viewer = Access::Role(Role::Viewer);
        assert_eq!(access(&Method::GET, None, "/v1/nothing"), viewer);
        assert_eq!(access(&Method::GET, None, "/v1"), viewer);
        assert_eq!(access(&Method::PATCH, Some("/v1/rooms/{room}/end"), "/v1/rooms/r/end"), viewer);
        assert_eq!(access(&Method::GET, None, "/v1x"), Access::Open);
        assert_eq!(access(&Method::HEAD, Some("/v1/sessions"), "/v1/sessions"), viewer);
        assert_eq!(access(&Method::HEAD, Some("/livez"), "/livez"), Access::Probe);
    }
}
