//! What does not belong to the cluster is refused at its start, with an exit code and words an operator can act on.

mod support;

use std::process::{Command, Output};

use onair_testkit::redis::{Options, Redis};
use support::{Fleet, LONG, Store, eventually};
use tempfile::TempDir;

/// `onair ingest` that is to fail, with these settings beside the least it needs.
fn start(redis: &str, settings: &[(&str, &str)]) -> (Output, String) {
    let home = TempDir::new().expect("a directory");
    // Any public key will do: it is not needed before somebody publishes.
    let jwks = home.path().join("jwks.json");
    std::fs::write(
        &jwks,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k","use":"sig","alg":"EdDSA"}]}"#,
    )
    .expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_onair"));
    command
        .arg("ingest")
        .env("ONAIR__REDIS__URL", redis)
        .env("ONAIR__NODE__DATA_DIR", home.path().join("data"));
    command.env("ONAIR__RTMP__LISTEN", "127.0.0.1:0").env("ONAIR__HTTP__LISTEN", "127.0.0.1:0");
    command.env("ONAIR__LIVE_KEYS__JWKS_FILE", &jwks).env("ONAIR__NODE__ID", "stranger");
    command.envs(settings.iter().map(|(key, value)| (format!("ONAIR__{key}"), value)));
    let output = command.output().expect("onair runs");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, words)
}

#[track_caller]
fn assert_refused(redis: &str, settings: &[(&str, &str)], code: i32, words: &str) {
    let (output, text) = start(redis, settings);
    let last = text.lines().rfind(|line| line.starts_with("onair: ")).unwrap_or_default();
    println!("{last}");
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(last.contains(words), "{text}");
}

#[test]
fn another_clusters_redis_is_refused_and_so_is_another_layout() {
    let fleet = Fleet::start(Store::Single(Redis::start()), 0);
    let redis = fleet.store.single();
    assert_refused(&redis.url(), &[("CLUSTER__NAME", "another")], 78, "belongs to the cluster \"onair\"");

    let marker = redis.command(&["GET", "{onair}:cluster"]).text();
    assert!(marker.contains("\"shards\":64"), "{marker}");
    redis.command(&["SET", "{onair}:cluster", &marker.replace("\"shards\":64", "\"shards\":32")]);
    assert_refused(&redis.url(), &[], 78, "32 shards");
}

#[test]
fn wrong_credentials_are_refused_and_the_password_is_not_repeated() {
    let redis = Redis::with(&Options::new().password("rightpass"));
    let url = redis.url().replace("rightpass", "wrongpass");
    assert_refused(&url, &[], 77, "does not accept our user and password");
    let (_, text) = start(&url, &[]);
    assert!(!text.contains("wrongpass"), "{text}");
}

#[test]
fn a_redis_that_is_not_there_is_told() {
    let redis = Redis::start();
    let url = redis.url();
    redis.stop();
    assert_refused(&url, &[], 69, "no Redis primary to be reached");
}

#[test]
fn a_second_process_with_a_living_name_is_refused_and_the_first_stays() {
    let mut fleet = Fleet::start(Store::Single(Redis::start()), 1);
    let url = fleet.store.url();
    assert_refused(&url, &[("NODE__ID", "a")], 69, "the node id a is taken by another process that is alive");
    assert!(fleet.nodes[0].is_running());
    fleet.nodes[0].kill();
    // A dead one's name is free after a moment, for which a restart waits.
    fleet.nodes[0].restart();
}

#[test]
fn a_second_manager_is_refused() {
    let fleet = Fleet::start(Store::Single(Redis::start()), 0);
    let home = TempDir::new().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_onair"));
    command.arg("manager").env("ONAIR__REDIS__URL", fleet.store.url());
    command.env("ONAIR__NODE__DATA_DIR", home.path()).env("ONAIR__HTTP__LISTEN", "127.0.0.1:0");
    command.env("ONAIR__NODE__MEDIA_DOMAIN", "127.0.0.1");
    let output = command.output().expect("onair runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert!(text.contains("place of this cluster's one Manager"), "{text}");
}

#[test]
fn a_redis_that_may_evict_leases_is_warned_of() {
    let store = Store::Single(Redis::with(&Options::new().config("maxmemory-policy", "allkeys-lru")));
    let fleet = Fleet::start(store, 1);
    eventually("the warning", LONG, || {
        fleet.nodes[0].log().contains("maxmemory-policy is allkeys-lru").then_some(())
    });
}
