//! Looking at live keys, and revoking them.

use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::{KeyRecord, Takeover};
use onair_cluster::{Registry, RoomId, UnixMs};
use serde_json::{Value, json};

use crate::support::{Api, Session, eventually, platform};

#[tokio::test]
async fn a_key_is_shown_without_the_key() {
    let api = Api::start().await;
    let address = api.address("anna");
    let id = address["live_key_id"].as_str().unwrap();
    let answer = api.get(&format!("/v1/live-keys/{id}")).expect(200);
    assert!(!answer.text.contains(address["live_key"].as_str().unwrap()));
    assert_eq!((&answer.json["state"], &answer.json["room_id"]), (&json!("active"), &address["room_id"]));
    assert_eq!(answer.json["last_used_at"], Value::Null);
    assert_eq!(api.get("/v1/live-keys/00nosuchkey").expect(404).code(), "live_key_unknown");
    assert_eq!(api.get("/v1/live-keys/a.b").expect(400).json["parameter"], "live_key");
}

#[tokio::test]
async fn revoking_a_key_cuts_what_is_on_air_with_it_and_refuses_it_from_then_on() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let (room, key) = (session.card.room_id.clone(), session.card.live_key_id.clone());
    api.delete(&format!("/v1/live-keys/{key}")).expect(204);
    assert_eq!(session.lease(&api.registry).await.unwrap().order.unwrap().reason, EndReason::Revoked);
    session.end(&api.registry, EndReason::Revoked).await;
    assert!(Session::granted(&api.registry, room, key.clone(), "node-1").await.is_none());
    let view = api.get(&format!("/v1/live-keys/{key}")).expect(200).json;
    assert_eq!((&view["state"], &view["revoked_why"]), (&json!("revoked"), &json!("asked")));
    assert!(view["last_used_at"].is_string());
    api.delete(&format!("/v1/live-keys/{key}")).expect(204);
    assert_eq!(api.get(&format!("/v1/live-keys/{key}")).expect(200).json, view);
    assert_eq!(api.delete("/v1/live-keys/00nosuchkey").expect(404).code(), "live_key_unknown");
}

#[tokio::test]
async fn a_session_that_outlived_its_key_is_cut_by_revoking_it_all_the_same() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let key = session.card.live_key_id.clone();
    let mut record = api.registry.key(&key).await.unwrap().unwrap();
    record.expires_at = UnixMs::now();
    api.registry.put_key(&record).await.unwrap();
    eventually("the registry to forget the key", async || api.registry.key(&key).await.unwrap().is_none())
        .await;
    api.delete(&format!("/v1/live-keys/{key}")).expect(204);
    assert_eq!(session.lease(&api.registry).await.unwrap().order.unwrap().reason, EndReason::Revoked);
}

/// A claim with a key of the platform's, as a node makes it from the key's own claims.
async fn claim_of_the_platform(api: &Api, jti: &str) -> Option<Session> {
    let room = RoomId::parse("r1").unwrap();
    let record = KeyRecord {
        live_key_id: platform().live_key_id(&room, jti).unwrap(),
        room_id: room,
        producer_id: "alice".parse().unwrap(),
        takeover: Takeover::Idle,
        max_duration: None,
        max_bitrate: None,
        revoked: false,
        expires_at: UnixMs::now().plus(Duration::from_secs(60)),
    };
    Session::issued(&api.registry, record).await
}

#[tokio::test]
async fn a_key_of_another_issuer_is_revoked_by_the_id_it_has_here_and_stays_so() {
    let api = Api::start().await;
    let session = claim_of_the_platform(&api, "j1").await.unwrap();
    let key = session.card.live_key_id.clone();
    let view = api.get(&format!("/v1/live-keys/{key}")).expect(200).json;
    assert_eq!((&view["state"], &view["producer_id"]), (&json!("active"), &json!("alice")));
    api.delete(&format!("/v1/live-keys/{key}")).expect(204);
    assert_eq!(session.lease(&api.registry).await.unwrap().order.unwrap().reason, EndReason::Revoked);
    session.end(&api.registry, EndReason::Revoked).await;
    assert!(claim_of_the_platform(&api, "j1").await.is_none());
    let remembered = api.live_db.keys(None, 10, UnixMs::now()).await.unwrap();
    assert!(
        remembered.iter().any(|record| record.live_key_id == key && record.revoked),
        "for a lost registry"
    );
}

#[tokio::test]
async fn a_key_of_another_issuer_can_be_refused_before_it_was_ever_seen() {
    let api = Api::start().await;
    let path = "/v1/issuers/platform/revocations";
    let view = api.post(path, json!({"jti": "j2", "room_id": "r1"})).expect(200).json;
    assert_eq!(view["live_key_id"], platform().live_key_id(&"r1".parse().unwrap(), "j2").unwrap().as_str());
    assert!(claim_of_the_platform(&api, "j2").await.is_none());
    assert!(claim_of_the_platform(&api, "j3").await.is_some(), "only that one");
    api.post(path, json!({"jti": "j3", "room_id": "r1", "keep_seconds": 60})).expect(200);
    let order = api.registry.lease(&"r1".parse().unwrap()).await.unwrap().unwrap().order;
    assert_eq!(order.unwrap().reason, EndReason::Revoked, "and what is on air with it is cut");

    let code = api.post("/v1/issuers/nobody/revocations", json!({"jti": "j", "room_id": "r1"})).expect(404);
    assert_eq!(code.code(), "issuer_unknown");
    for wrong in [
        json!({"jti": "", "room_id": "r1"}),
        json!({"jti": "j", "room_id": "a/b"}),
        json!({"jti": "j"}),
        json!({"jti": "j", "room_id": "r1", "keep_seconds": 0}),
    ] {
        assert_eq!(api.post(path, wrong).expect(400).code(), "bad_body");
    }
}
