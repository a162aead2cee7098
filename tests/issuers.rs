//! Goal: a platform's own live keys put its producers on air, and off. Method: a real node that trusts a signer of ours under
//! another name, which plays the platform.

mod support;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onair_cluster::live_key::LiveKeySigner;
use onair_cluster::{LiveKeyId, ProducerId, RoomId, UnixMs};
use serde_json::json;
use support::{LONG, Node, Publisher, eventually};

/// A platform, and a node that knows it.
fn platform() -> (LiveKeySigner, Node) {
    let signer = LiveKeySigner::generate("https:platform").expect("a key");
    let x = URL_SAFE_NO_PAD.encode(signer.public_key().0);
    let node = Node::with_config(&format!(
        "[[issuer]]\nname = \"platform\"\niss = \"https:platform\"\naud = \"ingest\"\npublic_keys = [\"{x}\"]\n"
    ));
    (signer, node)
}

/// A key for `room` with this `jti`, good for `seconds`.
fn mint(signer: &LiveKeySigner, room: &RoomId, jti: &LiveKeyId, seconds: u64) -> String {
    let (now, alice) = (UnixMs::now(), ProducerId::parse("alice").expect("an id"));
    let key = signer.mint(room, &alice, jti, now, UnixMs(now.0 + seconds * 1_000)).expect("a key");
    key.expose().to_owned()
}

fn publish(node: &Node, room: &RoomId, key: &str) -> Result<Publisher, String> {
    let publisher = Publisher::start_at([127, 0, 0, 1].into(), node.rtmp, room.as_str(), key);
    publisher.expect("the node answers").map_err(|refusal| format!("{refusal:?}"))
}

#[test]
fn a_platforms_key_opens_its_room_unasked_and_is_revoked_by_its_id() {
    let (signer, node) = platform();
    let room = RoomId::parse("platform-room").expect("an id");
    let jti = LiveKeyId::random(&room);
    let key = mint(&signer, &room, &jti, 600);
    let _publisher = publish(&node, &room, &key).expect("nobody had to ask the Manager");
    let session = node.api().get(&format!("/v1/rooms/{room}")).1["session"].clone();
    assert_eq!(session["producer_id"], "alice");
    let id = session["live_key_id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with(&format!("{}platform-", room.shard())), "{id}");

    assert_eq!(node.api().delete(&format!("/v1/live-keys/{id}")).0, 204);
    eventually("the cut", LONG, || {
        node.api().get(&format!("/v1/rooms/{room}")).1["session"].is_null().then_some(())
    });
    let refusal = publish(&node, &room, &key).err().expect("it is revoked");
    assert!(refusal.contains("this live key was revoked"), "{refusal}");
    // Known again after a restart, from the Live DB alone: the registry of a node that stops is gone.
    let node = node.restart();
    let refusal = publish(&node, &room, &key).err().expect("it is still revoked");
    assert!(refusal.contains("this live key was revoked"), "{refusal}");
}

#[test]
fn a_platforms_key_can_be_refused_in_advance_and_may_not_live_too_long() {
    let (signer, node) = platform();
    let room = RoomId::parse("platform-room").expect("an id");
    let (denied, long) = (LiveKeyId::random(&room), LiveKeyId::random(&room));
    let body = json!({"jti": denied.as_str(), "room_id": room.as_str()});
    assert_eq!(node.api().post("/v1/issuers/platform/revocations", &body).0, 200);
    let refusal = publish(&node, &room, &mint(&signer, &room, &denied, 600)).err().expect("it is revoked");
    assert!(refusal.contains("this live key was revoked"), "{refusal}");
    let refusal =
        publish(&node, &room, &mint(&signer, &room, &long, 2 * 86_400)).err().expect("a day at most");
    assert!(refusal.contains("longer than its issuer may grant"), "{refusal}");
    let stranger = LiveKeySigner::generate("https:platform").expect("a key");
    let refusal = publish(&node, &room, &mint(&stranger, &room, &long, 60)).err().expect("another key");
    assert!(refusal.contains("the live key is invalid"), "{refusal}");
}
