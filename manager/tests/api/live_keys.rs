//! Looking at live keys, and revoking them.

use onair_cluster::events::EndReason;
use onair_cluster::{Registry, UnixMs};
use serde_json::{Value, json};

use crate::support::{Api, Session, eventually};

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
