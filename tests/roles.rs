//! Goal: one program in three roles, and no two processes under one name. Method: real processes on a real Redis; those that must
//! not start are waited for, and judged by exit code and last words.

mod support;

use std::net::SocketAddr;
use std::process::{Command, Output};

use onair_testkit::redis::{Options, Redis};
use serde_json::json;
use support::{Address, Fleet, LONG, Node, Publisher, Store, eventually};

/// Runs `onair` with these settings to its end.
fn failing(verb: &str, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_onair"));
    command.arg(verb).args(["--http", "127.0.0.1:0"]).arg("--data-dir").arg(home.path().join("data"));
    command.env("ONAIR__RTMP__LISTEN", "127.0.0.1:0").env_remove("ONAIR_LOG");
    command.envs(settings.iter().map(|(key, value)| (format!("ONAIR__{key}"), *value)));
    let Output { status, stderr, .. } = command.output().expect("onair runs");
    let words = String::from_utf8_lossy(&stderr).into_owned();
    (status.code(), words.lines().last().unwrap_or_default().to_owned())
}

/// Publishes, and is let in.
fn publish(rtmp: SocketAddr, address: &Address) -> Publisher {
    let here = [127, 0, 0, 1].into();
    let publisher =
        Publisher::start_at(here, rtmp, &address.room, &address.live_key).expect("the node answers");
    publisher.unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
}

/// Some Ed25519 key.
const KEY: (&str, &str) = ("LIVE_KEYS__PUBLIC_KEYS", "[\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"]");

#[test]
fn what_a_half_cannot_do_without_is_named() {
    for verb in ["ingest", "manager"] {
        let (code, words) = failing(verb, &[KEY]);
        assert_eq!((code, words.contains("redis.url must be set")), (Some(78), true), "{words}");
    }
    let (code, words) = failing("ingest", &[("REDIS__URL", "redis://127.0.0.1:1")]);
    assert_eq!((code, words.contains("no key to check live keys with")), (Some(78), true), "{words}");
}

#[test]
fn a_redis_that_cannot_be_used_is_refused_with_the_reason_and_without_the_password() {
    let locked = Redis::with(&Options::new().password("right-password"));
    let place = locked.url().rsplit_once('@').map_or_else(|| locked.url(), |(_, place)| place.to_owned());
    let place = place.trim_start_matches("redis://").to_owned();
    let wrong = format!("redis://:hunter2@{place}");
    let other = Redis::start();
    // The first to come says whose it is.
    let _first = Fleet::with(Store::Single(other), 0, &[("CLUSTER__NAME", "blue")]);
    let other = _first.store.url();
    for (settings, expected, hint) in [
        (vec![("REDIS__URL", "redis://127.0.0.1:1")], 69, "no Redis primary"),
        (vec![("REDIS__URL", wrong.as_str())], 77, "does not accept our user and password"),
        (vec![("REDIS__URL", other.as_str()), ("CLUSTER__NAME", "green")], 78, "belongs to the cluster"),
    ] {
        let (code, words) = failing("ingest", &[settings, vec![KEY]].concat());
        assert_eq!(code, Some(expected), "{words}");
        assert!(words.starts_with("onair: ") && words.contains(hint), "{words}");
        assert!(!words.contains("hunter2"), "{words}");
    }
}

#[test]
fn a_living_node_and_the_one_manager_are_not_replaced_and_dead_ones_are() {
    let mut fleet = Fleet::start(Store::Single(Redis::start()), 1);
    let url = fleet.store.url();
    let node = std::thread::spawn({
        let url = url.clone();
        move || failing("ingest", &[("REDIS__URL", &url), ("NODE__ID", "a"), KEY])
    });
    let (code, words) = failing("manager", &[("REDIS__URL", &url)]);
    assert_eq!((code, words.contains("one Manager is taken")), (Some(69), true), "{words}");
    let (code, words) = node.join().expect("no panic");
    assert_eq!((code, words.contains("the node id a is taken")), (Some(69), true), "{words}");

    // Killed, both come back under their names at once; what the node held is over at once, too.
    let address = fleet.address("alice");
    let _publisher = publish(fleet.nodes[0].rtmp, &address);
    fleet.nodes[0].kill();
    fleet.nodes[0].restart();
    eventually("the end of what the node held", LONG, || {
        fleet.api().get(&format!("/v1/rooms/{}", address.room)).1["session"].is_null().then_some(())
    });
    fleet.manager.restart();
    assert_eq!(fleet.api().get("/v1/nodes").1["items"][0]["node_id"], "a");
}

#[test]
fn a_node_that_is_asked_to_drain_gives_back_what_it_has_and_exits_0() {
    let mut fleet = Fleet::start(Store::Single(Redis::start()), 2);
    let address = fleet.address("alice");
    let _publisher = publish(fleet.nodes[0].rtmp, &address);
    let (status, _) = fleet.api().post("/v1/nodes/a/drain", &json!({}));
    assert_eq!(status, 202);
    assert_eq!(fleet.nodes[0].wait(LONG).code(), Some(0), "{}", fleet.nodes[0].log());
    let _admitted_elsewhere_at_once = publish(fleet.nodes[1].rtmp, &address);
    let nodes = fleet.api().get("/v1/nodes").1;
    assert_eq!(
        (nodes["items"].as_array().map(Vec::len), &nodes["items"][0]["node_id"]),
        (Some(1), &json!("b"))
    );
    assert_eq!(fleet.api().post("/v1/nodes/a/drain", &json!({})).0, 404, "it has left");
}

#[test]
fn a_whole_node_alone_lists_itself_and_can_be_drained_too() {
    let mut node = Node::with_config("[node]\nid = \"alone\"\nadvertise = \"live.example.com\"\n");
    let item = node.api().get("/v1/nodes").1["items"][0].clone();
    assert_eq!((&item["node_id"], &item["rtmp"]), (&json!("alone"), &json!("live.example.com")));
    assert_eq!(node.api().post("/v1/nodes/alone/drain", &json!({})).0, 202);
    assert_eq!(node.wait(LONG).code(), Some(0), "{}", node.log());
}

#[test]
fn an_ingest_node_answers_probes_and_has_no_api() {
    let fleet = Fleet::start(Store::Single(Redis::start()), 1);
    let probes = support::Api::without_token(fleet.nodes[0].http);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(probes.status(path), 200, "{path}");
    }
    assert!(probes.text("/metrics").contains("onair_lease_held"));
    assert_eq!(probes.status("/v1/sessions"), 404);
    assert_eq!(probes.status("/openapi.json"), 404);
}
