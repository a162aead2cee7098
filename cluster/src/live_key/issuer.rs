//! Another issuer: a platform that mints live keys of its own. Who it is, which keys it signs with, and how its claims are read.
//!
//! Claims: `iss` and `aud` as configured (`aud` may be a list that has it), `sub` = producer, `room`, `jti`, `exp`, all
//! required; `nbf`, `takeover` (`idle`, `never` or `always`), `max_duration` (seconds) and `max_bitrate` (bits per second) may be there. Such a key has no record
//! before it is first used: the claim brings it along.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::RwLock;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::key_set::{IssuerKey, KeySet};
use super::{LEEWAY, LiveKeyError, VerifiedKey};
use crate::ids::{LiveKeyId, ProducerId, RoomId};
use crate::registry::{KeyRecord, Takeover};
use crate::time::UnixMs;

/// What is fixed about an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerTerms {
    /// Our short name for it: part of the ids of its keys. 1 to 16 of `a-z 0-9`.
    pub name: String,
    /// What its tokens say in `iss`.
    pub iss: String,
    /// What they must say in `aud`.
    pub aud: String,
    /// What tokens for the API must say in `aud`, if it may make such: see [`ApiBearer`](super::ApiBearer).
    pub api_aud: Option<String>,
    /// The longest that a key may still have to live when it is shown.
    pub lifetime_max: Duration,
}

/// An issuer whose keys may be exchanged while it is in use. Cheap to clone.
#[derive(Clone)]
pub struct Issuer(Arc<Inner>);

struct Inner {
    terms: IssuerTerms,
    /// Held for the time of a pointer's copy.
    keys: RwLock<Arc<KeySet>>,
    /// Told of tokens signed by a key that is not in the set.
    unknown: Notify,
}

/// `jti`s of more bytes are refused.
const JTI_BYTES_MAX: usize = 256;
/// RFC 7519 NumericDate may have a fraction, and stays far below this: the year 5138.
const SECONDS_MAX: f64 = 1e11;

impl Issuer {
    /// The longest name of ours for one.
    pub const NAME_CHARS_MAX: usize = 16;

    /// An issuer with these keys; with none, its tokens are refused until [`Self::replace_keys`].
    pub fn new(terms: IssuerTerms, keys: KeySet) -> Self {
        Self(Arc::new(Inner { terms, keys: RwLock::new(Arc::new(keys)), unknown: Notify::new() }))
    }

    /// Whether a text can be our name for an issuer.
    pub fn is_name(name: &str) -> bool {
        (1..=Self::NAME_CHARS_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    }

    /// What is fixed about it.
    pub fn terms(&self) -> &IssuerTerms {
        &self.0.terms
    }

    /// From now on its tokens are checked with these.
    pub fn replace_keys(&self, keys: KeySet) {
        *self.0.keys.write() = Arc::new(keys);
    }

    /// Resolves when a token names a key that is not in the set: the issuer may have a new one.
    pub async fn unknown_key_seen(&self) {
        self.0.unknown.notified().await;
    }

    /// The key that a token with this `kid` must be signed with.
    pub(super) fn key(&self, kid: Option<&str>) -> Option<IssuerKey> {
        let keys = Arc::clone(&self.0.keys.read());
        let key = keys.find(kid).cloned();
        if key.is_none() {
            self.0.unknown.notify_one();
        }
        key
    }

    /// The id that the key `jti` for `room` has here. The shard lets it be found, the name tells whose it is, and the rest is
    /// 160 bits of a SHA-256 over `iss`, room and `jti`.
    pub fn live_key_id(&self, room: &RoomId, jti: &str) -> Option<LiveKeyId> {
        let IssuerTerms { name, iss, .. } = &self.0.terms;
        if jti.is_empty() || jti.len() > JTI_BYTES_MAX {
            return None;
        }
        let said = [iss.as_bytes(), b"\0", room.as_str().as_bytes(), b"\0", jti.as_bytes()].concat();
        let hash = digest(&SHA256, &said);
        let hex: String = hash.as_ref().iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        LiveKeyId::parse(&format!("{}{name}-{hex}", room.shard())).ok()
    }

    /// Reads the claims of a token whose signature is verified. `room` is where its bearer wants to publish.
    pub(super) fn check(
        &self,
        claims: &Map<String, Value>,
        room: &str,
        now: UnixMs,
    ) -> Result<VerifiedKey, LiveKeyError> {
        let terms = &self.0.terms;
        if text(claims, "iss")? != terms.iss {
            return Err(LiveKeyError::WrongIssuer);
        }
        if !is_for(claims, &terms.aud)? {
            return Err(LiveKeyError::WrongAudience);
        }
        let producer_id =
            ProducerId::parse(text(claims, "sub")?).map_err(|_| LiveKeyError::BadClaim("sub"))?;
        let room_id = RoomId::parse(text(claims, "room")?).map_err(|_| LiveKeyError::BadClaim("room"))?;
        let jti = text(claims, "jti")?;
        let live_key_id = self.live_key_id(&room_id, jti).ok_or(LiveKeyError::BadClaim("jti"))?;
        let takeover = takeover(claims)?;
        let max_duration = max_duration(claims)?;
        let max_bitrate = max_bitrate(claims)?;
        let at = seconds(claims, "exp")?.ok_or(LiveKeyError::MissingClaim("exp"))?;
        if let Some(from) = seconds(claims, "nbf")?.filter(|from| now.plus(LEEWAY) < *from) {
            return Err(LiveKeyError::NotYetValid { from });
        }
        if at.plus(LEEWAY) <= now {
            return Err(LiveKeyError::Expired { at });
        }
        if at > now.plus(terms.lifetime_max).plus(LEEWAY) {
            return Err(LiveKeyError::TooLongLived);
        }
        if room_id.as_str() != room {
            return Err(LiveKeyError::WrongRoom);
        }
        let record = KeyRecord {
            live_key_id: live_key_id.clone(),
            room_id: room_id.clone(),
            producer_id: producer_id.clone(),
            takeover,
            max_duration,
            max_bitrate,
            revoked: false,
            expires_at: at.plus(LEEWAY),
        };
        Ok(VerifiedKey { live_key_id, room_id, producer_id, expires_at: at, issued: Some(record) })
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("terms", &self.0.terms).field("keys", &self.0.keys.read()).finish()
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, LiveKeyError> {
    let claim = claims.get(name).ok_or(LiveKeyError::MissingClaim(name))?;
    claim.as_str().ok_or(LiveKeyError::BadClaim(name))
}

/// RFC 7519 §4.1.3: one audience, or a list of them.
fn is_for(claims: &Map<String, Value>, audience: &str) -> Result<bool, LiveKeyError> {
    match claims.get("aud") {
        None => Err(LiveKeyError::MissingClaim("aud")),
        Some(Value::String(one)) => Ok(one == audience),
        Some(Value::Array(all)) => Ok(all.iter().any(|one| one == audience)),
        Some(_) => Err(LiveKeyError::BadClaim("aud")),
    }
}

/// RFC 7519 NumericDate, which may have a fraction; cut to whole seconds.
pub(super) fn seconds(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<UnixMs>, LiveKeyError> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let seconds = claim.as_f64().filter(|s| (0.0..SECONDS_MAX).contains(s));
    let seconds = seconds.ok_or(LiveKeyError::BadClaim(name))?;
    // Within bounds, so nothing is lost but the fraction.
    Ok(Some(UnixMs(seconds as u64 * 1_000)))
}

fn takeover(claims: &Map<String, Value>) -> Result<Takeover, LiveKeyError> {
    match claims.get("takeover") {
        None => Ok(Takeover::default()),
        Some(rule) => serde_json::from_value(rule.clone()).map_err(|_| LiveKeyError::BadClaim("takeover")),
    }
}

fn max_bitrate(claims: &Map<String, Value>) -> Result<Option<u64>, LiveKeyError> {
    /// More than any encoder sends.
    const BITS_MAX: u64 = 10_000_000_000;
    let Some(claim) = claims.get("max_bitrate") else { return Ok(None) };
    let bits = claim.as_u64().filter(|bits| (1..=BITS_MAX).contains(bits));
    bits.map(Some).ok_or(LiveKeyError::BadClaim("max_bitrate"))
}

fn max_duration(claims: &Map<String, Value>) -> Result<Option<Duration>, LiveKeyError> {
    /// Longer than any session.
    const SECONDS_MAX: u64 = 366 * 86_400;
    let Some(claim) = claims.get("max_duration") else { return Ok(None) };
    let seconds = claim.as_u64().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    seconds.map(|s| Some(Duration::from_secs(s))).ok_or(LiveKeyError::BadClaim("max_duration"))
}

#[cfg(test)]
mod tests;
