//! Rooms: who holds them, ends and holds.

use onair_cluster::events::EndReason;
use onair_cluster::registry::Registry;
use serde_json::{Value, json};

use crate::support::{Api, Session, eventually};

#[tokio::test]
async fn a_room_says_who_holds_it_and_whether_it_is_held() {
    let api = Api::start().await;
    let room = api.address("anna")["room_id"].as_str().unwrap().to_owned();
    let off = api.get(&format!("/v1/rooms/{room}")).expect(200).json;
    assert_eq!((&off["state"], &off["producer_id"]), (&json!("off_air"), &json!("anna")));
    assert_eq!((&off["session"], &off["hold"]), (&Value::Null, &Value::Null));
    let session = api.on_air("anna").await;
    api.put(&format!("/v1/rooms/{room}/hold"), json!({"hold_seconds": 60, "reason": "late"})).expect(200);
    let on = api.get(&format!("/v1/rooms/{room}")).expect(200).json;
    assert_eq!(on["state"], "live");
    assert_eq!(on["session"]["session_id"], session.id());
    assert_eq!(on["session"]["granted_at"], session.card.granted_at.to_rfc3339());
    assert_eq!(on["hold"]["reason"], "late");
    assert_eq!(api.get("/v1/rooms/nobodys").expect(404).code(), "room_unknown");
    assert_eq!(api.get("/v1/rooms/a%2Fb").expect(400).json["parameter"], "room");
}

#[tokio::test]
async fn ending_a_room_orders_its_session_to_end() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let path = format!("/v1/rooms/{}/end", session.room());
    let answer = api.post(&path, json!({"reason": "closing time"})).expect(202).json;
    assert_eq!(answer["session_id"], session.id());
    assert_eq!(answer["hold"], Value::Null);
    let order = session.lease(&api.registry).await.unwrap().order.unwrap();
    assert_eq!((order.reason, order.note.as_str()), (EndReason::EndedByApi, "closing time"));
    let outstanding = || api.get("/metrics").text.contains("onair_manager_ends_outstanding 1");
    assert!(outstanding());
    session.end(&api.registry, EndReason::EndedByApi).await;
    eventually("the end is seen", async || !outstanding()).await;
    let broadcasts = api.get("/v1/broadcasts").expect(200).json;
    assert_eq!(broadcasts["items"][0]["end_reason"], "ended_by_api");
}

#[tokio::test]
async fn a_newer_session_of_the_room_is_not_meant_by_an_older_order() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    api.post(&format!("/v1/rooms/{}/end", session.room()), json!({})).expect(202);
    // The encoder reconnects with the same key before anybody has looked whether the first session ended.
    let fresh = session.clone();
    session.end(&api.registry, EndReason::Drain).await;
    let again =
        Session::granted(&api.registry, fresh.card.room_id.clone(), fresh.card.live_key_id.clone(), "node-1")
            .await
            .unwrap();
    eventually("the end is seen", async || {
        api.get("/metrics").text.contains("onair_manager_ends_outstanding 0")
    })
    .await;
    assert!(again.lease(&api.registry).await.unwrap().order.is_none());
}

#[tokio::test]
async fn ending_with_a_hold_refuses_the_encoder_that_reconnects() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let path = format!("/v1/rooms/{}/end", session.room());
    let answer =
        api.ask("POST", &path, Some(r#"{"hold_seconds":600,"reason":"rules"}"#.to_owned())).expect(202);
    assert_eq!(answer.json["hold"]["reason"], "rules");
    let (room, key) = (session.card.room_id.clone(), session.card.live_key_id.clone());
    session.end(&api.registry, EndReason::EndedByApi).await;
    assert!(Session::granted(&api.registry, room.clone(), key.clone(), "node-1").await.is_none());
    assert_eq!(api.live_db.holds(None, 9, onair_cluster::UnixMs::now()).await.unwrap().len(), 1);
    api.delete(&format!("/v1/rooms/{room}/hold")).expect(204);
    assert_eq!(api.delete(&format!("/v1/rooms/{room}/hold")).expect(404).code(), "not_held");
    assert_eq!(api.live_db.holds(None, 9, onair_cluster::UnixMs::now()).await.unwrap(), []);
    assert!(Session::granted(&api.registry, room, key, "node-1").await.is_some());
}

#[tokio::test]
async fn a_hold_is_in_force_also_when_nobody_is_live() {
    let api = Api::start().await;
    let room = api.address("anna")["room_id"].as_str().unwrap().to_owned();
    let answer = api.post(&format!("/v1/rooms/{room}/end"), json!({"hold_seconds": 60})).expect(409);
    assert_eq!(answer.code(), "not_on_air");
    assert_eq!(answer.json["hold"]["room_id"], room.as_str());
    assert!(api.registry.hold(&room.parse().unwrap()).await.unwrap().is_some());
    let answer = api.post("/v1/rooms/nobodys/end", json!({})).expect(404);
    assert_eq!((answer.code(), &answer.json["hold"]), ("room_unknown", &Value::Null));
    // Held before its producer ever asked for an address.
    api.put("/v1/rooms/tomorrow/hold", json!({"hold_seconds": 60})).expect(200);
    assert_eq!(api.get("/v1/rooms/tomorrow").expect(200).json["state"], "off_air");
}

#[tokio::test]
async fn a_bad_end_or_hold_names_what_is_wrong_and_does_nothing() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let (end, hold) =
        (format!("/v1/rooms/{}/end", session.room()), format!("/v1/rooms/{}/hold", session.room()));
    for body in [
        json!({"hold_second": 1}),
        json!({"hold_seconds": 2_592_001}),
        json!({"hold_seconds": "60"}),
        json!({"reason": "x".repeat(201)}),
        json!({"reason": "two\nlines"}),
    ] {
        assert_eq!(api.post(&end, body).expect(400).code(), "bad_body");
    }
    for body in [json!({}), json!({"hold_seconds": 0}), json!({"hold_seconds": 1, "until": 5})] {
        assert_eq!(api.put(&hold, body).expect(400).code(), "bad_body");
    }
    assert!(session.lease(&api.registry).await.unwrap().order.is_none());
    assert_eq!(api.registry.hold(&session.card.room_id).await.unwrap(), None);
}
