//! The live view.

use std::collections::HashSet;

use onair_cluster::UnixMs;
use onair_cluster::events::EndReason;
use serde_json::{Value, json};

use crate::support::{Api, Session};

fn rooms(list: &Value) -> HashSet<String> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["room_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_session_is_shown_as_the_registry_has_it() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let view = api.get(&format!("/v1/sessions/{}", session.id())).expect(200).json;
    assert_eq!(view["state"], "live");
    assert_eq!(view["epoch"], session.card.epoch.0);
    assert_eq!((&view["client_addr"], &view["client_agent"]), (&json!("192.0.2.7"), &json!("obs 30")));
    assert_eq!(view["video"], json!({"codec": "h264", "width": 1280, "height": 720, "fps": 29.97}));
    assert_eq!(view["audio"], json!({"codec": "aac", "sample_rate": 48_000, "channels": 2}));
    assert_eq!((&view["bitrate_kbps"], &view["bytes_in"]), (&json!(2_500), &json!(1_000)));
    assert_eq!((&view["players"], &view["confirmed"]), (&json!(3), &json!(true)));
    assert!(view["last_media_age_ms"].as_u64().unwrap() < 20_000);
    let list = api.get("/v1/sessions").expect(200).json;
    assert_eq!(list["items"][0]["session_id"], session.id());
    assert_eq!(list["next"], Value::Null);
}

#[tokio::test]
async fn a_session_without_media_is_granted_and_its_facts_are_null() {
    let api = Api::start().await;
    let session = Session::of_room(&api.registry, "r1", "node-1").await;
    let view = api.get(&format!("/v1/sessions/{}", session.id())).expect(200).json;
    assert_eq!(view["state"], "granted");
    for unknown in ["live_at", "last_media_age_ms", "video", "audio"] {
        assert_eq!(view[unknown], Value::Null, "{unknown}");
    }
}

#[tokio::test]
async fn a_session_that_has_ended_is_gone_and_says_how() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let (id, room) = (session.id(), session.room().to_owned());
    session.end(&api.registry, EndReason::Disconnected).await;
    api.stored().await;
    let answer = api.get(&format!("/v1/sessions/{id}")).expect(404);
    assert_eq!(answer.code(), "session_ended");
    assert_eq!(answer.json["end_reason"], "disconnected");
    assert_eq!(answer.json["broadcasts"], format!("/v1/broadcasts?room={room}"));
    assert_eq!(api.get("/v1/sessions").expect(200).json["items"], json!([]));
    let never = api.get("/v1/sessions/00000000000000000000000000000000").expect(404);
    assert_eq!(never.code(), "session_unknown");
    let bad = api.get("/v1/sessions/abc").expect(400);
    assert_eq!((bad.code(), &bad.json["parameter"]), ("bad_parameter", &json!("session")));
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let api = Api::start().await;
    let now = UnixMs::now();
    Session::of_room(&api.registry, "a", "node-1").await;
    Session::of_room(&api.registry, "b", "node-2").await.live(&api.registry, now).await;
    Session::of_room(&api.registry, "c", "node-2").await;
    let ask = |query: &str| {
        let mut rooms: Vec<_> =
            rooms(&api.get(&format!("/v1/sessions?{query}")).expect(200).json).into_iter().collect();
        rooms.sort();
        rooms.join(" ")
    };
    assert_eq!(ask(""), "a b c");
    assert_eq!(ask("room=a"), "a");
    assert_eq!(ask("room=zzz"), "");
    assert_eq!(ask("producer=p-b"), "b");
    assert_eq!(ask("node=node-2"), "b c");
    assert_eq!(ask("state=granted"), "a c");
    assert_eq!(ask("state=live&node=node-2"), "b");
    assert_eq!(ask("room=a&state=live"), "");
}

#[tokio::test]
async fn a_walk_meets_every_session_that_lasts_exactly_once() {
    let api = Api::start().await;
    for n in 0..1_000 {
        Session::of_room(&api.registry, &format!("room-{n}"), "node-1").await;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut after = String::new();
    let mut fleeting = 0;
    loop {
        let list = api.get(&format!("/v1/sessions?limit=37{after}")).expect(200).json;
        let items = list["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["room_id"].as_str().unwrap().to_owned()));
        // Others come and go meanwhile, before and behind the cursor.
        for _ in 0..3 {
            fleeting += 1;
            let session = Session::of_room(&api.registry, &format!("fleeting-{fleeting}"), "node-1").await;
            if fleeting % 2 == 0 {
                session.end(&api.registry, EndReason::Unpublished).await;
            }
        }
        let Some(next) = list["next"].as_str() else { break };
        assert_eq!(items.len(), 37);
        after = format!("&after={next}");
    }
    let lasting: Vec<_> = seen.iter().filter(|room| room.starts_with("room-")).collect();
    assert_eq!(lasting.len(), 1_000);
    assert_eq!(lasting.iter().collect::<HashSet<_>>().len(), 1_000);
    let whole = api.get("/v1/sessions?limit=500").expect(200).json;
    assert_eq!(whole["items"].as_array().unwrap().len(), 500);
}
