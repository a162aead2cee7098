//! What one node shows another when it pulls a room from it: a JWT that lives for half a minute and opens one room at one epoch.
//!
//! Form: header `{alg: HS256}`; claims `aud` = `relay`, `sub` = the calling node, `room`, `epoch`, `iat`, `exp`, all required.
//! Every node has the key, derived from the cluster's secret and its name, so nodes of two clusters that share a secret by
//! mistake still refuse each other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::Serialize;
use thiserror::Error;

use crate::ids::{Epoch, NodeId, RoomId};
use crate::live_key::LEEWAY;
use crate::time::UnixMs;
use crate::token::{Bearer, Compact, TokenError, install_crypto};

/// The only audience that opens the door between nodes.
const AUDIENCE: &str = "relay";
const ALGORITHM_NAME: &str = "HS256";
/// The longest ids make about 560 bytes.
const BYTES_MAX: usize = 1_024;
/// Keeps this key apart from any other that may be made from the same secret one day.
const PURPOSE: &[u8] = b"onair relay token 1\0";

/// How long a token lives: as long as the slowest connect and handshake may take, and clocks that differ a little.
pub const LIFETIME: Duration = Duration::from_secs(30);

/// The secret is too short to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the cluster's secret needs at least {min} bytes", min = RelayKey::SECRET_BYTES_MIN)]
pub struct WeakSecret;

/// Makes and checks the tokens of one cluster. Cheap to clone; prints nothing of the key.
#[derive(Clone)]
pub struct RelayKey(Arc<Keys>);

struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// Who may pull what. The node is as it says of itself: any node of the cluster could have said another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayPass {
    /// The caller.
    pub node: NodeId,
    /// The room.
    pub room: RoomId,
    /// The one epoch of it.
    pub epoch: Epoch,
}

#[derive(Serialize)]
struct Said<'a> {
    aud: &'a str,
    sub: &'a str,
    room: &'a str,
    epoch: u64,
    iat: u64,
    exp: u64,
}

impl RelayKey {
    /// The shortest secret: anything shorter could be guessed.
    pub const SECRET_BYTES_MIN: usize = 16;

    /// The key of the cluster `name` with the shared `secret`.
    ///
    /// # Errors
    /// [`WeakSecret`] for a secret shorter than [`Self::SECRET_BYTES_MIN`] bytes.
    pub fn derive(name: &str, secret: &str) -> Result<Self, WeakSecret> {
        if secret.len() < Self::SECRET_BYTES_MIN {
            return Err(WeakSecret);
        }
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let key = hmac::sign(&root, &[PURPOSE, name.as_bytes()].concat());
        install_crypto();
        let (encoding, decoding) =
            (EncodingKey::from_secret(key.as_ref()), DecodingKey::from_secret(key.as_ref()));
        Ok(Self(Arc::new(Keys { encoding, decoding })))
    }

    /// A token for `pass`, good for [`LIFETIME`] from `now` on.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] when the library cannot sign, which does not happen with a key of ours.
    pub fn mint(&self, pass: &RelayPass, now: UnixMs) -> Result<Bearer, TokenError> {
        let said = Said {
            aud: AUDIENCE,
            sub: pass.node.as_str(),
            room: pass.room.as_str(),
            epoch: pass.epoch.0,
            iat: now.0 / 1_000,
            exp: now.plus(LIFETIME).0 / 1_000,
        };
        install_crypto();
        let header = jsonwebtoken::Header::new(Algorithm::HS256);
        let token = jsonwebtoken::encode(&header, &said, &self.0.encoding);
        token.map(Bearer::new).map_err(|_| TokenError::Malformed)
    }

    /// Checks a token that was shown for `room`.
    ///
    /// # Errors
    /// The first reason not to accept it.
    pub fn verify(&self, token: &[u8], room: &RoomId, now: UnixMs) -> Result<RelayPass, TokenError> {
        if token.is_empty() || token.len() > BYTES_MAX {
            return Err(TokenError::Length);
        }
        let token = Compact::split(token).ok_or(TokenError::Malformed)?;
        if token.header().ok_or(TokenError::Malformed)?.alg != ALGORITHM_NAME {
            return Err(TokenError::BadSignature);
        }
        if !token.is_signed_by(&self.0.decoding, Algorithm::HS256).ok_or(TokenError::Malformed)? {
            return Err(TokenError::BadSignature);
        }
        let claims = token.claims().ok_or(TokenError::Malformed)?;
        claims.is_for(AUDIENCE)?;
        let node = NodeId::parse(claims.text("sub")?).map_err(|_| TokenError::BadClaim("sub"))?;
        let said = RoomId::parse(claims.text("room")?).map_err(|_| TokenError::BadClaim("room"))?;
        let epoch = Epoch(claims.number("epoch")?);
        let (made, until) = (claims.seconds("iat")?, claims.seconds("exp")?);
        if now.plus(LEEWAY) < made {
            return Err(TokenError::NotYetValid);
        }
        if until.plus(LEEWAY) <= now {
            return Err(TokenError::Expired);
        }
        if until > made.plus(LIFETIME) {
            return Err(TokenError::BadClaim("exp"));
        }
        if said != *room {
            return Err(TokenError::WrongRoom);
        }
        Ok(RelayPass { node, room: said, epoch })
    }
}

impl fmt::Debug for RelayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn key() -> RelayKey {
        RelayKey::derive("onair", "a secret of enough bytes").unwrap()
    }

    fn pass() -> RelayPass {
        let (node, room) = (NodeId::parse("node-b").unwrap(), RoomId::parse("room").unwrap());
        RelayPass { node, room, epoch: Epoch(1_700_000_000_000_001) }
    }

    /// A token of our own key that says whatever it likes.
    fn says(change: impl FnOnce(&mut Value)) -> Result<RelayPass, TokenError> {
        let mut said = json!({
            "aud": "relay", "sub": "node-b", "room": "room", "epoch": 7, "iat": NOW.0 / 1_000, "exp": NOW.0 / 1_000 + 30,
        });
        change(&mut said);
        let header = jsonwebtoken::Header::new(Algorithm::HS256);
        let token = jsonwebtoken::encode(&header, &said, &key().0.encoding).unwrap();
        key().verify(token.as_bytes(), &pass().room, NOW)
    }

    #[test]
    fn a_token_opens_its_room_at_its_epoch_for_half_a_minute() {
        let token = key().mint(&pass(), NOW).unwrap();
        let verify = |now| key().verify(token.expose().as_bytes(), &pass().room, now);
        assert_eq!(verify(NOW), Ok(pass()));
        assert_eq!(verify(NOW.plus(LIFETIME)), Ok(pass()), "clocks differ a little");
        assert_eq!(verify(NOW.plus(LIFETIME + LEEWAY)), Err(TokenError::Expired));
        assert_eq!(verify(NOW.minus(Duration::from_secs(6))), Err(TokenError::NotYetValid));
        let elsewhere = RoomId::parse("elsewhere").unwrap();
        assert_eq!(key().verify(token.expose().as_bytes(), &elsewhere, NOW), Err(TokenError::WrongRoom));
    }

    #[test]
    fn another_secret_and_another_cluster_are_refused() {
        let token = key().mint(&pass(), NOW).unwrap();
        for (name, secret) in
            [("onair", "another secret of enough bytes"), ("other", "a secret of enough bytes")]
        {
            let other = RelayKey::derive(name, secret).unwrap();
            let verified = other.verify(token.expose().as_bytes(), &pass().room, NOW);
            assert_eq!(verified, Err(TokenError::BadSignature), "{name}");
        }
        assert_eq!(RelayKey::derive("onair", "too short").err(), Some(WeakSecret));
    }

    #[test]
    fn every_claim_is_required_in_its_form() {
        assert!(says(|_| ()).is_ok());
        for name in ["aud", "sub", "room", "epoch", "iat", "exp"] {
            let without = says(|said| {
                said.as_object_mut().unwrap().remove(name);
            });
            assert_eq!(without, Err(TokenError::MissingClaim(name)));
            assert_eq!(says(|said| said[name] = Value::Null), Err(TokenError::BadClaim(name)));
        }
        assert_eq!(says(|said| said["aud"] = "play".into()), Err(TokenError::WrongAudience));
        assert_eq!(says(|said| said["epoch"] = "7".into()), Err(TokenError::BadClaim("epoch")));
        let long = NOW.0 / 1_000 + 31;
        assert_eq!(says(|said| said["exp"] = long.into()), Err(TokenError::BadClaim("exp")));
    }

    #[test]
    fn what_is_no_token_of_ours_is_refused() {
        let verify = |token: &[u8]| key().verify(token, &pass().room, NOW);
        assert_eq!(verify(b""), Err(TokenError::Length));
        assert_eq!(verify(&[b'a'; BYTES_MAX + 1]), Err(TokenError::Length));
        assert_eq!(verify(b"a.b"), Err(TokenError::Malformed));
        let good = key().mint(&pass(), NOW).unwrap();
        let (_, rest) = good.expose().split_once('.').unwrap();
        // {"alg":"none"} and {"alg":"HS512"}
        for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzUxMiJ9"] {
            assert_eq!(verify(format!("{header}.{rest}").as_bytes()), Err(TokenError::BadSignature));
        }
        let cut = &good.expose()[..good.expose().len() - 1];
        assert!(matches!(verify(cut.as_bytes()), Err(TokenError::BadSignature | TokenError::Malformed)));
        assert!(!format!("{good:?} {:?}", key()).contains(rest));
    }
}
