//! What a viewer shows when the cluster does not let everyone play: a JWT, signed like a live key, that opens one room for players.
//!
//! Form: header `{alg: EdDSA, kid}`; claims `iss`, `aud` = `play`, `room`, `exp`, all required. The `kid` chooses one of *our*
//! keys, and that key alone says the algorithm. The token gates the start: who plays stays when it expires.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Serialize;

use crate::ids::RoomId;
use crate::live_key::{LEEWAY, LiveKeySigner, PublicKey, SignerError};
use crate::time::UnixMs;
use crate::token::{Bearer, Compact, TokenError, install_crypto};

/// The only audience that opens the players' door.
const AUDIENCE: &str = "play";
const ALGORITHM_NAME: &str = "EdDSA";
/// The longest issuer and room make about 500 bytes.
const BYTES_MAX: usize = 1_024;

#[derive(Serialize)]
struct Said<'a> {
    iss: &'a str,
    aud: &'a str,
    room: &'a str,
    exp: u64,
}

impl LiveKeySigner {
    /// Makes a token that lets its bearer start playing `room` until `expires`, which is cut to whole seconds.
    ///
    /// # Errors
    /// [`SignerError::Sign`], when the library fails.
    pub fn mint_play(&self, room: &RoomId, expires: UnixMs) -> Result<Bearer, SignerError> {
        let said = Said { iss: self.issuer(), aud: AUDIENCE, room: room.as_str(), exp: expires.0 / 1_000 };
        self.sign(&said).map(Bearer::new)
    }
}

/// Checks viewers' tokens. Holds public keys only; cheap to clone.
#[derive(Clone)]
pub struct PlayVerifier(Arc<Inner>);

struct Inner {
    issuer: String,
    keys: BTreeMap<String, DecodingKey>,
}

impl PlayVerifier {
    /// Accepts tokens of `issuer` (the cluster's name) signed by any of `keys`.
    pub fn new(issuer: &str, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        install_crypto();
        let keys = keys.into_iter().map(|key| (key.kid(), DecodingKey::from_ed_der(&key.0))).collect();
        Self(Arc::new(Inner { issuer: issuer.to_owned(), keys }))
    }

    /// Checks `token`, shown by someone who wants to play `room`.
    ///
    /// # Errors
    /// The first reason not to accept it. Viewers are not told which.
    pub fn verify(&self, token: &[u8], room: &RoomId, now: UnixMs) -> Result<(), TokenError> {
        if token.is_empty() || token.len() > BYTES_MAX {
            return Err(TokenError::Length);
        }
        let token = Compact::split(token).ok_or(TokenError::Malformed)?;
        let header = token.header().ok_or(TokenError::Malformed)?;
        let key = header.kid.and_then(|kid| self.0.keys.get(&kid)).ok_or(TokenError::BadSignature)?;
        if header.alg != ALGORITHM_NAME {
            return Err(TokenError::BadSignature);
        }
        if !token.is_signed_by(key, Algorithm::EdDSA).ok_or(TokenError::Malformed)? {
            return Err(TokenError::BadSignature);
        }
        let claims = token.claims().ok_or(TokenError::Malformed)?;
        if claims.text("iss")? != self.0.issuer {
            return Err(TokenError::WrongIssuer);
        }
        claims.is_for(AUDIENCE)?;
        let said = RoomId::parse(claims.text("room")?).map_err(|_| TokenError::BadClaim("room"))?;
        if claims.seconds("exp")?.plus(LEEWAY) <= now {
            return Err(TokenError::Expired);
        }
        if said == *room { Ok(()) } else { Err(TokenError::WrongRoom) }
    }
}

impl fmt::Debug for PlayVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlayVerifier").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::ids::{LiveKeyId, ProducerId};

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    struct Stage {
        signer: LiveKeySigner,
        verifier: PlayVerifier,
        room: RoomId,
    }

    impl Stage {
        fn new() -> Self {
            let signer = LiveKeySigner::generate("onair").unwrap();
            let verifier = PlayVerifier::new("onair", [signer.public_key()]);
            Self { signer, verifier, room: RoomId::parse("room").unwrap() }
        }
        fn verify(&self, token: &str, now: UnixMs) -> Result<(), TokenError> {
            self.verifier.verify(token.as_bytes(), &self.room, now)
        }
        fn says(&self, change: impl FnOnce(&mut Value)) -> Result<(), TokenError> {
            let mut said =
                json!({ "iss": "onair", "aud": "play", "room": "room", "exp": NOW.0 / 1_000 + 60 });
            change(&mut said);
            self.verify(&self.signer.sign(&said).unwrap(), NOW)
        }
    }

    #[test]
    fn a_token_opens_its_room_until_it_expires() {
        let stage = Stage::new();
        let until = NOW.plus(Duration::from_secs(60));
        let token = stage.signer.mint_play(&stage.room, until).unwrap();
        assert_eq!(stage.verify(token.expose(), NOW), Ok(()));
        assert_eq!(stage.verify(token.expose(), until.plus(LEEWAY)), Err(TokenError::Expired));
        let elsewhere = RoomId::parse("elsewhere").unwrap();
        let verified = stage.verifier.verify(token.expose().as_bytes(), &elsewhere, NOW);
        assert_eq!(verified, Err(TokenError::WrongRoom));
        assert!(!format!("{token:?}").contains(token.expose()));
    }

    #[test]
    fn every_claim_is_required_in_its_form() {
        let stage = Stage::new();
        assert_eq!(stage.says(|_| ()), Ok(()));
        for name in ["iss", "aud", "room", "exp"] {
            let without = stage.says(|said| {
                said.as_object_mut().unwrap().remove(name);
            });
            assert_eq!(without, Err(TokenError::MissingClaim(name)));
            assert_eq!(stage.says(|said| said[name] = Value::Null), Err(TokenError::BadClaim(name)));
        }
        assert_eq!(stage.says(|said| said["iss"] = "other".into()), Err(TokenError::WrongIssuer));
        assert_eq!(stage.says(|said| said["aud"] = "ingest".into()), Err(TokenError::WrongAudience));
    }

    #[test]
    fn a_live_key_opens_no_players_door_and_a_play_token_no_publishers() {
        let stage = Stage::new();
        let until = NOW.plus(Duration::from_secs(60));
        let producer = ProducerId::parse("p").unwrap();
        let id = LiveKeyId::random(&stage.room);
        let live_key = stage.signer.mint(&stage.room, &producer, &id, NOW, until).unwrap();
        assert_eq!(stage.verify(live_key.expose(), NOW), Err(TokenError::WrongAudience));
        let token = stage.signer.mint_play(&stage.room, until).unwrap();
        assert!(stage.signer.verifier().verify(token.expose().as_bytes(), "room", NOW).is_err());
    }

    #[test]
    fn what_is_no_token_of_ours_is_refused() {
        let stage = Stage::new();
        let other = LiveKeySigner::generate("onair").unwrap();
        let foreign = other.mint_play(&stage.room, NOW.plus(Duration::from_secs(60))).unwrap();
        assert_eq!(stage.verify(foreign.expose(), NOW), Err(TokenError::BadSignature));
        assert_eq!(stage.verify("", NOW), Err(TokenError::Length));
        assert_eq!(stage.verify(&"a".repeat(BYTES_MAX + 1), NOW), Err(TokenError::Length));
        assert_eq!(stage.verify("a.b.c", NOW), Err(TokenError::Malformed));
    }
}
