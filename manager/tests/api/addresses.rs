//! Broadcast addresses.

use onair_cluster::live_key::LEEWAY;
use onair_cluster::registry::{Registry, Takeover};
use onair_cluster::{ProducerId, RoomId, UnixMs};
use serde_json::json;

use crate::support::{Api, Session, Setup};

#[tokio::test]
async fn an_address_is_ready_to_paste_and_known_to_live_db_and_registry() {
    let api = Api::start().await;
    let answer = api.post("/v1/producers/anna/broadcast-url", json!({})).expect(201);
    let address = &answer.json;
    let (room, key) = (address["room_id"].as_str().unwrap(), address["live_key"].as_str().unwrap());
    assert_eq!(address["server"], format!("rtmp://live.example.com:1935/{room}"));
    assert_eq!(address["url"], format!("rtmp://live.example.com:1935/{room}/{key}"));
    assert_eq!(address["stream_key"], key);
    assert_eq!(answer.header("cache-control"), "no-store");
    let id = address["live_key_id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/live-keys/{id}"));
    let record = api.registry.key(&id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((record.room_id.as_str(), record.takeover), (room, Takeover::Idle));
    let row = api.live_db.key(&id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(address["expires_at"], row.key.expires_at.to_rfc3339());
    let days = row.key.expires_at.since(UnixMs::now()) / 86_400_000;
    assert!((29..=30).contains(&days), "{days}");
    // The key set that the API shows verifies it.
    let jwks = api.get("/.well-known/jwks.json").expect(200).json;
    assert_eq!(jwks["keys"][0]["crv"], "Ed25519");
}

#[tokio::test]
async fn a_producer_keeps_their_room_and_older_addresses_stay_valid() {
    let api = Api::start().await;
    let first = api.address("anna");
    let second = api.address("anna");
    assert_eq!(first["room_id"], second["room_id"]);
    assert_ne!(first["live_key_id"], second["live_key_id"]);
    assert_ne!(api.address("ben")["room_id"], first["room_id"]);
    let room: RoomId = first["room_id"].as_str().unwrap().parse().unwrap();
    let key = first["live_key_id"].as_str().unwrap().parse().unwrap();
    assert!(Session::granted(&api.registry, room, key, "node-1").await.is_some());
}

#[tokio::test]
async fn one_address_too_many_retires_the_one_idle_longest_but_never_the_one_on_air() {
    let api = Setup { keys_max: 2, ..Setup::new() }.start().await;
    let on_air = api.on_air("anna").await;
    let second = api.address("anna");
    let third = api.address("anna");
    let state = |id: &serde_json::Value| {
        let view = api.get(&format!("/v1/live-keys/{}", id.as_str().unwrap())).expect(200).json;
        (view["state"].clone(), view["revoked_why"].clone())
    };
    assert_eq!(state(&json!(on_air.card.live_key_id.as_str())).0, "active");
    assert_eq!(state(&second["live_key_id"]), (json!("revoked"), json!("retired")));
    assert_eq!(state(&third["live_key_id"]).0, "active");
    let retired = second["live_key_id"].as_str().unwrap().parse().unwrap();
    assert!(api.registry.key(&retired).await.unwrap().unwrap().revoked);
    assert!(on_air.lease(&api.registry).await.unwrap().order.is_none());
}

#[tokio::test]
async fn what_the_request_asks_of_the_key_is_what_it_gets() {
    let api = Api::start().await;
    let wish = json!({"expires_in_seconds": 120, "takeover": "always", "max_duration_seconds": 3_600, "max_bitrate_kbps": 6_000});
    let address = api.post("/v1/producers/a%2Bb@example.com/broadcast-url", wish).expect(201).json;
    let id = address["live_key_id"].as_str().unwrap();
    let view = api.get(&format!("/v1/live-keys/{id}")).expect(200).json;
    assert_eq!(view["producer_id"], "a+b@example.com");
    assert_eq!((&view["takeover"], &view["max_duration_seconds"]), (&json!("always"), &json!(3_600)));
    assert_eq!(view["max_bitrate_kbps"], 6_000);
    let record = api.registry.key(&id.parse().unwrap()).await.unwrap().unwrap();
    // The record outlives the key by the leeway that nodes give it.
    let seconds = record.expires_at.since(UnixMs::now()) / 1_000 - LEEWAY.as_secs();
    assert!((117..=120).contains(&seconds), "{seconds}");
    api.ask("POST", "/v1/producers/anna/broadcast-url", None).expect(201);
}

#[tokio::test]
async fn a_wish_that_cannot_be_met_names_what_is_wrong() {
    let api = Api::start().await;
    let ask = |body: serde_json::Value| {
        let answer = api.post("/v1/producers/anna/broadcast-url", body).expect(400);
        assert_eq!(answer.code(), "bad_body");
        answer.json["detail"].as_str().unwrap().to_owned()
    };
    assert!(ask(json!({"expires_in_second": 120})).contains("unknown field `expires_in_second`"));
    assert!(ask(json!({"expires_in_seconds": 59})).contains("from 60 to 31622400"));
    assert!(ask(json!({"expires_in_seconds": -1})).contains("-1"));
    assert!(ask(json!({"max_duration_seconds": 0})).contains("max_duration_seconds"));
    assert!(ask(json!({"max_bitrate_kbps": 0})).contains("max_bitrate_kbps"));
    assert!(ask(json!({"takeover": "sometimes"})).contains("sometimes"));
    assert!(ask(json!([1])).contains("must be a JSON object"));
    let answer = api.post("/v1/producers/a%20b/broadcast-url", json!({})).expect(400);
    assert_eq!((answer.code(), &answer.json["parameter"]), ("bad_parameter", &json!("producer")));
}

#[tokio::test]
async fn the_program_gets_addresses_the_same_way() {
    let api = Api::start().await;
    let producer = ProducerId::parse("demo").unwrap();
    let address = api.handle.broadcast_url(&producer).await.unwrap();
    assert!(address.url().starts_with("rtmp://live.example.com:1935/"));
    assert!(!format!("{address:?}").contains(address.live_key.expose()));
    assert_eq!(api.address("demo")["room_id"], address.room_id.as_str());
}
