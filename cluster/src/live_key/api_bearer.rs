//! A platform's own people at our API: a token of another issuer that names a role instead of a room.
//!
//! Claims: `iss` as configured, `aud` = the issuer's `api_aud` (or a list that has it), `sub`, `role`, `exp`, all required;
//! `nbf` may be there. An issuer without `api_aud` has no say here. What the roles are, the API knows.

use serde_json::{Map, Value};

use super::issuer::Issuer;
use super::{LEEWAY, LiveKeyVerifier};
use crate::time::UnixMs;
use crate::token::{Compact, TokenError};

/// Who bears such a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBearer {
    /// Our short name for the issuer.
    pub issuer: String,
    /// Whom it names: 1 to 128 printable ASCII characters. Safe to log.
    pub subject: String,
    /// The role, as the token says it.
    pub role: String,
    /// When it ends.
    pub expires_at: UnixMs,
}

/// Larger ones are not looked at.
const BYTES_MAX: usize = 4_096;
const SUBJECT_BYTES_MAX: usize = 128;

impl LiveKeyVerifier {
    /// Verifies `token`, shown to the API.
    ///
    /// # Errors
    /// The first reason not to accept it. [`TokenError::WrongIssuer`] before the signature: nobody who may speak here made it.
    pub fn verify_api(&self, token: &[u8], now: UnixMs) -> Result<ApiBearer, TokenError> {
        if token.is_empty() || token.len() > BYTES_MAX {
            return Err(TokenError::Length);
        }
        let token = Compact::split(token).ok_or(TokenError::Malformed)?;
        let header = token.header().ok_or(TokenError::Malformed)?;
        let claims = token.claims().ok_or(TokenError::Malformed)?.0;
        let iss = claims.get("iss").and_then(Value::as_str).ok_or(TokenError::WrongIssuer)?;
        let issuer = self.other(iss).ok_or(TokenError::WrongIssuer)?;
        let audience = issuer.terms().api_aud.as_deref().ok_or(TokenError::WrongIssuer)?;
        let key = issuer.key(header.kid.as_deref()).ok_or(TokenError::BadSignature)?;
        if header.alg != key.name {
            return Err(TokenError::BadSignature);
        }
        if !token.is_signed_by(&key.decoding, key.algorithm).ok_or(TokenError::Malformed)? {
            return Err(TokenError::BadSignature);
        }
        check(issuer, audience, &claims, now)
    }
}

fn check(
    issuer: &Issuer,
    audience: &str,
    claims: &Map<String, Value>,
    now: UnixMs,
) -> Result<ApiBearer, TokenError> {
    let is_for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(all)) => all.iter().any(|one| one == audience),
        _ => false,
    };
    if !is_for_us {
        return Err(TokenError::WrongAudience);
    }
    let subject = text(claims, "sub")?;
    let is_fit =
        (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) && subject.bytes().all(|b| b.is_ascii_graphic());
    if !is_fit {
        return Err(TokenError::BadClaim("sub"));
    }
    let role = text(claims, "role")?;
    let expires_at = seconds(claims, "exp")?.ok_or(TokenError::MissingClaim("exp"))?;
    if seconds(claims, "nbf")?.is_some_and(|from| now.plus(LEEWAY) < from) {
        return Err(TokenError::NotYetValid);
    }
    if expires_at.plus(LEEWAY) <= now {
        return Err(TokenError::Expired);
    }
    if expires_at > now.plus(issuer.terms().lifetime_max).plus(LEEWAY) {
        return Err(TokenError::BadClaim("exp"));
    }
    Ok(ApiBearer {
        issuer: issuer.terms().name.clone(),
        subject: subject.to_owned(),
        role: role.to_owned(),
        expires_at,
    })
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, TokenError> {
    let claim = claims.get(name).ok_or(TokenError::MissingClaim(name))?;
    claim.as_str().ok_or(TokenError::BadClaim(name))
}

fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<UnixMs>, TokenError> {
    super::issuer::seconds(claims, name).map_err(|_| TokenError::BadClaim(name))
}
