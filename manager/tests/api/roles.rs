//! Who may do what: every route, every kind of token.

use std::collections::BTreeMap;

use onair_cluster::UnixMs;
use onair_manager::config::HttpLimits;
use serde_json::{Value, json};

use crate::support::{Api, ISS, Setup, platform_token, token_of};

/// The least role of every route, written down once more: whoever adds a route says here who may use it.
const ROUTES: &[(&str, &str)] = &[
    ("POST /v1/producers/{producer}/broadcast-url", "issuer"),
    ("PUT /v1/producers/{producer}", "issuer"),
    ("GET /v1/producers/{producer}", "viewer"),
    ("GET /v1/producers", "viewer"),
    ("POST /v1/producers/{producer}/live-keys/rotate", "issuer"),
    ("GET /v1/live-keys", "viewer"),
    ("GET /v1/totals", "viewer"),
    ("POST /v1/tokens", "admin"),
    ("GET /v1/tokens", "admin"),
    ("DELETE /v1/tokens/{token}", "admin"),
    ("GET /v1/audit", "admin"),
    ("GET /v1/sessions", "viewer"),
    ("GET /v1/sessions/{session}", "viewer"),
    ("GET /v1/rooms/{room}", "viewer"),
    ("POST /v1/rooms/{room}/end", "issuer"),
    ("POST /v1/rooms/{room}/play-url", "issuer"),
    ("PUT /v1/rooms/{room}/hold", "issuer"),
    ("DELETE /v1/rooms/{room}/hold", "issuer"),
    ("GET /v1/broadcasts", "viewer"),
    ("GET /v1/live-keys/{live_key}", "viewer"),
    ("DELETE /v1/live-keys/{live_key}", "issuer"),
    ("POST /v1/issuers/{issuer}/revocations", "admin"),
    ("GET /v1/nodes", "viewer"),
    ("POST /v1/nodes/{node}/drain", "admin"),
    ("GET /v1/events", "viewer"),
];

const ROLES: [&str; 3] = ["viewer", "issuer", "admin"];

fn rank(role: &str) -> usize {
    ROLES.iter().position(|known| *known == role).unwrap()
}

/// The path with something in the place of each parameter.
fn filled(path: &str) -> String {
    path.replace("{session}", "00000000000000000000000000000000")
        .replace("{live_key}", "00k")
        .replace(['{', '}'], "")
        // A stream would not end.
        .replace("/v1/events", "/v1/events?no=such")
}

#[tokio::test]
async fn every_route_takes_its_role_and_those_above_and_refuses_all_others() {
    let limits = HttpLimits { strangers_per_second: 0, ..HttpLimits::default() };
    let api = Setup { limits, ..Setup::new() }.start().await;
    let mut left: BTreeMap<&str, &str> = ROUTES.iter().copied().collect();
    for (path, methods) in api.document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let route = format!("{} {path}", method.to_uppercase());
            if !path.starts_with("/v1/") {
                assert!(operation["security"].is_null(), "{route}");
                continue;
            }
            let least = left.remove(route.as_str()).unwrap_or_else(|| panic!("{route}: who may use it?"));
            let (method, path) = (method.to_uppercase(), filled(path));
            for role in ROLES {
                let answer = api.ask_as(&token_of(role), &method, &path, None);
                if rank(role) < rank(least) {
                    assert_eq!((answer.status, answer.code()), (403, "forbidden"), "{role}: {route}");
                    assert_eq!(answer.json["role_needed"], least);
                    assert!(answer.header("www-authenticate").contains("insufficient_scope"));
                } else {
                    assert!(!matches!(answer.status, 401 | 403 | 500..), "{role}: {route}: {answer:?}");
                }
            }
            assert_eq!(api.ask_as("no-token-of-any-kind", &method, &path, None).status, 401, "{route}");
            assert_eq!(api.ask_with(&method, &path, &[], None).status, 401, "{route}");
        }
    }
    assert!(left.is_empty(), "no longer there: {left:?}");
}

#[tokio::test]
async fn a_platforms_token_says_who_for_how_long_and_for_what() {
    let api = Api::start().await;
    let now = UnixMs::now().0 / 1_000;
    let good = json!({"iss": ISS, "aud": ["x", "onair-api"], "sub": "ops@platform", "role": "viewer", "exp": now + 60});
    let ask = |claims: &Value| api.ask_as(&platform_token(claims), "GET", "/v1/sessions", None);
    ask(&good).expect(200);
    for (claim, value) in [
        ("iss", json!("https://other.example")),
        ("aud", json!("onair")),
        ("aud", Value::Null),
        ("sub", json!("")),
        ("sub", json!("two words")),
        ("role", json!("root")),
        ("role", json!(7)),
        ("exp", json!(now - 60)),
        ("exp", json!(now + 1_000_000)),
        ("nbf", json!(now + 60)),
    ] {
        let mut bad = good.clone();
        bad[claim] = value.clone();
        let answer = ask(&bad).expect(401);
        assert_eq!(answer.code(), "unauthenticated", "{claim} {value}");
    }
    let damaged = platform_token(&good).replace('.', "A.");
    api.ask_as(&damaged, "GET", "/v1/sessions", None).expect(401);
}

#[tokio::test]
async fn a_live_key_ends_its_own_room_and_does_nothing_else() {
    let api = Api::start().await;
    let address = api.address("anna");
    let (room, key) = (address["room_id"].as_str().unwrap(), address["live_key"].as_str().unwrap());
    let end = format!("/v1/rooms/{room}/end");
    assert_eq!(api.ask_as(key, "POST", &end, None).expect(409).code(), "not_on_air");

    let other = api.on_air("ben").await;
    let others = format!("/v1/rooms/{}/end", other.room());
    assert_eq!(api.ask_as(key, "POST", &others, None).expect(403).code(), "forbidden");
    assert!(other.lease(&api.registry).await.unwrap().order.is_none());
    let held = api.ask_as(key, "POST", &end, Some(json!({"hold_seconds": 60}))).expect(403);
    assert_eq!(held.json["role_needed"], "issuer");
    for (method, path) in [("GET", format!("/v1/rooms/{room}")), ("GET", "/v1/sessions".to_owned())] {
        assert_eq!(api.ask_as(key, method, &path, None).expect(403).code(), "forbidden");
    }

    let live_key_id = address["live_key_id"].as_str().unwrap();
    let session = crate::support::Session::granted(
        &api.registry,
        room.parse().unwrap(),
        live_key_id.parse().unwrap(),
        "node-1",
    );
    let session = session.await.unwrap();
    api.ask_as(key, "POST", &end, None).expect(202);
    assert!(session.lease(&api.registry).await.unwrap().order.is_some());

    api.delete(&format!("/v1/live-keys/{live_key_id}")).expect(204);
    assert_eq!(api.ask_as(key, "POST", &end, None).expect(401).code(), "unauthenticated");
}

#[tokio::test]
async fn a_platforms_live_key_ends_its_room_too() {
    let api = Api::start().await;
    let exp = UnixMs::now().0 / 1_000 + 60;
    let claims = json!({"iss": ISS, "aud": "onair", "sub": "zoe", "room": "zoes", "jti": "j1", "exp": exp});
    let key = platform_token(&claims);
    assert_eq!(api.ask_as(&key, "POST", "/v1/rooms/zoes/end", None).expect(404).code(), "room_unknown");
    api.ask_as(&key, "POST", "/v1/rooms/other/end", None).expect(403);
}
