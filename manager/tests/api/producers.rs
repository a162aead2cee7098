//! Producers and their rooms, and their live keys as a whole.

use std::time::Duration;

use onair_cluster::UnixMs;
use onair_cluster::live_key::LEEWAY;
use onair_cluster::registry::Registry;
use onair_cluster::{LiveKeyId, RoomId};
use serde_json::{Value, json};

use crate::support::Api;

fn keys(api: &Api, query: &str) -> Vec<Value> {
    api.get(&format!("/v1/live-keys{query}")).expect(200).json["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_platform_brings_its_own_room_ids_and_may_ask_again() {
    let api = Api::start().await;
    let first = api.put("/v1/producers/anna", json!({"room_id": "annas-room"})).expect(201).json;
    assert_eq!((&first["room_id"], &first["state"]), (&json!("annas-room"), &json!("off_air")));
    let again = api.put("/v1/producers/anna", json!({"room_id": "annas-room"})).expect(200).json;
    assert_eq!(again, first);
    api.put("/v1/producers/anna", json!({})).expect(200);
    assert_eq!(api.ask("PUT", "/v1/producers/anna", None).expect(200).json, first);
    assert_eq!(api.address("anna")["room_id"], "annas-room");

    let other = api.put("/v1/producers/anna", json!({"room_id": "another"})).expect(409);
    assert_eq!((other.code(), &other.json["room_id"]), ("other_room", &json!("annas-room")));
    let taken = api.put("/v1/producers/ben", json!({"room_id": "annas-room"})).expect(409);
    assert_eq!(taken.code(), "room_taken");
    api.get("/v1/producers/ben").expect(404);
    let random = api.put("/v1/producers/ben", json!({})).expect(201).json;
    assert_eq!(random["room_id"].as_str().unwrap().len(), 26);
    for bad in [json!({"room_id": "a b"}), json!({"room_id": ""}), json!({"room": "x"})] {
        assert_eq!(api.put("/v1/producers/carl", bad).expect(400).code(), "bad_body");
    }
}

#[tokio::test]
async fn a_producer_is_shown_with_what_happens_in_their_room() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let anna = api.get("/v1/producers/anna").expect(200).json;
    assert_eq!((&anna["state"], anna["room_id"].as_str()), (&json!("live"), Some(session.room())));
    assert_eq!(api.get("/v1/producers/nobody").expect(404).code(), "producer_unknown");
}

#[tokio::test]
async fn producers_are_listed_by_id_page_by_page() {
    let api = Api::start().await;
    for name in ["d", "a", "c@x", "b"] {
        api.put(&format!("/v1/producers/{name}"), json!({})).expect(201);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/producers?limit=3{after}")).expect(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["producer_id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, [json!("a"), json!("b"), json!("c@x"), json!("d")]);
}

#[tokio::test]
async fn live_keys_are_listed_newest_first_by_room_producer_and_state() {
    let api = Api::start().await;
    let mut made = Vec::new();
    for n in 0..4 {
        let producer = if n % 2 == 0 { "anna" } else { "ben" };
        made.push(api.address(producer)["live_key_id"].as_str().unwrap().to_owned());
    }
    api.delete(&format!("/v1/live-keys/{}", made[0])).expect(204);
    let ids = |query: &str| -> Vec<String> {
        keys(&api, query).iter().map(|key| key["live_key_id"].as_str().unwrap().to_owned()).collect()
    };
    let mut all = ids("");
    let page = api.get("/v1/live-keys?limit=3").expect(200).json;
    let rest = ids(&format!("?limit=3&after={}", page["next"].as_str().unwrap()));
    assert_eq!(rest.as_slice(), &all[3..]);
    all.sort();
    let mut wanted = made.clone();
    wanted.sort();
    assert_eq!(all, wanted);
    let room = api.get("/v1/producers/anna").json["room_id"].as_str().unwrap().to_owned();
    assert_eq!(ids("?producer=anna").len(), 2);
    assert_eq!(ids(&format!("?room={room}")), ids("?producer=anna"));
    assert_eq!(ids("?producer=anna&state=revoked"), [made[0].clone()]);
    assert_eq!(ids("?producer=anna&state=active"), [made[2].clone()]);
    assert_eq!(ids("?state=expired").len() + ids("?producer=nobody").len(), 0);
    for bad in ["?state=x", "?after=1", "?after=1.5", "?node=n"] {
        assert_eq!(api.get(&format!("/v1/live-keys{bad}")).expect(400).code(), "bad_parameter", "{bad}");
    }
}

#[tokio::test]
async fn a_rotation_revokes_the_older_keys_and_cuts_what_is_on_air_with_them() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let second = api.address("anna")["live_key_id"].as_str().unwrap().to_owned();
    let answer = api.post("/v1/producers/anna/live-keys/rotate", json!({"takeover": "always"})).expect(201);
    let (new, ended) = (&answer.json["address"], &answer.json["ended"]);
    let new_id = new["live_key_id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/live-keys/{new_id}"));
    assert_eq!(ended.as_array().unwrap().len(), 2);
    assert!(ended.as_array().unwrap().contains(&json!(second)));
    assert!(session.lease(&api.registry).await.unwrap().order.is_some(), "on air with an old key: cut");
    let active = keys(&api, "?producer=anna&state=active");
    assert_eq!((active.len(), &active[0]["takeover"]), (1, &json!("always")));
    assert_eq!(active[0]["live_key_id"], new_id);
    let old = api.registry.key(&second.parse::<LiveKeyId>().unwrap()).await.unwrap().unwrap();
    assert!(old.revoked);
}

#[tokio::test]
async fn a_rotation_with_an_overlap_lets_older_keys_end_by_themselves() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let old = session.card.live_key_id.clone();
    let body = json!({"overlap_seconds": 600});
    let answer = api.post("/v1/producers/anna/live-keys/rotate", body).expect(201).json;
    assert_eq!(answer["ended"], json!([old.to_string()]));
    assert!(session.lease(&api.registry).await.unwrap().order.is_none(), "on air: goes on");
    let row = api.get(&format!("/v1/live-keys/{old}")).expect(200).json;
    assert_eq!((&row["state"], &row["expires_at"]), (&json!("active"), &answer["ended_at"]));
    let record = api.registry.key(&old).await.unwrap().unwrap();
    let at_most = UnixMs::now().plus(Duration::from_secs(600)).plus(LEEWAY);
    assert!(!record.revoked && record.expires_at <= at_most, "{record:?}");
    // A second one makes nothing longer.
    api.post("/v1/producers/anna/live-keys/rotate", json!({"overlap_seconds": 6_000})).expect(201);
    assert_eq!(api.registry.key(&old).await.unwrap().unwrap().expires_at, record.expires_at);
    api.post("/v1/producers/anna/live-keys/rotate", json!({"overlap_seconds": 604_801})).expect(400);
}

#[tokio::test]
async fn a_rotation_for_somebody_new_is_a_first_address() {
    let api = Api::start().await;
    let answer = api.post("/v1/producers/zoe/live-keys/rotate", json!({})).expect(201).json;
    assert_eq!(answer["ended"], json!([]));
    let room: RoomId = answer["address"]["room_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(api.get("/v1/producers/zoe").expect(200).json["room_id"], room.as_str());
}
