//! A registry that outlives the Manager: what it has is left alone, and what it has lost it gets back.

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::{Registry, local::LocalRegistry};
use onair_cluster::{LiveKeyId, RoomId, Shard};
use serde_json::json;
use tempfile::TempDir;

use crate::forgetful::{Fault, Forgetful};
use crate::support::{Api, Setup, eventually};

/// The Manager of a cluster, on what an earlier one left in `dir`.
async fn start(
    dir: TempDir,
    registry: Arc<LocalRegistry>,
    faults: Vec<(Shard, Fault)>,
) -> (Api, Arc<Forgetful>) {
    let forgetful = Arc::new(Forgetful::new(Arc::clone(&registry), faults));
    let shared: Arc<dyn Registry> = forgetful.clone();
    let setup = Setup { dir, registry, shared: Some(shared), ..Setup::new() };
    (setup.start().await, forgetful)
}

fn room_of(address: &serde_json::Value) -> RoomId {
    address["room_id"].as_str().unwrap().parse().unwrap()
}

fn key_of(address: &serde_json::Value) -> LiveKeyId {
    address["live_key_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn sessions_go_on_while_no_manager_runs() {
    let Setup { dir, registry, .. } = Setup::new();
    let (api, _) = start(dir, registry, vec![]).await;
    let session = api.on_air("anna").await;
    let other = api.on_air("ben").await;
    assert_eq!(api.handle.stop(Duration::from_secs(20)).await, 0);
    other.clone().end(&api.registry, EndReason::Disconnected).await;

    let (api, _) = start(api.dir, api.registry, vec![]).await;
    api.stored().await;
    let items = api.get("/v1/broadcasts").expect(200).json["items"].clone();
    let ended = |id: String| {
        let items = items.as_array().unwrap();
        items.iter().find(|b| b["session_id"] == id).unwrap()["end_reason"].clone()
    };
    assert_eq!(ended(session.id()), json!(null), "it is on air, and no start of a Manager ends it");
    assert_eq!(ended(other.id()), "disconnected", "what happened meanwhile was not lost");
}

#[tokio::test]
async fn a_shard_without_memory_gets_its_own_keys_and_holds_back_and_the_others_are_left_alone() {
    let api = Api::start().await;
    let (anna, ben) = (api.on_air("anna").await, api.address("ben"));
    let (shard, other) = (anna.card.room_id.shard(), room_of(&ben).shard());
    let carl = loop {
        // A room of the shard that is to be lost, and never had a session of its own.
        let carl = api.address(&format!("c{}", rand_name()));
        if room_of(&carl).shard() == shard {
            break carl;
        }
    };
    api.put(&format!("/v1/rooms/{}/hold", room_of(&carl)), json!({"hold_seconds": 600})).expect(200);
    api.handle.stop(Duration::from_secs(20)).await;

    let registry = Setup::new().registry;
    let (api, forgetful) = start(api.dir, registry, vec![(shard, Fault::Empty)]).await;
    assert_eq!(*forgetful.recovered.lock(), [(shard, false)].into(), "the Live DB knows a session of it");
    assert!(api.registry.key(&anna.card.live_key_id).await.unwrap().is_some());
    assert!(api.registry.key(&key_of(&carl)).await.unwrap().is_some());
    assert!(api.registry.hold(&room_of(&carl)).await.unwrap().is_some());
    if other != shard {
        assert!(api.registry.key(&key_of(&ben)).await.unwrap().is_none(), "that shard has its keys, it said");
    }
}

fn rand_name() -> u128 {
    onair_cluster::SessionId::random().0
}

#[tokio::test]
async fn a_shard_that_never_had_a_session_is_opened_as_new() {
    let Setup { dir, registry, .. } = Setup::new();
    let faults = Shard::all().map(|shard| (shard, Fault::Empty)).collect();
    let (_api, forgetful) = start(dir, registry, faults).await;
    assert_eq!(*forgetful.recovered.lock(), Shard::all().map(|shard| (shard, true)).collect());
}

#[tokio::test]
async fn a_shard_is_never_said_to_be_complete_before_all_its_keys_are_there_and_is_tried_again() {
    let api = Api::start().await;
    let anna = api.on_air("anna").await;
    let shard = anna.card.room_id.shard();
    api.handle.stop(Duration::from_secs(20)).await;

    let (api, forgetful) = start(api.dir, Setup::new().registry, vec![(shard, Fault::Away)]).await;
    assert!(forgetful.recovered.lock().is_empty());
    assert!(api.get("/readyz").expect(200).json["degraded"].to_string().contains("registry"));
    forgetful.faults.lock().insert(shard, Fault::Empty);
    eventually("the shard to be complete", async || !forgetful.recovered.lock().is_empty()).await;
    assert!(api.registry.key(&anna.card.live_key_id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_lost_memory_is_noticed_while_the_manager_runs() {
    let Setup { dir, registry, .. } = Setup::new();
    let (api, forgetful) = start(dir, registry, vec![]).await;
    let anna = api.on_air("anna").await;
    let shard = anna.card.room_id.shard();
    forgetful.put.lock().clear();
    forgetful.faults.lock().insert(shard, Fault::Empty);
    eventually("the shard to be complete", async || forgetful.recovered.lock().contains_key(&shard)).await;
    assert_eq!(*forgetful.put.lock(), std::slice::from_ref(&anna.card.live_key_id));
}

#[tokio::test]
async fn a_revocation_that_never_reached_the_registry_does_at_the_next_start() {
    let Setup { dir, registry, .. } = Setup::new();
    let (api, _) = start(dir, registry, vec![]).await;
    let anna = api.on_air("anna").await;
    // The Manager is killed between the row and the registry.
    api.live_db.revoke_key(&anna.card.live_key_id, onair_cluster::UnixMs::now()).await.unwrap();
    api.handle.stop(Duration::from_secs(20)).await;
    let (api, forgetful) = start(api.dir, api.registry, vec![]).await;
    assert_eq!(anna.lease(&api.registry).await.unwrap().order.unwrap().reason, EndReason::Revoked);
    assert!(forgetful.recovered.lock().is_empty());
}

#[tokio::test]
async fn a_shard_that_is_away_keeps_no_other_waiting() {
    let Setup { dir, registry, .. } = Setup::new();
    let (api, forgetful) = start(dir, registry, vec![]).await;
    let away = Shard::all().find(|shard| *shard != RoomId::parse("r1").unwrap().shard()).unwrap();
    forgetful.faults.lock().insert(away, Fault::Away);
    let session = crate::support::Session::of_room(&api.registry, "r1", "node-1").await;
    let session = session.live(&api.registry, onair_cluster::UnixMs::now()).await;
    eventually("its start", async || api.live_db.session(&session.card.session_id).await.unwrap().is_some())
        .await;
    assert_eq!(api.get(&format!("/v1/sessions/{}", session.id())).expect(200).json["confirmed"], json!(true));
}

#[tokio::test]
async fn a_list_of_sessions_that_lacks_a_shard_says_so_and_one_that_lacks_all_is_none() {
    let Setup { dir, registry, .. } = Setup::new();
    let (api, forgetful) = start(dir, registry, vec![]).await;
    let rooms = ["r1", "r2", "r3"];
    for room in rooms {
        crate::support::Session::of_room(&api.registry, room, "node-1").await;
    }
    let whole = api.get("/v1/sessions").expect(200).json;
    assert_eq!((whole["items"].as_array().unwrap().len(), &whole["shards_away"]), (3, &json!([])));

    let away = RoomId::parse("r2").unwrap().shard();
    forgetful.faults.lock().insert(away, Fault::Away);
    let part = api.get("/v1/sessions").expect(200).json;
    assert_eq!(part["shards_away"], json!([away.to_string()]));
    let shown: Vec<_> =
        part["items"].as_array().unwrap().iter().map(|item| item["room_id"].clone()).collect();
    assert!(shown.len() == 2 && !shown.contains(&json!("r2")), "{shown:?}");
    // Whoever asks for that room alone gets no wrong answer.
    assert_eq!(api.get("/v1/sessions?room=r2").expect(503).code(), "registry_away");

    forgetful.faults.lock().extend(Shard::all().map(|shard| (shard, Fault::Away)));
    assert_eq!(api.get("/v1/sessions").expect(503).code(), "registry_away");
}
