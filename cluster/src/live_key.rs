//! Live keys: the JWT (RFC 7519) that lets its bearer publish into one room. Made by a [`LiveKeySigner`], checked by a
//! [`LiveKeyVerifier`], and never printed by anything here.
//!
//! Form: header `{alg: EdDSA, kid}`; claims `iss`, `aud` = `ingest`, `sub` = producer, `room`, `jti` = live key id, `nbf`,
//! `exp`, all required. The `kid` chooses one of *our* keys and that key alone says the algorithm (RFC 8725 §3.1); `jwk`,
//! `jku` and `x5u` in a header are not looked at. At most [`LiveKey::BYTES_MAX`] long, whatever the ids.

mod api_bearer;
mod claims;
mod error;
mod issuer;
mod key_set;
mod seen;
mod signer;
mod verifier;

#[cfg(test)]
mod tests;

use std::fmt;

use zeroize::Zeroizing;

pub use api_bearer::ApiBearer;
pub use claims::LEEWAY;
pub use error::LiveKeyError;
pub use issuer::{Issuer, IssuerTerms};
pub use key_set::{KeySet, KeySetError};
pub use signer::{LiveKeySigner, SignerError};
pub use verifier::{LiveKeyVerifier, PublicKey, VerifiedKey};

/// A live key as text: a secret. Wiped from memory when dropped; neither `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveKey(Zeroizing<String>);

impl LiveKey {
    /// OBS Studio fails without a word when its stream key is longer than this.
    pub const BYTES_MAX: usize = 974;

    pub(crate) fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    /// The secret itself. The name is there to be searched for: only the answer that hands out an address needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveKey(…)")
    }
}
