//! Wrong keys: each is refused with its own reason, in words that ffmpeg prints and with a code at which OBS stops.

mod support;

use std::collections::HashSet;

use support::client::{Publisher, Refusal};
use support::encoders::ffmpeg;
use support::media::H264_AAC;
use support::{Address, LONG, Node, Process, eventually};

/// The codes at which OBS closes at once instead of waiting (its librtmp's list).
const OBS_STOPS_AT: [&str; 3] =
    ["NetStream.Publish.BadName", "NetStream.Publish.Denied", "NetStream.Publish.Rejected"];

/// What ffmpeg prints when it publishes `key` into `room`, and that it fails.
fn ffmpeg_is_told(node: &Node, room: &str, key: &str) -> String {
    let mut command = ffmpeg();
    command.arg("-re").arg("-i").arg(H264_AAC.file()).args(["-c", "copy", "-f", "flv"]);
    // As two options: ffmpeg cuts a URL at 1023 bytes.
    command.arg("-rtmp_playpath").arg(key).arg(format!("rtmp://{}/{room}", node.rtmp));
    let mut process = Process::spawn("refused-ffmpeg", node.home(), &command);
    assert!(!process.wait(LONG).success(), "{}", process.stderr());
    let words = process.stderr();
    let line = words.lines().find_map(|line| line.split_once("Server error: "));
    line.unwrap_or_else(|| panic!("no reason was printed:\n{words}")).1.to_owned()
}

fn refusal(node: &Node, room: &str, key: &str) -> Refusal {
    let outcome = Publisher::start_from([127, 0, 0, 1].into(), node, room, key);
    outcome.map(|_| ()).expect_err("this key must be refused")
}

/// The same key with one bit of its signature changed.
fn forged(key: &str) -> String {
    let (body, signature) = key.rsplit_once('.').expect("three parts");
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{body}.{other}{}", &signature[1..])
}

#[test]
fn every_wrong_key_has_its_own_reason_for_ffmpeg_and_a_code_for_obs() {
    let node = Node::start();
    let (alice, bob, revoked) = (node.address("alice"), node.address("bob"), node.address("carol"));
    let (status, body) = node.api().delete(&format!("/v1/live-keys/{}", revoked.live_key_id));
    assert!((200..300).contains(&status), "{body}");
    let long = "k".repeat(4_000);

    let cases = [
        ("a wrong signature", &alice.room, forged(&alice.live_key), "invalid"),
        ("another room's key", &alice.room, bob.live_key.clone(), "another room"),
        ("a revoked key", &revoked.room, revoked.live_key.clone(), "revoked"),
        ("no key", &alice.room, String::new(), "no live key"),
        ("a key of 4000 bytes", &alice.room, long, "4000 bytes"),
    ];
    let mut reasons = HashSet::new();
    for (what, room, key, word) in cases {
        let refusal = refusal(&node, room, &key);
        assert!(OBS_STOPS_AT.contains(&refusal.code.as_str()), "{what}: {refusal:?}");
        assert!(refusal.description.contains(word), "{what}: {refusal:?}");
        // An empty playpath makes ffmpeg take the URL's own path for the key.
        if !key.is_empty() {
            let printed = ffmpeg_is_told(&node, room, &key);
            assert_eq!(printed, refusal.description, "{what}");
        }
        assert!(reasons.insert(refusal.description), "{what} has a reason of its own");
    }
    assert!(node.api().sessions().is_empty(), "nobody was let in");
    assert!(Publisher::start(&node, &alice).is_ok(), "the right key still opens its room");
}

#[test]
fn an_address_without_a_key_is_told_so_by_ffmpeg() {
    let node = Node::start();
    let alice = node.address("alice");
    let mut command = ffmpeg();
    command.arg("-re").arg("-i").arg(H264_AAC.file()).args(["-c", "copy", "-f", "flv"]);
    command.arg(format!("rtmp://{}/{}/", node.rtmp, alice.room));
    let mut process = Process::spawn("keyless-ffmpeg", node.home(), &command);
    assert!(!process.wait(LONG).success());
    assert!(process.stderr().contains("Server error: no live key was given"), "{}", process.stderr());
}

#[test]
fn an_expired_key_is_told_since_when() {
    let node = Node::with_config("[live_keys]\nlifetime = \"1s\"\n");
    let alice: Address = node.address("alice");
    // A second of life and five of leeway for clocks that disagree.
    let refusal = eventually("the key to expire", LONG, || {
        Publisher::start_from([127, 0, 0, 1].into(), &node, &alice.room, &alice.live_key).err()
    });
    assert!(refusal.description.contains("expired at 20"), "{refusal:?}");
    assert!(OBS_STOPS_AT.contains(&refusal.code.as_str()), "{refusal:?}");
    assert_eq!(ffmpeg_is_told(&node, &alice.room, &alice.live_key), refusal.description);
}

#[test]
fn a_key_of_another_cluster_is_invalid_here() {
    let (here, elsewhere) = (Node::start(), Node::start());
    let foreign = elsewhere.address("alice");
    let refusal = refusal(&here, &foreign.room, &foreign.live_key);
    assert!(
        refusal.description.contains("invalid"),
        "nothing is told to whoever cannot prove a thing: {refusal:?}"
    );
}
