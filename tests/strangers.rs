//! A Redis that is laid out or set up otherwise: refused at the start with words an operator can act on, or warned of. Other
//! refusals at the start are in `roles.rs`.

mod support;

use std::process::{Command, Output};

use onair_testkit::redis::{Options, Redis};
use support::{Fleet, LONG, Store, eventually};
use tempfile::TempDir;

/// `onair ingest` that is to fail on this Redis.
fn start(redis: &str) -> (Output, String) {
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
    let output = command.output().expect("onair runs");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, words)
}

#[test]
fn a_redis_with_another_number_of_shards_is_refused() {
    let fleet = Fleet::start(Store::Single(Redis::start()), 0);
    let redis = fleet.store.single();
    let marker = redis.command(&["GET", "{onair}:cluster"]).text();
    assert!(marker.contains("\"shards\":64"), "{marker}");
    redis.command(&["SET", "{onair}:cluster", &marker.replace("\"shards\":64", "\"shards\":32")]);
    let (output, text) = start(&redis.url());
    let last = text.lines().rfind(|line| line.starts_with("onair: ")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(last.contains("32 shards") && last.contains("64 shards"), "{text}");
}

#[test]
fn a_redis_that_may_evict_leases_is_warned_of() {
    let store = Store::Single(Redis::with(&Options::new().config("maxmemory-policy", "allkeys-lru")));
    let fleet = Fleet::start(store, 1);
    eventually("the warning", LONG, || {
        fleet.nodes[0].log().contains("maxmemory-policy is allkeys-lru").then_some(())
    });
}
