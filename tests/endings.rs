//! Every way a broadcast can end: exactly one end each, with its true reason.

mod support;

use std::time::Instant;

use serde_json::json;
use support::client::{Publisher, tags};
use support::encoders::publish;
use support::media::H264_AAC;
use support::{Address, LONG, Node, Process, eventually, holds, secs};

/// A node with one live ffmpeg publisher.
fn on_air(config: &str) -> (Node, Address, Process) {
    let node = Node::with_config(config);
    let address = node.address("alice");
    let publisher = publish(&node, &H264_AAC, &address.url);
    node.api().live_session(&address.room);
    (node, address, publisher)
}

/// The room is free again and the history has exactly one end.
fn assert_over(node: &Node, address: &Address, reason: &str) {
    node.api().assert_ended(&address.room, reason);
    assert!(node.api().session(&address.room).is_none(), "no session is left");
}

#[test]
fn an_encoder_that_says_goodbye_unpublished() {
    let (node, address, publisher) = on_air("");
    publisher.interrupt();
    assert_over(&node, &address, "unpublished");
}

#[test]
fn a_killed_encoder_disconnected() {
    let (node, address, mut publisher) = on_air("");
    publisher.kill();
    assert_over(&node, &address, "disconnected");
}

#[test]
fn a_frozen_encoder_timed_out_and_its_broadcast_ended_with_its_last_media() {
    let (node, address, publisher) = on_air("[rtmp]\nidle_timeout = \"2s\"\n");
    publisher.freeze();
    assert_over(&node, &address, "timeout");
}

#[test]
fn an_end_by_api_with_a_hold_keeps_the_encoder_out_until_the_hold_is_over() {
    let (node, address, mut publisher) = on_air("");
    let api = node.api();
    let (status, body) = api.post(
        &format!("/v1/rooms/{}/end", address.room),
        &json!({ "reason": "enough for today", "hold_seconds": 5 }),
    );
    assert!((200..300).contains(&status), "{status} {body}");
    publisher.wait(LONG);
    assert_over(&node, &address, "ended_by_api");

    let refusal = Publisher::start(&node, &address).err().expect("the room is held");
    assert!(refusal.description.contains("on hold"), "{refusal:?}");
    let mut again = publish(&node, &H264_AAC, &address.url);
    assert!(!again.wait(LONG).success(), "ffmpeg's reconnect is refused");
    assert!(again.stderr().contains("Server error: "), "{}", again.stderr());

    eventually("the hold to end", LONG, || Publisher::start(&node, &address).ok());
}

#[test]
fn a_hold_can_be_laid_and_lifted_by_itself() {
    let node = Node::start();
    let address = node.address("alice");
    let hold = format!("/v1/rooms/{}/hold", address.room);
    let (status, body) = node.api().put(&hold, &json!({ "reason": "not today", "hold_seconds": 600 }));
    assert!((200..300).contains(&status), "{status} {body}");
    assert!(Publisher::start(&node, &address).is_err());
    let (status, body) = node.api().delete(&hold);
    assert!((200..300).contains(&status), "{status} {body}");
    assert!(Publisher::start(&node, &address).is_ok());
}

#[test]
fn revoking_the_key_cuts_its_broadcast() {
    let node = Node::start();
    let address = node.address("alice");
    let publisher = Publisher::start(&node, &address).expect("a good key");
    let steady = publisher.keep_sending(tags(&H264_AAC.file()));
    node.api().live_session(&address.room);

    let began = Instant::now();
    let (status, body) = node.api().delete(&format!("/v1/live-keys/{}", address.live_key_id));
    assert!((200..300).contains(&status), "{status} {body}");
    eventually("the cut", LONG, || (!steady.is_sending()).then_some(()));
    println!("cut {:?} after the request", began.elapsed());
    assert_over(&node, &address, "revoked");
    let refusal = Publisher::start(&node, &address).err().expect("revoked for good");
    assert!(refusal.description.contains("revoked"), "{refusal:?}");
}

#[test]
fn sigterm_of_the_node_gives_the_lease_back_before_it_goes() {
    let (mut node, address, _publisher) = on_air("");
    node.terminate();
    assert_eq!(node.wait(secs(15)).code(), Some(0), "{}", node.log());
    let node = node.restart();
    assert_over(&node, &address, "drain");
}

#[test]
fn a_session_of_a_killed_node_is_closed_as_lost_at_the_next_start() {
    let (mut node, address, mut publisher) = on_air("");
    // The registry knows of a start some milliseconds before the Live DB does, and a kill in between leaves no trace of it.
    eventually("the start on record", LONG, || node.api().broadcasts(&address.room).pop());
    node.kill();
    publisher.wait(LONG);
    let node = node.restart();
    assert_over(&node, &address, "lost");
    let publisher = Publisher::start(&node, &address);
    assert!(publisher.is_ok(), "the room is free again: {:?}", publisher.err());
}

#[test]
fn a_publisher_that_never_sends_media_times_out_and_was_never_a_broadcast() {
    let node = Node::with_config("[rtmp]\nfirst_media_timeout = \"1s\"\n");
    let address = node.address("alice");
    let mut publisher = Publisher::start(&node, &address).expect("a good key");
    let session = node.api().session(&address.room).expect("granted");
    assert_eq!(session["state"], "granted");
    eventually("the cut", LONG, || publisher.is_cut().then_some(()));
    let session = eventually("the end of the session", LONG, || {
        let (_, body) = node.api().get(&format!("/v1/sessions/{}", session["session_id"].as_str()?));
        (body["end_reason"] == "timeout").then_some(body)
    });
    assert!(session["live_at"].is_null(), "{session}");
    assert!(node.api().broadcasts(&address.room).is_empty(), "what no viewer could see was no broadcast");
}

#[test]
fn many_broadcasts_end_each_exactly_once() {
    let node = Node::start();
    let sample = tags(&H264_AAC.file());
    let address = node.address("alice");
    for _ in 0..20 {
        let mut publisher = eventually("a free room", LONG, || Publisher::start(&node, &address).ok());
        for tag in sample.iter().take(40) {
            publisher.send(tag).expect("not cut");
        }
        publisher.unpublish();
    }
    let ended = node.api().ended_broadcasts(&address.room, 20);
    assert!(ended.iter().all(|b| b["end_reason"] == "unpublished"), "{ended:?}");
    holds("no second end comes late", secs(1), || node.api().broadcasts(&address.room).len() == 20);
}
