//! Tokens in compact form (RFC 7515 §7.1): cut, decoded and read without trust. What a token must say, each kind says itself.
//!
//! The library checks signatures only. Its check of claims reads the system's clock, and lets a missing or mistyped claim
//! pass unless told otherwise for each.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::time::UnixMs;

/// A token as text: whoever shows it is let in. Wiped from memory when dropped; neither `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(Zeroizing<String>);

impl Bearer {
    pub(crate) fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    /// The secret itself. The name is there to be searched for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

/// Why a token is not accepted. Carries no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// None, or longer than any of ours.
    #[error("no token of a possible length")]
    Length,
    /// Not three base64url parts around JSON objects.
    #[error("the token is malformed")]
    Malformed,
    /// Signed by nobody we know, changed, or signed in another way than our key does.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Signed by us for another cluster.
    #[error("the token was issued by another cluster")]
    WrongIssuer,
    /// Signed by us for another purpose.
    #[error("the token is for another purpose")]
    WrongAudience,
    /// Lacks a claim.
    #[error("the token lacks the claim {0}")]
    MissingClaim(&'static str),
    /// A claim of the wrong type or form.
    #[error("the token's claim {0} is malformed")]
    BadClaim(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// For another room.
    #[error("the token is for another room")]
    WrongRoom,
}

impl TokenError {
    /// A short name out of a closed set, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Length => "token_length",
            Self::Malformed => "token_malformed",
            Self::BadSignature => "token_bad_signature",
            Self::WrongIssuer => "token_wrong_issuer",
            Self::WrongAudience => "token_wrong_audience",
            Self::MissingClaim(_) => "token_missing_claim",
            Self::BadClaim(_) => "token_bad_claim",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::WrongRoom => "token_wrong_room",
        }
    }
}

/// The parts of a token.
pub(crate) struct Compact<'a> {
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// What was signed: header, dot, claims.
    message: &'a [u8],
}

/// The two members of a header that we look at. `jwk`, `jku` and `x5u` would let a token choose its own judge.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
}

impl<'a> Compact<'a> {
    /// Cuts a token at its two dots. `None` when it has not exactly two.
    pub(crate) fn split(token: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(token).ok()?;
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let two_dots = !claims.contains('.');
        two_dots.then_some(Self { header, claims, signature, message: message.as_bytes() })
    }

    pub(crate) fn header(&self) -> Option<Header> {
        from_json(self.header)
    }

    /// Whether the signature is the key's. `None` when it is no base64url.
    pub(crate) fn is_signed_by(&self, key: &DecodingKey, algorithm: Algorithm) -> Option<bool> {
        install_crypto();
        jsonwebtoken::crypto::verify(self.signature, self.message, key, algorithm).ok()
    }

    /// What it says. To be believed only after [`Self::is_signed_by`].
    pub(crate) fn claims(&self) -> Option<Claims> {
        from_json(self.claims).map(Claims)
    }
}

fn from_json<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The claims of a token whose signature is verified; nothing is taken for granted all the same.
pub(crate) struct Claims(pub(crate) Map<String, Value>);

impl Claims {
    fn claim(&self, name: &'static str) -> Result<&Value, TokenError> {
        self.0.get(name).ok_or(TokenError::MissingClaim(name))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<&str, TokenError> {
        self.claim(name)?.as_str().ok_or(TokenError::BadClaim(name))
    }

    pub(crate) fn number(&self, name: &'static str) -> Result<u64, TokenError> {
        self.claim(name)?.as_u64().ok_or(TokenError::BadClaim(name))
    }

    /// RFC 7519 NumericDate; we write whole seconds and accept nothing else.
    pub(crate) fn seconds(&self, name: &'static str) -> Result<UnixMs, TokenError> {
        Ok(UnixMs(self.number(name)?.saturating_mul(1_000)))
    }

    pub(crate) fn is_for(&self, audience: &str) -> Result<(), TokenError> {
        if self.text("aud")? == audience { Ok(()) } else { Err(TokenError::WrongAudience) }
    }
}

/// `jsonwebtoken` panics at its first use when another crate of the program has switched on its second back end too.
/// Choosing ours by name, before every use, rules that out; a second call finds the first one's choice.
pub(crate) fn install_crypto() {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
