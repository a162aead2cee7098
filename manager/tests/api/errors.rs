//! Every error is a problem, whoever made it.

use onair_manager::config::HttpLimits;
use serde_json::json;

use crate::support::{Api, Setup, TOKEN};

#[tokio::test]
async fn everything_under_v1_needs_the_token_and_says_so() {
    let limits = HttpLimits { strangers_per_second: 0, ..HttpLimits::default() };
    let api = Setup { limits, ..Setup::new() }.start().await;
    let paths = api.document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let path = path.replace("{producer}", "p").replace("{room}", "r").replace("{live_key}", "00k");
            let path = path.replace("{session}", "00000000000000000000000000000000");
            for headers in [
                &[][..],
                &[("authorization", "Bearer wrong-token-of-some-length")],
                &[("authorization", "Bearer ")],
                &[("authorization", "Basic YTpi")],
            ] {
                let answer = api.ask_with(&method, &path, headers, None);
                if path.starts_with("/v1/") {
                    assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{method} {path}");
                    let challenge = answer.header("www-authenticate");
                    assert!(challenge.starts_with("Bearer realm=\"onair\""), "{challenge}");
                    let is_shown = headers.iter().any(|(_, value)| value.starts_with("Bearer w"));
                    assert_eq!(challenge.contains("invalid_token"), is_shown, "{challenge}");
                } else {
                    assert_eq!(answer.status, 200, "{method} {path}");
                }
            }
        }
    }
    // The scheme's name is not a matter of case.
    let lower = format!("bearer {TOKEN}");
    api.ask_with("GET", "/v1/sessions", &[("authorization", &lower)], None).expect(200);
    assert_eq!(api.ask_with("GET", "/v1/nothing", &[], None).expect(401).code(), "unauthenticated");
}

#[tokio::test]
async fn errors_of_the_framework_are_problems_too() {
    let api = Api::start().await;
    assert_eq!(api.get("/nothing").expect(404).code(), "not_found");
    assert_eq!(api.get("/v1/nothing").expect(404).code(), "not_found");
    let answer = api.delete("/v1/sessions").expect(405);
    assert_eq!((answer.code(), answer.header("allow")), ("method_not_allowed", "GET, HEAD"));
    let answer = api.get("/v1/rooms/r/hold").expect(405);
    assert_eq!(answer.header("allow"), "PUT, DELETE");
    let post = |body: &str| api.ask("POST", "/v1/rooms/r/end", Some(body.to_owned()));
    assert_eq!(post("{").expect(400).code(), "bad_body");
    assert_eq!(post("no json").expect(400).code(), "bad_body");
    assert_eq!(
        post(&format!("{{\"reason\":\"{}\"}}", "x".repeat(16 << 10))).expect(413).code(),
        "body_too_large"
    );
}

#[tokio::test]
async fn unknown_and_bad_parameters_are_named() {
    let api = Api::start().await;
    let bad = |query: &str| {
        let answer = api.get(&format!("/v1/{query}")).expect(400);
        assert_eq!(answer.code(), "bad_parameter", "{query}");
        answer.json["parameter"].as_str().unwrap().to_owned()
    };
    assert_eq!(bad("sessions?rooms=x"), "rooms");
    assert_eq!(bad("sessions?room=a%20b"), "room");
    assert_eq!(bad("sessions?room=a&room=b"), "room");
    assert_eq!(bad("sessions?producer="), "producer");
    assert_eq!(bad("sessions?node=a%2Fb"), "node");
    assert_eq!(bad("sessions?state=ended"), "state");
    assert_eq!(bad("sessions?limit=0"), "limit");
    assert_eq!(bad("sessions?limit=501"), "limit");
    assert_eq!(bad("sessions?limit=ten"), "limit");
    assert_eq!(bad("sessions?after=a%20b"), "after");
    assert_eq!(bad("broadcasts?state=granted"), "state");
    assert_eq!(bad("broadcasts?since=yesterday"), "since");
    assert_eq!(bad("totals?producer=a%20b"), "producer");
    assert_eq!(bad("broadcasts?after=99999999999999999999.a"), "after");
    assert_eq!(bad("broadcasts?after=9999999999999999999.a"), "after");
    assert_eq!(bad("broadcasts?after=1.a'b"), "after");
    api.get("/v1/sessions?after=room-42").expect(200);
    api.get("/v1/broadcasts?after=1.a").expect(200);
}

#[tokio::test]
async fn a_request_keeps_the_id_it_brings_if_it_is_fit_for_a_log() {
    let api = Api::start().await;
    let id_of = |id: &str| {
        let answer = api.ask_with("GET", "/v1/sessions", &[("x-request-id", id)], None).expect(401);
        assert_eq!(answer.json["request_id"], answer.header("x-request-id"));
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(id_of("trace-1.2:3_4"), "trace-1.2:3_4");
    for unfit in ["a b", "\"", &"x".repeat(65)] {
        assert_ne!(id_of(unfit), unfit);
    }
    assert_ne!(api.get("/livez").header("x-request-id"), api.get("/livez").header("x-request-id"));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = Api::start().await;
    for path in ["/livez", "/v1/sessions", "/openapi.json"] {
        let answer = api.ask("HEAD", path, None).expect(200);
        assert_eq!(answer.text, "", "{path}");
    }
    assert_eq!(api.post("/livez", json!({})).expect(405).header("allow"), "GET, HEAD");
}
