//! What every node holds: the public keys, and the check of a live key against them. No private key, no I/O.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};

use super::seen::Seen;
use super::{Issuer, LiveKey, LiveKeyError, claims};
use crate::ids::{LiveKeyId, ProducerId, RoomId};
use crate::registry::KeyRecord;
use crate::time::UnixMs;
use crate::token::{Compact, Header, install_crypto};

/// The algorithm of all our keys, as a token's header names it (RFC 8037).
const ALGORITHM_NAME: &str = "EdDSA";

/// The public half of a signing key. Always Ed25519: the algorithm is a property of our key, not of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The key's name in token headers: the first 12 characters of its RFC 7638 thumbprint.
    pub fn kid(&self) -> String {
        let canonical =
            format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(self.0));
        let mut thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        thumbprint.truncate(12);
        thumbprint
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid())
    }
}

/// What a live key says, once it is believed. Whether it is known and not revoked, only the registry can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedKey {
    /// Its id, safe to log.
    pub live_key_id: LiveKeyId,
    /// The room it opens.
    pub room_id: RoomId,
    /// Whose it is.
    pub producer_id: ProducerId,
    /// After this it starts no more sessions.
    pub expires_at: UnixMs,
    /// The record that a claim brings along, for a key that another issuer minted; `None` for our own.
    pub issued: Option<KeyRecord>,
}

/// Checks live keys. Cheap to clone; about 50 µs for a check, nearly all of it the signature, which one that
/// was good a while ago is spared.
#[derive(Clone)]
pub struct LiveKeyVerifier(Arc<Inner>);

struct Inner {
    issuer: String,
    keys: BTreeMap<String, (PublicKey, DecodingKey)>,
    /// Others who mint live keys, by what their tokens say in `iss`.
    others: BTreeMap<String, Issuer>,
    /// Of our own keys, which never change while we run.
    seen: Seen,
}

impl LiveKeyVerifier {
    /// Accepts keys of `issuer` signed by any of `keys`.
    pub fn new(issuer: &str, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        install_crypto();
        let keys = keys.into_iter().map(|key| (key.kid(), (key, DecodingKey::from_ed_der(&key.0)))).collect();
        Self(Arc::new(Inner {
            issuer: issuer.to_owned(),
            keys,
            others: BTreeMap::new(),
            seen: Seen::default(),
        }))
    }

    /// The same, and keys of `others` too.
    #[must_use]
    pub fn with_issuers(self, others: impl IntoIterator<Item = Issuer>) -> Self {
        let others = others.into_iter().map(|other| (other.terms().iss.clone(), other)).collect();
        let (issuer, keys) = (self.0.issuer.clone(), self.0.keys.clone());
        Self(Arc::new(Inner { issuer, keys, others, seen: Seen::default() }))
    }

    /// Verifies `token`, shown by someone who wants to publish into `room` (the RTMP app as sent).
    ///
    /// # Errors
    /// The first reason not to accept it, in the order of [`LiveKeyError`]'s variants down to the signature.
    pub fn verify(&self, token: &[u8], room: &str, now: UnixMs) -> Result<VerifiedKey, LiveKeyError> {
        if token.is_empty() {
            return Err(LiveKeyError::Empty);
        }
        if token.len() > LiveKey::BYTES_MAX {
            return Err(LiveKeyError::TooLong { len: token.len(), max: LiveKey::BYTES_MAX });
        }
        let whole = token;
        let token = Compact::split(token).ok_or(LiveKeyError::Malformed)?;
        let header = token.header().ok_or(LiveKeyError::Malformed)?;
        let Some((_, key)) = header.kid.as_ref().and_then(|kid| self.0.keys.get(kid)) else {
            return self.verify_other(&token, &header, room, now);
        };
        if header.alg != ALGORITHM_NAME {
            return Err(LiveKeyError::BadSignature);
        }
        let check = || token.is_signed_by(key, Algorithm::EdDSA).ok_or(LiveKeyError::Malformed);
        if !self.0.seen.is_good(whole, check)? {
            return Err(LiveKeyError::BadSignature);
        }
        let claims = token.claims().ok_or(LiveKeyError::Malformed)?.0;
        claims::check(&claims, &self.0.issuer, room, now)
    }

    /// A token that none of our keys signed. It says who did; that one's keys tell whether it is true.
    fn verify_other(
        &self,
        token: &Compact<'_>,
        header: &Header,
        room: &str,
        now: UnixMs,
    ) -> Result<VerifiedKey, LiveKeyError> {
        if self.0.others.is_empty() {
            return Err(LiveKeyError::UnknownSigner);
        }
        let claims = token.claims().ok_or(LiveKeyError::Malformed)?.0;
        let issuer = claims.get("iss").and_then(Value::as_str).and_then(|iss| self.0.others.get(iss));
        let issuer = issuer.ok_or(LiveKeyError::UnknownSigner)?;
        let key = issuer.key(header.kid.as_deref()).ok_or(LiveKeyError::UnknownSigner)?;
        if header.alg != key.name {
            return Err(LiveKeyError::BadSignature);
        }
        if !token.is_signed_by(&key.decoding, key.algorithm).ok_or(LiveKeyError::Malformed)? {
            return Err(LiveKeyError::BadSignature);
        }
        issuer.check(&claims, room, now)
    }

    /// The other issuer that says `iss` of itself.
    pub(super) fn other(&self, iss: &str) -> Option<&Issuer> {
        self.0.others.get(iss)
    }

    /// The public keys as a JWK set (RFC 7517, RFC 8037), for whoever wants to verify live keys elsewhere.
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self
            .0
            .keys
            .iter()
            .map(|(kid, (key, _))| {
                json!({
                    "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                    "kid": kid, "x": URL_SAFE_NO_PAD.encode(key.0),
                })
            })
            .collect();
        json!({ "keys": keys })
    }
}

impl fmt::Debug for LiveKeyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKeyVerifier")
            .field("issuer", &self.0.issuer)
            .field("kids", &self.0.keys.keys().collect::<Vec<_>>())
            .field("others", &self.0.others.keys().collect::<Vec<_>>())
            .finish()
    }
}
