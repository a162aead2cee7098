//! The claims of a live key: written in one form, read without trust.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{LiveKeyError, VerifiedKey};
use crate::ids::{LiveKeyId, ProducerId, RoomId};
use crate::time::UnixMs;

/// The only audience that opens the ingest door.
pub(super) const AUDIENCE: &str = "ingest";

/// Tolerated difference between the clocks of signer and verifier. Short: all our machines keep NTP time.
pub const LEEWAY: Duration = Duration::from_secs(5);

#[derive(Serialize)]
pub(super) struct Claims<'a> {
    pub(super) iss: &'a str,
    pub(super) aud: &'a str,
    pub(super) sub: &'a str,
    pub(super) room: &'a str,
    pub(super) jti: &'a str,
    pub(super) nbf: u64,
    pub(super) exp: u64,
}

/// Reads the claims of a token whose signature is verified. `room` is where its bearer wants to publish.
pub(super) fn check(
    claims: &Map<String, Value>,
    issuer: &str,
    room: &str,
    now: UnixMs,
) -> Result<VerifiedKey, LiveKeyError> {
    if text(claims, "iss")? != issuer {
        return Err(LiveKeyError::WrongIssuer);
    }
    if text(claims, "aud")? != AUDIENCE {
        return Err(LiveKeyError::WrongAudience);
    }
    let producer_id = ProducerId::parse(text(claims, "sub")?).map_err(|_| LiveKeyError::BadClaim("sub"))?;
    let room_id = RoomId::parse(text(claims, "room")?).map_err(|_| LiveKeyError::BadClaim("room"))?;
    let live_key_id = LiveKeyId::parse(text(claims, "jti")?).map_err(|_| LiveKeyError::BadClaim("jti"))?;
    // The shard in the id is how a key is found without knowing its room.
    if live_key_id.shard() != Some(room_id.shard()) {
        return Err(LiveKeyError::BadClaim("jti"));
    }
    let from = seconds(claims, "nbf")?;
    let at = seconds(claims, "exp")?;
    if now.plus(LEEWAY) < from {
        return Err(LiveKeyError::NotYetValid { from });
    }
    if at.plus(LEEWAY) <= now {
        return Err(LiveKeyError::Expired { at });
    }
    if room_id.as_str() != room {
        return Err(LiveKeyError::WrongRoom);
    }
    Ok(VerifiedKey { live_key_id, room_id, producer_id, expires_at: at, issued: None })
}

fn claim<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a Value, LiveKeyError> {
    claims.get(name).ok_or(LiveKeyError::MissingClaim(name))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, LiveKeyError> {
    claim(claims, name)?.as_str().ok_or(LiveKeyError::BadClaim(name))
}

/// RFC 7519 NumericDate; we write whole seconds and accept nothing else.
fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<UnixMs, LiveKeyError> {
    let seconds = claim(claims, name)?.as_u64().ok_or(LiveKeyError::BadClaim(name))?;
    Ok(UnixMs(seconds.saturating_mul(1_000)))
}
