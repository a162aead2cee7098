//! The public keys of an issuer: read from a JSON Web Key Set (RFC 7517), each with the one algorithm that it is for.
//!
//! The algorithm is a property of the key, never of a token (RFC 8725 §3.1): Ed25519 verifies `EdDSA`, P-256 `ES256`, RSA
//! `RS256`, and nothing else. Keys for other uses, or of kinds that we do not know, are left out.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use thiserror::Error;

use super::PublicKey;
use crate::token::install_crypto;

/// Public keys, found by the `kid` of a token. Without a `kid`, a token is of the only key there is.
#[derive(Clone, Default)]
pub struct KeySet(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    kid: Option<String>,
    key: IssuerKey,
}

/// A key, and how it signs.
#[derive(Clone)]
pub(super) struct IssuerKey {
    pub(super) decoding: DecodingKey,
    pub(super) algorithm: Algorithm,
    /// As a token's header names it.
    pub(super) name: &'static str,
}

/// Why a text is no set of keys that could verify anything.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Not JSON of that form.
    #[error("this is no JSON Web Key Set: {0}")]
    NoKeySet(String),
    /// A key of a kind that we know, damaged.
    #[error("the key {kid:?} is damaged or too short")]
    BadKey {
        /// Its name.
        kid: String,
    },
    /// Two of one name.
    #[error("two keys are named {kid:?}")]
    TwoOfOneName {
        /// The name.
        kid: String,
    },
    /// None that could verify a signature.
    #[error("none of its keys can verify EdDSA (Ed25519), ES256 (P-256) or RS256 (RSA)")]
    Empty,
    /// Too many to be meant.
    #[error("it has more than {max} keys", max = KeySet::KEYS_MAX)]
    TooMany,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

/// The members that we look at. Whatever else stands there is not for us.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// Keys of one set.
    pub const KEYS_MAX: usize = 64;
    /// RSA keys have 2048 to 4096 bits: fewer are broken (NIST SP 800-131A), more cost too much to check.
    const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

    /// Reads a key set.
    ///
    /// # Errors
    /// See [`KeySetError`]. Nothing is taken from a set that is wrong in part.
    pub fn from_json(text: &[u8]) -> Result<Self, KeySetError> {
        let Document { keys } =
            serde_json::from_slice(text).map_err(|e| KeySetError::NoKeySet(e.to_string()))?;
        if keys.len() > Self::KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let mut set = Self::default();
        for jwk in keys.into_iter().filter(Jwk::is_for_signatures) {
            let bad = || KeySetError::BadKey { kid: jwk.kid.clone().unwrap_or_default() };
            if let Some(key) = jwk.key().ok_or_else(bad)? {
                set.add(jwk.kid, key)?;
            }
        }
        if set.0.is_empty() { Err(KeySetError::Empty) } else { Ok(set) }
    }

    /// Ed25519 keys, each named by its thumbprint. A token without a `kid` is of the only one.
    pub fn of(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        install_crypto();
        let entry = |key: PublicKey| Entry { kid: Some(key.kid()), key: IssuerKey::ed25519(&key.0) };
        Self(keys.into_iter().map(entry).collect())
    }

    /// The keys of both sets.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, kid: Option<String>, key: IssuerKey) -> Result<(), KeySetError> {
        if let Some(kid) =
            kid.as_ref().filter(|kid| self.0.iter().any(|entry| entry.kid.as_ref() == Some(*kid)))
        {
            return Err(KeySetError::TwoOfOneName { kid: kid.clone() });
        }
        self.0.push(Entry { kid, key });
        Ok(())
    }

    /// The key that a token with this `kid` must be signed with.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&IssuerKey> {
        match (kid, &self.0[..]) {
            (Some(kid), entries) => entries.iter().find(|entry| entry.kid.as_deref() == Some(kid)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
        .map(|entry| &entry.key)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| (&entry.kid, entry.key.name))).finish()
    }
}

impl Jwk {
    fn is_for_signatures(&self) -> bool {
        self.used_for.as_deref().is_none_or(|used_for| used_for == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }

    /// `Some(None)` for a key of another kind, `None` for one that is damaged.
    fn key(&self) -> Option<Option<IssuerKey>> {
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => {
                let x = bytes(self.x.as_deref())?;
                IssuerKey::ed25519(&<[u8; 32]>::try_from(x).ok()?)
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (self.x.as_deref()?, self.y.as_deref()?);
                let is_whole = |part| bytes(Some(part)).is_some_and(|part| part.len() == 32);
                if !is_whole(x) || !is_whole(y) {
                    return None;
                }
                let decoding = DecodingKey::from_ec_components(x, y).ok()?;
                IssuerKey { decoding, algorithm: Algorithm::ES256, name: "ES256" }
            }
            ("RSA", _) => {
                let (n, e) = (self.n.as_deref()?, self.e.as_deref()?);
                let modulus = bytes(Some(n))?;
                let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
                if !KeySet::RSA_BYTES.contains(&significant) {
                    return None;
                }
                let decoding = DecodingKey::from_rsa_components(n, e).ok()?;
                IssuerKey { decoding, algorithm: Algorithm::RS256, name: "RS256" }
            }
            _ => return Some(None),
        };
        // A key that says it is for another algorithm is for that one, which we do not do.
        let is_ours = self.alg.as_deref().is_none_or(|alg| alg == key.name);
        Some(is_ours.then_some(key))
    }
}

impl IssuerKey {
    fn ed25519(key: &[u8; 32]) -> Self {
        Self { decoding: DecodingKey::from_ed_der(key), algorithm: Algorithm::EdDSA, name: "EdDSA" }
    }
}

fn bytes(part: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.2.
    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    /// RFC 7517 appendix A.1.
    const P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"b","use":"sig",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

    fn set(keys: &[&str]) -> Result<KeySet, KeySetError> {
        KeySet::from_json(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    #[test]
    fn each_key_is_for_the_algorithm_of_its_kind() {
        let set = set(&[ED25519, P256]).unwrap();
        assert_eq!(set.find(Some("a")).map(|key| key.name), Some("EdDSA"));
        assert_eq!(set.find(Some("b")).map(|key| key.name), Some("ES256"));
        assert!(set.find(Some("c")).is_none() && set.find(None).is_none());
    }

    #[test]
    fn a_token_without_a_kid_is_of_the_only_key() {
        assert!(set(&[P256]).unwrap().find(None).is_some());
    }

    #[test]
    fn what_cannot_verify_is_left_out_and_what_is_damaged_is_refused() {
        let other = [
            r#"{"kty":"oct","k":"c2VjcmV0"}"#,
            r#"{"kty":"EC","crv":"P-384","x":"x","y":"y"}"#,
            r#"{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","key_ops":["sign"],"x":"x"}"#,
        ];
        assert_eq!(set(&other).unwrap_err(), KeySetError::Empty);
        assert_eq!(set(&[&other[..], &[P256]].concat()).unwrap().len(), 1);
        let other_algorithm = P256.replace(r#""use":"sig""#, r#""alg":"ES384""#);
        assert_eq!(set(&[&other_algorithm]).unwrap_err(), KeySetError::Empty);
        for damaged in [
            r#"{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AAAA"}"#,
            r#"{"kty":"EC","crv":"P-256","kid":"k","x":"AAAA","y":"AAAA"}"#,
            r#"{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"k"}"#,
        ] {
            assert_eq!(
                set(&[damaged]).unwrap_err(),
                KeySetError::BadKey { kid: "k".to_owned() },
                "{damaged}"
            );
        }
        assert!(matches!(set(&[P256, P256]), Err(KeySetError::TwoOfOneName { .. })));
        assert!(matches!(KeySet::from_json(b"<html>"), Err(KeySetError::NoKeySet(_))));
        assert_eq!(set(&vec![P256; 65]).unwrap_err(), KeySetError::TooMany);
    }
}
