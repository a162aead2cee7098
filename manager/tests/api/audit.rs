//! Who did what is on record, and nobody waits for it.

use std::time::Duration;

use onair_cluster::nodes::{NodeLoad, Nodes};
use serde_json::{Value, json};

use crate::support::{Api, Setup, TOKEN, eventually, token_of};

fn items(api: &Api, query: &str) -> Vec<Value> {
    api.get(&format!("/v1/audit{query}")).expect(200).json["items"].as_array().unwrap().clone()
}

async fn settled(api: &Api, entries: usize) -> Vec<Value> {
    eventually("all entries", async || items(api, "").len() == entries).await;
    items(api, "")
}

#[tokio::test]
async fn every_change_that_matters_leaves_an_entry_that_says_who() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let token = api.post("/v1/tokens", json!({"name": "desk", "role": "issuer"})).expect(201).json;
    let (desk, desk_id) = (token["token"].as_str().unwrap(), token["token_id"].as_str().unwrap());
    let room = session.room();
    let done: Vec<(&str, &str, String, Option<Value>)> = vec![
        ("producer_created", "PUT", "/v1/producers/ben".to_owned(), Some(json!({"room_id": "bens"}))),
        ("room_ended", "POST", format!("/v1/rooms/{room}/end"), Some(json!({"reason": "why"}))),
        ("room_held", "PUT", format!("/v1/rooms/{room}/hold"), Some(json!({"hold_seconds": 60}))),
        ("hold_lifted", "DELETE", format!("/v1/rooms/{room}/hold"), None),
        ("live_key_revoked", "DELETE", format!("/v1/live-keys/{}", session.card.live_key_id), None),
        ("live_keys_rotated", "POST", "/v1/producers/ben/live-keys/rotate".to_owned(), None),
    ];
    for (action, method, path, body) in &done {
        let answer = api.ask_as(desk, method, path, body.clone());
        assert!(answer.status < 300, "{action}: {answer:?}");
    }
    let body = json!({"jti": "j", "room_id": "r"});
    api.post("/v1/issuers/platform/revocations", body).expect(200);
    api.delete(&format!("/v1/tokens/{desk_id}")).expect(204);

    let entries = settled(&api, done.len() + 3).await;
    let actions: Vec<_> = entries.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect();
    let mut wanted = vec!["token_created"];
    wanted.extend(done.iter().map(|(action, ..)| *action));
    wanted.extend(["foreign_key_revoked", "token_revoked"]);
    assert_eq!(actions, wanted, "newest first, in the order in which it was done");
    let ended = entries.iter().find(|entry| entry["action"] == "room_ended").unwrap();
    assert_eq!((ended["subject"].as_str(), &ended["details"]["reason"]), (Some(room), &json!("why")));
    let by = json!({"kind": "api_token", "id": desk_id, "name": "desk", "role": "issuer"});
    assert_eq!((&ended["caller"], &ended["peer"]), (&by, &json!("127.0.0.1")));
    assert!(!ended["request_id"].as_str().unwrap().is_empty());
    assert_eq!(entries[0]["caller"], json!({"kind": "admin_token", "id": "", "name": null, "role": "admin"}));
    let all = api.get("/v1/audit").text;
    assert!(!all.contains(desk) && !all.contains(TOKEN), "no secret is on record");
}

#[tokio::test]
async fn a_live_key_and_a_platform_are_named_too() {
    let api = Api::start().await;
    let address = api.address("anna");
    let (room, key) = (address["room_id"].as_str().unwrap(), address["live_key"].as_str().unwrap());
    let id = address["live_key_id"].as_str().unwrap();
    let session =
        crate::support::Session::granted(&api.registry, room.parse().unwrap(), id.parse().unwrap(), "node-1");
    session.await.unwrap();
    api.ask_as(key, "POST", &format!("/v1/rooms/{room}/end"), None).expect(202);
    api.ask_as(&token_of("issuer"), "PUT", "/v1/rooms/x/hold", Some(json!({"hold_seconds": 9}))).expect(200);
    let entries = settled(&api, 2).await;
    assert_eq!(
        entries[0]["caller"],
        json!({"kind": "platform", "id": "platform/some-issuer", "name": null, "role": "issuer"})
    );
    assert_eq!(entries[1]["caller"], json!({"kind": "live_key", "id": id, "name": null, "role": null}));
}

#[tokio::test]
async fn what_was_refused_or_changed_nothing_leaves_none() {
    let api = Api::start().await;
    api.post("/v1/rooms/nobodys/end", json!({})).expect(404);
    api.delete("/v1/rooms/nobodys/hold").expect(404);
    api.delete("/v1/live-keys/00k").expect(404);
    api.post("/v1/nodes/nowhere/drain", json!({})).expect(404);
    api.ask_as(&token_of("viewer"), "POST", "/v1/rooms/nobodys/end", None).expect(403);
    api.put("/v1/producers/anna", json!({})).expect(201);
    api.put("/v1/producers/anna", json!({})).expect(200);
    assert_eq!(settled(&api, 1).await[0]["action"], "producer_created");
}

#[tokio::test]
async fn the_log_is_read_by_page_and_by_what_one_looks_for() {
    let api = Api::start().await;
    for n in 0..5 {
        api.put(&format!("/v1/rooms/r{n}/hold"), json!({"hold_seconds": 60})).expect(200);
    }
    api.ask_as(&token_of("issuer"), "DELETE", "/v1/rooms/r3/hold", None).expect(204);
    let all = settled(&api, 6).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/audit?limit=4{after}")).expect(200).json;
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, all);
    assert_eq!(items(&api, "?subject=r3").len(), 2);
    assert_eq!(items(&api, "?subject=r3&action=room_held").len(), 1);
    assert_eq!(items(&api, "?caller=platform/some-issuer").len(), 1);
    assert_eq!(items(&api, "?action=hold_lifted").len(), 1);
    let third = all[3]["at"].as_str().unwrap();
    let (until, since) = (items(&api, &format!("?until={third}")), items(&api, &format!("?since={third}")));
    assert_eq!(until.len() + since.len(), 6);
    assert!(since.contains(&all[3]) && !until.contains(&all[3]));
    for bad in ["?action=x", "?since=yesterday", "?after=z", "?room=r", "?caller="] {
        assert_eq!(api.get(&format!("/v1/audit{bad}")).expect(400).code(), "bad_parameter", "{bad}");
    }
}

#[tokio::test]
async fn a_drain_is_on_record_and_an_orderly_stop_writes_what_waits() {
    let api = Api::start().await;
    api.nodes.beat(&crate::nodes::card("node-1"), &NodeLoad::default(), false).await.unwrap();
    api.post("/v1/nodes/node-1/drain", json!({})).expect(202);
    api.handle.stop(Duration::from_secs(20)).await;
    let api = Setup { dir: api.dir, ..Setup::new() }.start().await;
    assert_eq!(items(&api, "?subject=node-1")[0]["action"], "node_drained");
}
