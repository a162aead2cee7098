//! Keys of other issuers: which are accepted, what becomes of them, and what is refused.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::{Issuer, IssuerTerms, KeySet, LiveKeyError, LiveKeySigner, LiveKeyVerifier, PublicKey};
use crate::ids::{LiveKeyId, ProducerId, RoomId};
use crate::registry::Takeover;
use crate::time::UnixMs;
use crate::token::TokenError;

const NOW: UnixMs = UnixMs(1_800_000_000_000);
const ISS: &str = "https://platform.example";

/// Signs a message.
type Signer = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ed25519() -> (Value, Signer) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(pair.public_key())});
    (jwk, Box::new(move |message| pair.sign(message).as_ref().to_vec()))
}

fn p256() -> (Value, Signer) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": "ec", "x": b64(&point[1..33]), "y": b64(&point[33..]), "alg": "ES256",
    });
    (jwk, Box::new(move |message| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()))
}

fn rsa() -> (Value, Signer) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
    let jwk = json!({
        "kty": "RSA", "kid": "rsa", "use": "sig",
        "n": b64(n.big_endian_without_leading_zero()), "e": b64(e.big_endian_without_leading_zero()),
    });
    let sign = move |message: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    (jwk, Box::new(sign))
}

fn set(jwks: &[&Value]) -> KeySet {
    KeySet::from_json(json!({ "keys": jwks }).to_string().as_bytes()).unwrap()
}

fn issuer(keys: KeySet) -> Issuer {
    let terms = IssuerTerms {
        name: "platform".to_owned(),
        iss: ISS.to_owned(),
        aud: "onair".to_owned(),
        api_aud: None,
        lifetime_max: Duration::from_secs(3_600),
    };
    Issuer::new(terms, keys)
}

fn claims() -> Value {
    json!({"iss": ISS, "aud": "onair", "sub": "alice", "room": "r1", "jti": "j/1", "exp": NOW.0 / 1_000 + 60})
}

fn token(alg: &str, kid: Option<&str>, claims: &Value, sign: &Signer) -> Vec<u8> {
    let mut header = json!({ "alg": alg });
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    format!("{message}.{}", b64(sign(message.as_bytes()))).into_bytes()
}

fn ours() -> LiveKeySigner {
    LiveKeySigner::generate("onair").unwrap()
}

#[test]
fn keys_of_another_issuer_are_accepted_with_each_kind_of_signature_and_bring_their_record() {
    for ((jwk, sign), alg) in [(ed25519(), "EdDSA"), (p256(), "ES256"), (rsa(), "RS256")] {
        let verifier = ours().verifier().with_issuers([issuer(set(&[&jwk]))]);
        let mut said = claims();
        said["takeover"] = "always".into();
        said["max_duration"] = 90.into();
        said["aud"] = json!(["other", "onair"]);
        let token = token(alg, jwk["kid"].as_str(), &said, &sign);
        let verified = verifier.verify(&token, "r1", NOW).unwrap();
        let record = verified.issued.unwrap();
        assert_eq!(record.live_key_id, verified.live_key_id);
        assert_eq!((record.room_id.as_str(), record.producer_id.as_str()), ("r1", "alice"));
        assert_eq!((record.takeover, record.max_duration), (Takeover::Always, Some(Duration::from_secs(90))));
        assert!(!record.revoked && record.expires_at > verified.expires_at);
        let mut damaged = token.clone();
        let place = damaged.len() - 20;
        damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
        assert_eq!(verifier.verify(&damaged, "r1", NOW), Err(LiveKeyError::BadSignature));
    }
}

#[test]
fn the_key_says_the_algorithm_and_not_the_token() {
    let ((ed, sign_ed), (ec, sign_ec)) = (ed25519(), p256());
    let verifier = ours().verifier().with_issuers([issuer(set(&[&ed, &ec]))]);
    let hmac: Signer = {
        // The public key as the secret of an HMAC: the oldest trick there is.
        let secret = ed["x"].as_str().unwrap().to_owned();
        Box::new(move |message| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
            aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
        })
    };
    let nothing: Signer = Box::new(|_| Vec::new());
    for (alg, kid, sign) in [
        ("HS256", "ed", &hmac),
        ("none", "ed", &nothing),
        ("ES256", "ed", &sign_ed),
        ("EdDSA", "ec", &sign_ec),
        ("EdDSA", "ed", &sign_ec),
    ] {
        let refused = verifier.verify(&token(alg, Some(kid), &claims(), sign), "r1", NOW);
        assert_eq!(refused, Err(LiveKeyError::BadSignature), "{alg} {kid}");
    }
}

#[test]
fn the_id_of_a_foreign_key_is_always_the_same_and_tells_whose_it_is() {
    let (jwk, sign) = ed25519();
    let issuer = issuer(set(&[&jwk]));
    let verifier = ours().verifier().with_issuers([issuer.clone()]);
    let token = token("EdDSA", Some("ed"), &claims(), &sign);
    let room = RoomId::parse("r1").unwrap();
    let id = verifier.verify(&token, "r1", NOW).unwrap().live_key_id;
    assert_eq!(issuer.live_key_id(&room, "j/1"), Some(id.clone()));
    assert!(id.as_str().starts_with(&format!("{}platform-", room.shard())), "{id}");
    assert_eq!(LiveKeyId::parse(id.as_str()).unwrap().shard(), Some(room.shard()));
    assert_eq!(
        id.as_str(),
        format!("{}platform-abfdeb4a7f656f91a4b6b532633551c53a819db4", room.shard()).as_str()
    );
    assert_ne!(issuer.live_key_id(&room, "j/2"), Some(id.clone()));
    assert_ne!(issuer.live_key_id(&RoomId::parse("r2").unwrap(), "j/1"), Some(id));
    assert_eq!(issuer.live_key_id(&room, ""), None);
    assert_eq!(issuer.live_key_id(&room, &"x".repeat(257)), None);
}

#[test]
fn what_an_issuer_may_not_say_is_refused() {
    let (jwk, sign) = ed25519();
    let verifier = ours().verifier().with_issuers([issuer(set(&[&jwk]))]);
    let now = NOW.0 / 1_000;
    let cases = [
        ("aud", json!("other"), LiveKeyError::WrongAudience),
        ("aud", json!(7), LiveKeyError::BadClaim("aud")),
        ("aud", Value::Null, LiveKeyError::MissingClaim("aud")),
        ("sub", json!("a b"), LiveKeyError::BadClaim("sub")),
        ("sub", Value::Null, LiveKeyError::MissingClaim("sub")),
        ("room", json!("a/b"), LiveKeyError::BadClaim("room")),
        ("room", json!("r2"), LiveKeyError::WrongRoom),
        ("jti", json!(""), LiveKeyError::BadClaim("jti")),
        ("jti", Value::Null, LiveKeyError::MissingClaim("jti")),
        ("exp", Value::Null, LiveKeyError::MissingClaim("exp")),
        ("exp", json!("soon"), LiveKeyError::BadClaim("exp")),
        ("exp", json!(-1), LiveKeyError::BadClaim("exp")),
        ("exp", json!(1e300), LiveKeyError::BadClaim("exp")),
        ("exp", json!(now - 6), LiveKeyError::Expired { at: UnixMs((now - 6) * 1_000) }),
        ("exp", json!(now + 3_700), LiveKeyError::TooLongLived),
        ("nbf", json!(now + 60), LiveKeyError::NotYetValid { from: UnixMs((now + 60) * 1_000) }),
        ("takeover", json!("perhaps"), LiveKeyError::BadClaim("takeover")),
        ("max_duration", json!(0), LiveKeyError::BadClaim("max_duration")),
    ];
    for (claim, value, error) in cases {
        let mut said = claims();
        match value {
            Value::Null => drop(said.as_object_mut().unwrap().remove(claim)),
            value => said[claim] = value,
        }
        let refused = verifier.verify(&token("EdDSA", Some("ed"), &said, &sign), "r1", NOW);
        assert_eq!(refused, Err(error), "{said}");
    }
}

#[test]
fn nobody_can_speak_for_another_issuer_or_for_us() {
    let ((a, sign_a), (b, _)) = (ed25519(), p256());
    let other = Issuer::new(
        IssuerTerms {
            name: "other".to_owned(),
            iss: "other".to_owned(),
            ..issuer(set(&[&b])).terms().clone()
        },
        set(&[&b]),
    );
    let signer = ours();
    let verifier = signer.verifier().with_issuers([issuer(set(&[&a])), other]);
    let mut said = claims();
    said["iss"] = "other".into();
    let unknown = Err(LiveKeyError::UnknownSigner);
    assert_eq!(verifier.verify(&token("EdDSA", Some("ed"), &said, &sign_a), "r1", NOW), unknown);
    // Our own name is nobody else's to use, and our key signs for nobody else.
    said["iss"] = "onair".into();
    said["aud"] = "ingest".into();
    assert_eq!(verifier.verify(&token("EdDSA", Some("ed"), &said, &sign_a), "r1", NOW), unknown);
    let kid = signer.public_key().kid();
    let refused = verifier.verify(&token("EdDSA", Some(&kid), &claims(), &sign_a), "r1", NOW);
    assert_eq!(refused, Err(LiveKeyError::BadSignature));
    let room = RoomId::parse("r1").unwrap();
    let ours = signer.mint(&room, &ProducerId::parse("p").unwrap(), &LiveKeyId::random(&room), NOW, NOW);
    assert!(verifier.verify(ours.unwrap().expose().as_bytes(), "r1", NOW).unwrap().issued.is_none());
}

#[tokio::test]
async fn new_keys_are_used_at_once_and_an_unknown_one_is_asked_for() {
    let ((old, _), (new, sign)) = (ed25519(), p256());
    let issuer = issuer(set(&[&old]));
    let verifier = ours().verifier().with_issuers([issuer.clone()]);
    let token = token("ES256", Some("ec"), &claims(), &sign);
    assert_eq!(verifier.verify(&token, "r1", NOW), Err(LiveKeyError::UnknownSigner));
    tokio::time::timeout(Duration::from_secs(5), issuer.unknown_key_seen()).await.unwrap();
    issuer.replace_keys(set(&[&new]));
    assert!(verifier.verify(&token, "r1", NOW).is_ok());
}

#[test]
fn ed25519_keys_of_the_configuration_need_no_kid_when_there_is_one() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = PublicKey(pair.public_key().as_ref().try_into().unwrap());
    let sign: Signer = Box::new(move |message| pair.sign(message).as_ref().to_vec());
    let verifier = LiveKeyVerifier::new("onair", []).with_issuers([issuer(KeySet::of([key]))]);
    assert!(verifier.verify(&token("EdDSA", None, &claims(), &sign), "r1", NOW).is_ok());
    assert!(verifier.verify(&token("EdDSA", Some(&key.kid()), &claims(), &sign), "r1", NOW).is_ok());
    let refused = verifier.verify(&token("EdDSA", Some("x"), &claims(), &sign), "r1", NOW);
    assert_eq!(refused, Err(LiveKeyError::UnknownSigner));
}

#[test]
fn a_token_for_the_api_names_a_role_and_only_an_issuer_with_a_say_there_makes_one() {
    let (jwk, sign) = ed25519();
    let with_say = |api_aud: Option<&str>| {
        let terms =
            IssuerTerms { api_aud: api_aud.map(str::to_owned), ..issuer(set(&[&jwk])).terms().clone() };
        ours().verifier().with_issuers([Issuer::new(terms, set(&[&jwk]))])
    };
    let verifier = with_say(Some("api"));
    let said = json!({"iss": ISS, "aud": "api", "sub": "ops", "role": "viewer", "exp": NOW.0 / 1_000 + 60});
    let shown = token("EdDSA", Some("ed"), &said, &sign);
    let bearer = verifier.verify_api(&shown, NOW).unwrap();
    assert_eq!(
        (bearer.issuer.as_str(), bearer.subject.as_str(), bearer.role.as_str()),
        ("platform", "ops", "viewer")
    );
    assert_eq!(with_say(None).verify_api(&shown, NOW), Err(TokenError::WrongIssuer));
    // A live key is no token for the API, nor the other way round.
    let key = token("EdDSA", Some("ed"), &claims(), &sign);
    assert_eq!(verifier.verify_api(&key, NOW), Err(TokenError::WrongAudience));
    assert_eq!(verifier.verify(&shown, "r1", NOW), Err(LiveKeyError::WrongAudience));
    let (_, sign_other) = ed25519();
    let forged = token("EdDSA", Some("ed"), &said, &sign_other);
    assert_eq!(verifier.verify_api(&forged, NOW), Err(TokenError::BadSignature));
    let unsigned = token("none", Some("ed"), &said, &(Box::new(|_: &[u8]| Vec::new()) as Signer));
    assert_eq!(verifier.verify_api(&unsigned, NOW), Err(TokenError::BadSignature));
    for (claim, value, error) in [
        ("aud", json!(["x"]), TokenError::WrongAudience),
        ("sub", json!("\u{e9}"), TokenError::BadClaim("sub")),
        ("role", Value::Null, TokenError::BadClaim("role")),
        ("exp", json!("soon"), TokenError::BadClaim("exp")),
        ("exp", json!(NOW.0 / 1_000 - 5), TokenError::Expired),
        ("exp", json!(NOW.0 / 1_000 + 3_606), TokenError::BadClaim("exp")),
        ("nbf", json!(NOW.0 / 1_000 + 6), TokenError::NotYetValid),
    ] {
        let mut bad = said.clone();
        bad[claim] = value;
        let refused = verifier.verify_api(&token("EdDSA", Some("ed"), &bad, &sign), NOW);
        assert_eq!(refused, Err(error), "{bad}");
    }
    for garbage in [&b""[..], b"a.b.c", b"..", &[b'a'; 5_000]] {
        assert!(verifier.verify_api(garbage, NOW).is_err());
    }
}
