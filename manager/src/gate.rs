//! The gate: from a bearer token to who bears it, and how often each may ask. Nothing here needs the Live DB, so ends,
//! revocations and the live view work while it is away.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use onair_cluster::live_key::{LiveKeyError, LiveKeyVerifier, VerifiedKey};
use onair_cluster::{TokenError, UnixMs};

use crate::caller::{Caller, CallerKind};
use crate::config::HttpLimits;
use crate::core::Core;
use crate::rates::{Buckets, household};
use crate::tokens;

/// What the gate needs to know, beside the admin token.
#[derive(Debug)]
pub(crate) struct Gate {
    keys: LiveKeyVerifier,
    bearers: Buckets<(CallerKind, String)>,
    strangers: Buckets<IpAddr>,
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The token is none of ours, or no longer; in words for its bearer.
    Invalid(String),
    /// It is good, but not for this.
    Forbidden(String),
    /// Too often; again after this.
    TooOften(Duration),
    /// Whether it is good cannot be known now.
    Unknowable,
}

impl Gate {
    pub(crate) fn new(limits: &HttpLimits, keys: LiveKeyVerifier) -> Self {
        Self {
            keys,
            bearers: Buckets::new(limits.requests_per_second),
            strangers: Buckets::new(limits.strangers_per_second),
        }
    }

    /// Counts a request without a good token. Peers without an address share a bucket.
    pub(crate) fn count_stranger(&self, peer: Option<IpAddr>) -> Result<(), Refusal> {
        self.strangers.take(&home_of(peer), Instant::now()).map_err(Refusal::TooOften)
    }

    /// Counts a request of `caller`.
    pub(crate) fn count(&self, caller: &Caller) -> Result<(), Refusal> {
        self.bearers.take(&caller.bucket(), Instant::now()).map_err(Refusal::TooOften)
    }
}

fn home_of(peer: Option<IpAddr>) -> IpAddr {
    household(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// Who bears `token`. `room` is the one that a live key may end here; on a route that takes no live key there is none.
pub(crate) async fn identify(
    core: &Core,
    token: &[u8],
    room: Option<&str>,
    peer: Option<IpAddr>,
) -> Result<Caller, Refusal> {
    if core.admin_token.is(token) {
        return Ok(Caller::AdminToken);
    }
    if let Some(answer) = tokens::identify(core, token).await {
        return answer;
    }
    if !is_signed(token) {
        return Err(Refusal::Invalid("this is no token that is good here".to_owned()));
    }
    // Signatures cost some 50 µs each: who has shown too many bad ones waits.
    core.gate.strangers.look(&home_of(peer), Instant::now()).map_err(Refusal::TooOften)?;
    match platform(core, token) {
        Ok(caller) => Ok(caller),
        // Signed by a platform for the API, and wrong all the same: that is what its bearer must hear.
        Err(e) if is_for_the_api(e) => Err(Refusal::Invalid(e.to_string())),
        Err(_) => live_key(core, token, room).await,
    }
}

/// Whether it has the form of a JWT.
fn is_signed(token: &[u8]) -> bool {
    token.iter().filter(|byte| **byte == b'.').count() == 2
}

/// Whether the signature was good and the audience ours.
fn is_for_the_api(e: TokenError) -> bool {
    matches!(
        e,
        TokenError::MissingClaim(_) | TokenError::BadClaim(_) | TokenError::Expired | TokenError::NotYetValid
    )
}

fn platform(core: &Core, token: &[u8]) -> Result<Caller, TokenError> {
    let bearer = core.gate.keys.verify_api(token, UnixMs::now())?;
    let role = bearer.role.parse().map_err(|_| TokenError::BadClaim("role"))?;
    Ok(Caller::Platform { issuer: bearer.issuer, subject: bearer.subject, role })
}

/// A live key may end its own room. Its record must be there and not revoked, as for publishing; one of another issuer needs no
/// record.
async fn live_key(core: &Core, token: &[u8], room: Option<&str>) -> Result<Caller, Refusal> {
    let VerifiedKey { live_key_id, room_id, issued, .. } =
        match core.gate.keys.verify(token, room.unwrap_or_default(), UnixMs::now()) {
            Ok(key) => key,
            // Whatever else could be wrong was looked at before.
            Err(LiveKeyError::WrongRoom) => {
                let text = "a live key may end the broadcast in its own room, and nothing else";
                return Err(Refusal::Forbidden(text.to_owned()));
            }
            Err(e) => return Err(Refusal::Invalid(e.public_text())),
        };
    let record = core.note_registry(core.registry.key(&live_key_id).await);
    match record {
        Err(_) => Err(Refusal::Unknowable),
        Ok(Some(record)) if record.revoked => Err(Refusal::Invalid("this live key was revoked".to_owned())),
        Ok(None) if issued.is_none() => Err(Refusal::Invalid("this live key is not known here".to_owned())),
        Ok(_) => Ok(Caller::LiveKey { live_key_id, room_id }),
    }
}
