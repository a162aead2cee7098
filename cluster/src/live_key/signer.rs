//! What the Manager holds: the private key that makes live keys. Never printed, wiped from memory when dropped.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::claims::{AUDIENCE, Claims};
use super::{LiveKey, LiveKeyVerifier, PublicKey};
use crate::ids::{LiveKeyId, ProducerId, RoomId};
use crate::time::UnixMs;
use crate::token::install_crypto;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Why a signing key or a live key could not be made. Carries no part of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The cryptographic library could not make a key.
    #[error("no signing key could be generated")]
    Generate,
    /// Not one PKCS#8 PEM block with an Ed25519 key in it.
    #[error("this is not an Ed25519 private key in PKCS#8 PEM form")]
    NotAKey,
    /// An issuer is 1 to 128 printable ASCII characters without quotes and backslashes.
    #[error("an issuer is 1 to {max} printable characters", max = LiveKeySigner::ISSUER_BYTES_MAX)]
    Issuer,
    /// The key id is not of the room's shard, so the key could never be found.
    #[error("this live key id belongs to another shard than the room")]
    WrongShard,
    /// The cryptographic library could not sign.
    #[error("the live key could not be signed")]
    Sign,
    /// Cannot happen with bounded ids; checked all the same, since OBS would fail without a word.
    #[error("the live key would have {0} bytes")]
    TooLong(usize),
}

/// Makes live keys.
pub struct LiveKeySigner {
    issuer: String,
    kid: String,
    public: PublicKey,
    /// PKCS#8 (RFC 8410), as `EncodingKey` and the key file want it.
    pkcs8: Zeroizing<Vec<u8>>,
    key: EncodingKey,
}

impl LiveKeySigner {
    /// The longest issuer with which the longest ids still fit into [`LiveKey::BYTES_MAX`].
    pub const ISSUER_BYTES_MAX: usize = 128;

    /// A new signing key for live keys of `issuer` (the cluster's name).
    ///
    /// # Errors
    /// [`SignerError::Generate`] and [`SignerError::Issuer`].
    pub fn generate(issuer: &str) -> Result<Self, SignerError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| SignerError::Generate)?;
        Self::of(issuer, &pair)
    }

    /// The signing key in a PEM file, as [`Self::to_pem`] or `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`SignerError::NotAKey`] and [`SignerError::Issuer`].
    pub fn from_pem(issuer: &str, pem: &str) -> Result<Self, SignerError> {
        let body = pem.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
        let body = body.ok_or(SignerError::NotAKey)?;
        let base64: Zeroizing<String> =
            Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        let der = Zeroizing::new(STANDARD.decode(base64.as_bytes()).map_err(|_| SignerError::NotAKey)?);
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| SignerError::NotAKey)?;
        Self::of(issuer, &pair)
    }

    fn of(issuer: &str, pair: &Ed25519KeyPair) -> Result<Self, SignerError> {
        let printable = issuer.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if issuer.is_empty() || issuer.len() > Self::ISSUER_BYTES_MAX || !printable {
            return Err(SignerError::Issuer);
        }
        install_crypto();
        let document = pair.to_pkcs8v1().map_err(|_| SignerError::Generate)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| SignerError::NotAKey)?;
        let public = PublicKey(public);
        let key = EncodingKey::from_ed_der(&pkcs8);
        Ok(Self { issuer: issuer.to_owned(), kid: public.kid(), public, pkcs8, key })
    }

    /// The private key for its file. The file must be readable by its owner only.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let base64 = Zeroizing::new(STANDARD.encode(&*self.pkcs8));
        Zeroizing::new(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", *base64))
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// A verifier of this signer's keys.
    pub fn verifier(&self) -> LiveKeyVerifier {
        LiveKeyVerifier::new(&self.issuer, [self.public])
    }

    /// Makes the live key `live_key_id`, which lets `producer` publish into `room` from `not_before` until `expires`.
    /// Both times are cut to whole seconds.
    ///
    /// # Errors
    /// [`SignerError::WrongShard`] for a `live_key_id` made for a room of another shard; else only library failures.
    pub fn mint(
        &self,
        room: &RoomId,
        producer: &ProducerId,
        live_key_id: &LiveKeyId,
        not_before: UnixMs,
        expires: UnixMs,
    ) -> Result<LiveKey, SignerError> {
        if live_key_id.shard() != Some(room.shard()) {
            return Err(SignerError::WrongShard);
        }
        let claims = Claims {
            iss: &self.issuer,
            aud: AUDIENCE,
            sub: producer.as_str(),
            room: room.as_str(),
            jti: live_key_id.as_str(),
            nbf: not_before.0 / 1_000,
            exp: expires.0 / 1_000,
        };
        let token = self.sign(&claims)?;
        if token.len() > LiveKey::BYTES_MAX {
            return Err(SignerError::TooLong(token.len()));
        }
        Ok(LiveKey::new(token))
    }

    /// Whose keys these are: the cluster's name.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token that says `claims`, in compact form.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, SignerError> {
        let mut header = Header::new(Algorithm::EdDSA);
        // `typ` would say nothing that the place of a live key does not; every byte counts.
        header.typ = None;
        header.kid = Some(self.kid.clone());
        install_crypto();
        jsonwebtoken::encode(&header, claims, &self.key).map_err(|_| SignerError::Sign)
    }
}

impl fmt::Debug for LiveKeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKeySigner")
            .field("issuer", &self.issuer)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
