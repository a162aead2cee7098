//! Live keys: every way in which one is wrong has its own reason, and none is ever printed.
//!
//! Method: a forger with the signer's own private key writes whatever header and claims a test wants.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::ids::{LiveKeyId, ProducerId, RoomId};
use crate::time::UnixMs;

const NOW: UnixMs = UnixMs(1_800_000_000_000);
const ROOM: &str = "demo";

struct Fixture {
    signer: LiveKeySigner,
    pair: Ed25519KeyPair,
    room: RoomId,
    producer: ProducerId,
    id: LiveKeyId,
}

fn fixture() -> Fixture {
    let signer = LiveKeySigner::generate("onair").unwrap();
    let pem = signer.to_pem();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = Ed25519KeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap();
    let room = RoomId::parse(ROOM).unwrap();
    let id = LiveKeyId::random(&room);
    Fixture { signer, pair, room, producer: ProducerId::parse("user:42").unwrap(), id }
}

impl Fixture {
    fn mint(&self) -> LiveKey {
        self.mint_for(NOW, UnixMs(NOW.0 + 60_000))
    }

    fn mint_for(&self, from: UnixMs, until: UnixMs) -> LiveKey {
        self.signer.mint(&self.room, &self.producer, &self.id, from, until).unwrap()
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "kid": self.signer.public_key().kid()})
    }

    fn claims(&self) -> Value {
        let seconds = NOW.0 / 1_000;
        json!({
            "iss": "onair", "aud": "ingest", "sub": "user:42", "room": ROOM, "jti": self.id.as_str(),
            "nbf": seconds, "exp": seconds + 60,
        })
    }

    /// Signed rightly, whatever it says.
    fn forge(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn verify(&self, token: &str) -> Result<VerifiedKey, LiveKeyError> {
        self.signer.verifier().verify(token.as_bytes(), ROOM, NOW)
    }

    fn verify_with(&self, claim: &str, value: Option<Value>) -> Result<VerifiedKey, LiveKeyError> {
        let mut claims = self.claims();
        let map = claims.as_object_mut().unwrap();
        match value {
            Some(value) => map.insert(claim.to_owned(), value),
            None => map.remove(claim),
        };
        self.verify(&self.forge(&self.header(), &claims))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

#[test]
fn a_minted_key_opens_its_room_and_says_whose_it_is() {
    let f = fixture();
    let expected = VerifiedKey {
        live_key_id: f.id.clone(),
        room_id: f.room.clone(),
        producer_id: f.producer.clone(),
        expires_at: UnixMs(NOW.0 + 60_000),
        issued: None,
    };
    assert_eq!(f.verify(f.mint().expose()), Ok(expected.clone()));
    // The forger writes what the signer writes, or the tests below would prove nothing.
    assert_eq!(f.verify(&f.forge(&f.header(), &f.claims())), Ok(expected));
}

#[test]
fn what_is_no_key_at_all_is_told_apart_from_what_is_too_long() {
    let f = fixture();
    assert_eq!(f.verify(""), Err(LiveKeyError::Empty));
    for length in [975, 4_000] {
        assert_eq!(f.verify(&"x".repeat(length)), Err(LiveKeyError::TooLong { len: length, max: 974 }));
    }
    let good = f.mint();
    let parts: Vec<&str> = good.expose().split('.').collect();
    for bad in [
        "a",
        "..",
        "a.b.c",
        &format!("{}.{}", parts[0], parts[1]),
        &format!("{}.{}.{}.", parts[0], parts[1], parts[2]),
        &format!("e30.{}.{}", parts[1], parts[2]),
        &format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
    ] {
        assert_eq!(f.verify(bad), Err(LiveKeyError::Malformed), "{bad}");
    }
    assert_eq!(f.signer.verifier().verify(b"\xff\xfe.\x00.\x01", ROOM, NOW), Err(LiveKeyError::Malformed));
    let claims_no_object = f.forge(&f.header(), &json!([1, 2, 3]));
    assert_eq!(f.verify(&claims_no_object), Err(LiveKeyError::Malformed));
}

#[test]
fn a_changed_key_or_one_of_another_signer_has_a_bad_signature_or_an_unknown_signer() {
    let f = fixture();
    let good = f.mint();
    let (message, signature) = good.expose().rsplit_once('.').unwrap();
    // Every single byte of the claims and of the signature counts.
    let claims_at = message.find('.').unwrap() + 1;
    for at in claims_at..message.len() {
        let mut bytes = message.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let token = format!("{}.{signature}", String::from_utf8(bytes).unwrap());
        assert_eq!(f.verify(&token), Err(LiveKeyError::BadSignature), "byte {at}");
    }
    assert_eq!(f.verify(&format!("{message}.")), Err(LiveKeyError::BadSignature));
    assert_eq!(f.verify(&format!("{message}.{}", &signature[..84])), Err(LiveKeyError::BadSignature));

    let other = LiveKeySigner::generate("onair").unwrap();
    let foreign = other.mint(&f.room, &f.producer, &f.id, NOW, UnixMs(NOW.0 + 60_000)).unwrap();
    assert_eq!(f.verify(foreign.expose()), Err(LiveKeyError::UnknownSigner));
    assert_eq!(f.verify(&f.forge(&json!({"alg": "EdDSA"}), &f.claims())), Err(LiveKeyError::UnknownSigner));
    // A verifier that knows both, as while keys are rotated, believes each under its own name only.
    let both = LiveKeyVerifier::new("onair", [f.signer.public_key(), other.public_key()]);
    assert!(both.verify(good.expose().as_bytes(), ROOM, NOW).is_ok());
    assert!(both.verify(foreign.expose().as_bytes(), ROOM, NOW).is_ok());
    let header = json!({"alg": "EdDSA", "kid": other.public_key().kid()});
    let misnamed = f.forge(&header, &f.claims());
    assert_eq!(both.verify(misnamed.as_bytes(), ROOM, NOW), Err(LiveKeyError::BadSignature));
}

#[test]
fn the_token_does_not_choose_its_own_algorithm_or_key() {
    let f = fixture();
    let kid = f.signer.public_key().kid();

    for alg in ["none", "None", "nOnE"] {
        let unsigned = unsigned(&json!({"alg": alg, "kid": kid}), &f.claims());
        for token in [format!("{unsigned}."), format!("{unsigned}.e30")] {
            assert_eq!(f.verify(&token), Err(LiveKeyError::BadSignature), "{alg}");
        }
    }

    // HMAC with what everybody knows: the public key's bytes, raw and as written in the JWK set.
    let public = f.signer.public_key();
    let x = URL_SAFE_NO_PAD.encode(public.0);
    for secret in [public.0.as_slice(), x.as_bytes()] {
        let message = unsigned(&json!({"alg": "HS256", "kid": kid}), &f.claims());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
        assert_eq!(f.verify(&token), Err(LiveKeyError::BadSignature));
    }

    // An attacker's own key, brought along in the header, signs rightly and opens nothing.
    let attacker = fixture();
    let jwk = attacker.signer.verifier().jwks()["keys"][0].clone();
    for (name, value) in
        [("jwk", jwk), ("jku", json!("https://evil.example/jwks")), ("x5u", json!("https://evil.example"))]
    {
        let mut header = json!({"alg": "EdDSA", "kid": kid});
        header[name] = value;
        let token = attacker.forge(&header, &f.claims());
        assert_eq!(f.verify(&token), Err(LiveKeyError::BadSignature), "{name}");
    }
}

#[test]
fn every_claim_is_required_and_must_be_of_its_type() {
    let f = fixture();
    for claim in ["iss", "aud", "sub", "room", "jti", "nbf", "exp"] {
        assert_eq!(f.verify_with(claim, None), Err(LiveKeyError::MissingClaim(claim)), "{claim}");
        for wrong in [json!(null), json!(true), json!({}), json!(["ingest"]), json!(-1), json!(1.5)] {
            assert_eq!(f.verify_with(claim, Some(wrong)), Err(LiveKeyError::BadClaim(claim)), "{claim}");
        }
    }
    for claim in ["nbf", "exp"] {
        assert_eq!(f.verify_with(claim, Some(json!("1800000000"))), Err(LiveKeyError::BadClaim(claim)));
    }
    for claim in ["iss", "aud", "sub", "room", "jti"] {
        assert_eq!(f.verify_with(claim, Some(json!(1_800_000_000))), Err(LiveKeyError::BadClaim(claim)));
    }
    for (claim, wrong) in [("sub", "a/b"), ("room", "../x"), ("jti", ""), ("jti", "99x"), ("jti", "00x")] {
        assert_eq!(f.verify_with(claim, Some(json!(wrong))), Err(LiveKeyError::BadClaim(claim)), "{wrong}");
    }
    assert_eq!(f.verify_with("exp", Some(json!(u64::MAX))).map(|key| key.expires_at.0), Ok(u64::MAX));
}

#[test]
fn keys_of_another_cluster_purpose_or_room_are_refused() {
    let f = fixture();
    assert_eq!(f.verify_with("iss", Some(json!("onair2"))), Err(LiveKeyError::WrongIssuer));
    assert_eq!(f.verify_with("aud", Some(json!("play"))), Err(LiveKeyError::WrongAudience));
    let key = f.mint();
    let verifier = f.signer.verifier();
    for room in ["demo2", "Demo", "", "demo/", "a b"] {
        assert_eq!(verifier.verify(key.expose().as_bytes(), room, NOW), Err(LiveKeyError::WrongRoom));
    }
}

#[test]
fn a_key_is_good_from_its_first_to_its_last_second_and_five_more_on_either_side() {
    let f = fixture();
    let (from, until) = (UnixMs(NOW.0 + 100_000), UnixMs(NOW.0 + 200_000));
    let key = f.mint_for(from, until);
    let at = |ms: u64| f.signer.verifier().verify(key.expose().as_bytes(), ROOM, UnixMs(ms)).map(|_| ());
    assert_eq!(at(from.0 - 5_001), Err(LiveKeyError::NotYetValid { from }));
    assert_eq!(at(from.0 - 5_000), Ok(()));
    assert_eq!(at(until.0 + 4_999), Ok(()));
    assert_eq!(at(until.0 + 5_000), Err(LiveKeyError::Expired { at: until }));
}

#[test]
fn the_longest_ids_still_make_a_key_that_obs_can_take() {
    let issuer = "i".repeat(LiveKeySigner::ISSUER_BYTES_MAX);
    let signer = LiveKeySigner::generate(&issuer).unwrap();
    let room = RoomId::parse(&"r".repeat(64)).unwrap();
    let producer = ProducerId::parse(&"p".repeat(128)).unwrap();
    let id = LiveKeyId::parse(&format!("{}{}", room.shard(), "k".repeat(62))).unwrap();
    let far = UnixMs(u64::MAX);
    let key = signer.mint(&room, &producer, &id, far, far).unwrap();
    assert!(key.expose().len() <= LiveKey::BYTES_MAX, "{} bytes", key.expose().len());

    let usual = fixture();
    let length = usual.mint().expose().len();
    assert!(length < 400, "an ordinary key has {length} bytes");
}

#[test]
fn a_key_is_not_minted_under_an_id_by_which_nobody_could_find_it() {
    let f = fixture();
    let elsewhere =
        (0..64).map(|n| format!("{n:02}abc")).find(|id| !id.starts_with(&f.room.shard().to_string()));
    let id = LiveKeyId::parse(&elsewhere.unwrap()).unwrap();
    let minted = f.signer.mint(&f.room, &f.producer, &id, NOW, NOW);
    assert_eq!(minted, Err(SignerError::WrongShard));
    for issuer in ["", "a b", "a\"b", "a\\b", "é", &"i".repeat(129)] {
        assert_eq!(LiveKeySigner::generate(issuer).err(), Some(SignerError::Issuer), "{issuer:?}");
    }
}

#[test]
fn a_signer_comes_back_from_its_file_and_nothing_else_does() {
    let f = fixture();
    let again = LiveKeySigner::from_pem("onair", &f.signer.to_pem()).unwrap();
    assert_eq!(again.public_key(), f.signer.public_key());
    assert!(again.verifier().verify(f.mint().expose().as_bytes(), ROOM, NOW).is_ok());
    // As written by `openssl genpkey -algorithm ed25519`.
    let openssl = "-----BEGIN PRIVATE KEY-----\r\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\r\n-----END PRIVATE KEY-----\r\n";
    assert!(LiveKeySigner::from_pem("onair", openssl).is_ok());
    for bad in
        ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "MC4CAQAwBQYDK2VwBCIEIA=="]
    {
        assert_eq!(LiveKeySigner::from_pem("onair", bad).err(), Some(SignerError::NotAKey));
    }
}

#[test]
fn the_jwk_set_holds_public_keys_under_their_thumbprints() {
    let f = fixture();
    let jwks = f.signer.verifier().jwks();
    let key = &jwks["keys"][0];
    assert_eq!(key["kid"], f.signer.public_key().kid());
    assert_eq!(key["x"], URL_SAFE_NO_PAD.encode(f.signer.public_key().0));
    assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")));
    assert!(key.get("d").is_none());
    // RFC 8037 appendix A.3: the key, and the beginning of its thumbprint.
    let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    assert_eq!(PublicKey(x.try_into().unwrap()).kid(), "kPrK_qmxVWaY");
}

#[test]
fn nothing_that_can_be_printed_holds_a_secret() {
    let f = fixture();
    let key = f.mint();
    let pem = f.signer.to_pem();
    let secret_line = pem.lines().nth(1).unwrap();
    let mut printed = format!("{key:?} {key:#?} {:?} {:#?} {:?}", f.signer, f.signer, f.signer.verifier());
    printed += &format!("{:?}", f.signer.public_key());
    for room in [ROOM, "other"] {
        let result = f.signer.verifier().verify(key.expose().as_bytes(), room, NOW);
        printed += &format!("{result:?}");
        if let Err(error) = result {
            printed += &format!("{error} {} {}", error.public_text(), error.label());
        }
    }
    let parts = key.expose().split('.').chain([secret_line, &secret_line[20..]]);
    for secret in parts {
        for piece in secret.as_bytes().chunks(16).filter(|piece| piece.len() == 16) {
            assert!(!printed.contains(std::str::from_utf8(piece).unwrap()), "{printed}");
        }
    }
    assert!(printed.contains("LiveKey(…)"));
}

#[test]
fn only_the_bearer_of_a_real_key_reads_what_is_wrong_with_it() {
    let at = UnixMs(0);
    let all = [
        LiveKeyError::Empty,
        LiveKeyError::TooLong { len: 4_000, max: 974 },
        LiveKeyError::Malformed,
        LiveKeyError::UnknownSigner,
        LiveKeyError::BadSignature,
        LiveKeyError::WrongIssuer,
        LiveKeyError::WrongAudience,
        LiveKeyError::MissingClaim("sub"),
        LiveKeyError::BadClaim("sub"),
        LiveKeyError::Expired { at },
        LiveKeyError::NotYetValid { from: at },
        LiveKeyError::WrongRoom,
    ];
    let mut labels: Vec<_> = all.iter().map(LiveKeyError::label).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), all.len());
    for error in all {
        let tells_all = error.public_text() == error.to_string();
        let visible_anyway = matches!(error, LiveKeyError::Empty | LiveKeyError::TooLong { .. });
        assert_eq!(tells_all, error.signature_verified() || visible_anyway, "{error:?}");
    }
}
