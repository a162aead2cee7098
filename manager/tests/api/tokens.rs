//! API tokens: from being made to being of no use, with the Live DB there and away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use onair_cluster::UnixMs;
use onair_manager::Role;
use onair_manager::live_db::NewToken;
use serde_json::{Value, json};

use crate::away;
use crate::support::{Answer, Api, eventually};

fn make(api: &Api, name: &str, role: &str) -> Value {
    api.post("/v1/tokens", json!({"name": name, "role": role})).expect(201).json
}

fn sessions(api: &Api, token: &Value) -> Answer {
    api.ask_as(token["token"].as_str().unwrap(), "GET", "/v1/sessions", None)
}

#[tokio::test]
async fn a_token_is_shown_once_works_at_once_and_is_of_no_use_once_revoked() {
    let api = Api::start().await;
    let made = make(&api, "backend of the platform", "issuer");
    let secret = made["token"].as_str().unwrap();
    let id = made["token_id"].as_str().unwrap();
    assert!(secret.starts_with(&format!("onair_{id}_")), "scanners of leaked secrets know it by its form");
    assert_eq!((&made["role"], &made["expires_at"]), (&json!("issuer"), &Value::Null));
    sessions(&api, &made).expect(200);
    api.ask_as(secret, "POST", "/v1/producers/anna/broadcast-url", None).expect(201);
    assert_eq!(api.ask_as(secret, "GET", "/v1/tokens", None).expect(403).json["role_needed"], "admin");

    let list = api.get("/v1/tokens").expect(200);
    assert!(!list.text.contains(secret));
    let item = &list.json["items"][0];
    assert_eq!((&item["token_id"], &item["state"]), (&made["token_id"], &json!("active")));
    assert_eq!(item["name"], "backend of the platform");

    api.delete(&format!("/v1/tokens/{id}")).expect(204);
    assert_eq!(sessions(&api, &made).expect(401).code(), "unauthenticated");
    api.delete(&format!("/v1/tokens/{id}")).expect(204);
    assert_eq!(api.get("/v1/tokens").json["items"][0]["state"], "revoked");
    assert_eq!(api.delete("/v1/tokens/0123456789abcdef").expect(404).code(), "token_unknown");
}

#[tokio::test]
async fn another_secret_with_a_known_id_is_no_token() {
    let api = Api::start().await;
    let made = make(&api, "n", "viewer");
    let secret = made["token"].as_str().unwrap();
    let last = if secret.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}", &secret[..secret.len() - 1]);
    api.ask_as(&forged, "GET", "/v1/sessions", None).expect(401);
    api.ask_as(&secret[..secret.len() - 1], "GET", "/v1/sessions", None).expect(401);
}

#[tokio::test]
async fn a_token_ends_when_it_was_made_to() {
    let api = Api::start().await;
    for seconds in [json!(59), json!(-1), json!(60.5), json!("60"), json!(1e30)] {
        let body = json!({"name": "n", "role": "viewer", "expires_in_seconds": seconds});
        assert_eq!(api.post("/v1/tokens", body).expect(400).code(), "bad_body", "{seconds}");
    }
    let body = json!({"name": "n", "role": "viewer", "expires_in_seconds": 60.0});
    let made = api.post("/v1/tokens", body).expect(201).json;
    assert!(made["expires_at"].is_string());
    // One whose time is over, as the table may have it.
    let over = NewToken {
        token_id: "00000000000000aa".parse().unwrap(),
        name: "over".to_owned(),
        role: Role::Admin,
        hash: [0; 32],
        created_at: UnixMs(1),
        expires_at: Some(UnixMs(2)),
    };
    assert!(api.live_db.add_token(&over, 10).await.unwrap());
    let items = api.get("/v1/tokens").expect(200).json["items"].clone();
    let states: Vec<_> =
        items.as_array().unwrap().iter().map(|item| (&item["name"], &item["state"])).collect();
    assert!(states.contains(&(&json!("over"), &json!("expired"))), "{states:?}");
}

#[tokio::test]
async fn tokens_are_listed_page_by_page() {
    let api = Api::start().await;
    let mut made: Vec<String> = (0..5)
        .map(|n| make(&api, &format!("n{n}"), "viewer")["token_id"].as_str().unwrap().to_owned())
        .collect();
    made.sort();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/tokens?limit=2{after}")).expect(200).json;
        let ids = page["items"].as_array().unwrap().iter();
        seen.extend(ids.map(|item| item["token_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn tokens_work_while_the_live_db_is_away() {
    let (api, live_db) = away::start().await;
    let session = api.on_air("anna").await;
    let (viewer, issuer) = (make(&api, "v", "viewer"), make(&api, "i", "issuer"));
    let revoked = make(&api, "r", "issuer");
    api.delete(&format!("/v1/tokens/{}", revoked["token_id"].as_str().unwrap())).expect(204);
    live_db.is_away.store(true, Ordering::SeqCst);
    api.get("/v1/broadcasts").expect(503);

    sessions(&api, &viewer).expect(200);
    sessions(&api, &revoked).expect(401);
    let end = format!("/v1/rooms/{}/end", session.room());
    api.ask_as(viewer["token"].as_str().unwrap(), "POST", &end, None).expect(403);
    api.ask_as(issuer["token"].as_str().unwrap(), "POST", &end, None).expect(202);
    assert!(session.lease(&api.registry).await.unwrap().order.is_some());
    let key = format!("/v1/live-keys/{}", session.card.live_key_id);
    api.ask_as(issuer["token"].as_str().unwrap(), "DELETE", &key, None).expect(202);
    assert_eq!(
        api.post("/v1/tokens", json!({"name": "n", "role": "admin"})).expect(503).code(),
        "live_db_away"
    );

    // What was done meanwhile is accounted for when it is back.
    live_db.is_away.store(false, Ordering::SeqCst);
    eventually("the entries of the audit log", async || {
        let page = api.get("/v1/audit").text;
        page.contains("\"room_ended\"") && page.contains("\"live_key_revoked\"")
    })
    .await;
}

#[tokio::test]
async fn what_another_manager_makes_and_revokes_is_known_here_soon() {
    let api = Api::start().await;
    let made = make(&api, "n", "viewer");
    sessions(&api, &made).expect(200);
    // As another Manager would: in the table, and nowhere else.
    let id = made["token_id"].as_str().unwrap().parse().unwrap();
    api.live_db.revoke_token(&id, UnixMs::now()).await.unwrap();
    eventually("the revocation to be known", async || sessions(&api, &made).status == 401).await;
    let mut rows = api.live_db.tokens(None, 10).await.unwrap();
    let token = NewToken { token_id: "00000000000000bb".parse().unwrap(), ..rows.remove(0).token };
    let other = made["token"].as_str().unwrap().replace(id.as_str(), "00000000000000bb");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, other.as_bytes());
    let token = NewToken { hash: hash.as_ref().try_into().unwrap(), ..token };
    assert!(api.live_db.add_token(&token, 10).await.unwrap());
    eventually("the new one to be known", async || {
        api.ask_as(&other, "GET", "/v1/sessions", None).status == 200
    })
    .await;
}

#[tokio::test]
async fn names_are_for_people_and_fit_a_log() {
    let api = Api::start().await;
    for name in ["", "two\nlines", &"x".repeat(65)] {
        let answer = api.post("/v1/tokens", json!({"name": name, "role": "viewer"})).expect(400);
        assert_eq!(answer.json["parameter"], "name");
    }
    for body in [json!({"name": "n"}), json!({"name": "n", "role": "root"}), json!({"role": "viewer"})] {
        assert_eq!(api.post("/v1/tokens", body).expect(400).code(), "bad_body");
    }
    api.post("/v1/tokens", json!({"name": "Zoë ☂", "role": "viewer"})).expect(201);
}

#[tokio::test]
async fn when_a_token_was_used_is_noted() {
    let (api, _) = away::start().await;
    let made = make(&api, "n", "viewer");
    let id = made["token_id"].as_str().unwrap().parse().unwrap();
    let used = UnixMs::now();
    api.live_db.note_token_uses(&[(id, used)]).await.unwrap();
    let item = api.get("/v1/tokens").json["items"][0].clone();
    assert_eq!(item["last_used_at"], used.to_rfc3339());
    assert_eq!(api.handle.stop(Duration::from_secs(20)).await, 0);
}
