//! Play addresses, with and without a token.

use onair_cluster::{RoomId, UnixMs};
use serde_json::{Value, json};

use crate::support::{Api, Setup};

#[tokio::test]
async fn where_everyone_may_play_the_address_needs_no_token() {
    let api = Api::start().await;
    let view = api.ask("POST", "/v1/rooms/r1/play-url", None).expect(201).json;
    assert_eq!(view["url"], "rtmp://live.example.com:1935/r1/live");
    assert_eq!((&view["token"], &view["expires_at"]), (&Value::Null, &Value::Null));
    assert_eq!(api.ask("POST", "/v1/rooms/a.b/play-url", None).expect(400).code(), "bad_parameter");
}

#[tokio::test]
async fn where_players_need_a_token_the_address_carries_one_for_its_room_alone() {
    let api = Setup { play_needs_token: true, ..Setup::new() }.start().await;
    let view = api.post("/v1/rooms/r1/play-url", json!({"expires_in_seconds": 60})).expect(201).json;
    let token = view["token"].as_str().unwrap();
    assert_eq!(view["url"], format!("rtmp://live.example.com:1935/r1/live?token={token}"));
    let room = |name: &str| RoomId::parse(name).unwrap();
    let verify = |name: &str, at: UnixMs| api.play_verifier.verify(token.as_bytes(), &room(name), at);
    let now = UnixMs::now();
    assert_eq!(verify("r1", now), Ok(()));
    assert!(verify("r2", now).is_err());
    assert!(verify("r1", now.plus(std::time::Duration::from_secs(120))).is_err());
    for wrong in [json!({"expires_in_seconds": 9}), json!({"expires_in_seconds": 2_592_001}), json!({"x": 1})]
    {
        assert_eq!(api.post("/v1/rooms/r1/play-url", wrong).expect(400).code(), "bad_body");
    }
}
