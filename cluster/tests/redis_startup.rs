//! What a Redis must be to be used, and what is said when it is not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use onair_cluster::registry::Registry;
use onair_cluster::registry::redis::{ConnectError, RedisSettings, Secret};
use onair_testkit::redis::{Cluster, Options, Redis, Replicated};
use support::old_redis::{self, Age};
use support::redis::{
    claim, cluster_url, granted, open_all, put_key, release, room, sentinel_url, settings, try_connect,
};

/// The rule of docs/operating.md for a user who may do what Onair does, and nothing else.
const ACL: &str = "resetchannels ~{s*}:* ~{nodes}:* ~{onair}:* &onair:* -@all \
    +hello +auth +ping +info +role +wait +cluster|info +cluster|slots +config|get \
    +script|load +evalsha +subscribe +unsubscribe +publish +time \
    +get +set +del +persist +pexpireat +hget +hset +hdel +hmget \
    +zadd +zrem +zscore +zrange +zrangebyscore +zrangebylex \
    +sadd +srem +sismember +xadd +xlen +xrange +xtrim";

#[test]
fn the_documented_rule_names_every_command_of_the_scripts_and_stands_in_the_guide() {
    let rights: Vec<_> = ACL.split_whitespace().filter_map(|word| word.strip_prefix('+')).collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for script in std::fs::read_dir(root.join("lua")).unwrap() {
        let source = std::fs::read_to_string(script.unwrap().path()).unwrap();
        for call in source.split("redis.call('").skip(1) {
            let command = call.split('\'').next().unwrap().to_lowercase();
            assert!(rights.contains(&command.as_str()), "{command}");
        }
    }
    let guide = std::fs::read_to_string(root.join("../docs/operating.md")).unwrap();
    let words =
        |text: &str| text.split_whitespace().filter(|word| *word != "\\").collect::<Vec<_>>().join(" ");
    assert!(words(&guide).contains(&words(ACL)), "docs/operating.md has another rule");
}

async fn refused(settings: &RedisSettings) -> ConnectError {
    let Err(error) = try_connect(settings).await else { panic!("not refused") };
    println!("{error}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_clusters_redis_is_refused() {
    let redis = Redis::start();
    try_connect(&settings(&redis.url())).await.unwrap();
    let mut other = settings(&redis.url());
    other.cluster = "other".parse().unwrap();
    let error = refused(&other).await;
    let told = ConnectError::OtherCluster { found: "test".to_owned(), ours: "other".to_owned() };
    assert_eq!(error, told);
    try_connect(&settings(&redis.url())).await.unwrap();
    redis.command(&["SET", "{onair}:cluster", r#"{"cluster":"test","shards":32,"format":1}"#]);
    assert!(matches!(refused(&settings(&redis.url())).await, ConnectError::OtherFormat { .. }));
    redis.command(&["SET", "{onair}:cluster", "something else"]);
    assert!(matches!(refused(&settings(&redis.url())).await, ConnectError::Broken { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_refused_and_never_repeated() {
    let redis = Redis::with(&Options::new().password("correct-horse"));
    try_connect(&settings(&redis.url())).await.unwrap();
    let mut settings = settings(&format!("redis://:battery-staple@{}", redis.addr()));
    let error = refused(&settings).await;
    assert!(matches!(error, ConnectError::Credentials { .. }));
    assert!(!format!("{error} {error:?} {settings:?}").contains("battery-staple"));
    settings = support::redis::settings(&format!("redis://{}", redis.addr()));
    assert!(matches!(refused(&settings).await, ConnectError::Credentials { .. }));
    settings.password = Some(Secret::new("correct-horse".to_owned()));
    try_connect(&settings).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_the_documented_rights_can_do_everything_and_one_with_fewer_is_told() {
    let redis = Redis::with(
        &Options::new()
            .user(&format!("user onair on >secret {ACL}"))
            .user(&format!("user poor on >secret {ACL} -script|load")),
    );
    let registry = try_connect(&settings(&redis.url_as("onair", "secret"))).await.unwrap();
    open_all(&registry).await;
    let demo = room("demo");
    let key = put_key(&registry, &demo).await;
    let mut bell = registry.room_bell(&demo);
    bell.rung.changed().await.unwrap();
    let card = granted(&registry, &claim(&demo, &key, "a")).await;
    bell.rung.changed().await.unwrap();
    release(&registry, &card).await.unwrap();
    let last = registry.events(demo.shard(), 10).await.unwrap().last().unwrap().n;
    registry.acknowledge(demo.shard(), last).await.unwrap();
    assert!(registry.revoke(&key).await.unwrap());
    let error = refused(&settings(&redis.url_as("poor", "secret"))).await;
    assert!(matches!(&error, ConnectError::Permission { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_when_asked_for_and_certificates_are_checked() {
    let redis = Redis::with(&Options::new().tls());
    let mut settings = settings(&redis.url());
    assert!(matches!(refused(&settings).await, ConnectError::Unreachable { .. }));
    settings.ca_file = Some(redis.directory().join("missing.pem"));
    assert!(matches!(refused(&settings).await, ConnectError::Certificates { .. }));
    settings.ca_file = Some(redis.ca_file());
    let registry = try_connect(&settings).await.unwrap();
    open_all(&registry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_what_the_url_says_is_named() {
    let redis = Replicated::start(1, 1);
    let replica = redis.replicas()[0].url();
    assert!(matches!(refused(&settings(&replica)).await, ConnectError::Replica { .. }));
    let sentinel = redis.sentinels()[0].url();
    let error = refused(&settings(&sentinel)).await;
    assert!(matches!(&error, ConnectError::Layout { found, .. } if found == "sentinel"), "{error:?}");
    let unknown = sentinel_url(&redis).replace("/onair", "/nobody");
    let told = ConnectError::UnknownMaster { name: "nobody".to_owned() };
    assert_eq!(refused(&settings(&unknown)).await, told);
    let single = redis.primary().addr();
    for scheme in ["redis+cluster", "redis+sentinel"] {
        let path = if scheme == "redis+sentinel" { "/onair" } else { "" };
        let error = refused(&settings(&format!("{scheme}://{single}{path}"))).await;
        assert!(matches!(&error, ConnectError::Layout { .. }), "{error:?}");
    }
    let cluster = Cluster::start(3, 0);
    let error = refused(&settings(&cluster.urls()[0])).await;
    assert!(matches!(&error, ConnectError::Layout { found, .. } if found == "cluster"), "{error:?}");
    try_connect(&settings(&cluster_url(&cluster))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_is_the_wait_has_an_end() {
    let redis = Redis::start();
    let url = redis.url();
    redis.kill();
    assert!(matches!(refused(&settings(&url)).await, ConnectError::Unreachable { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_older_than_seven_is_refused_with_its_version() {
    for (age, told) in [(Age::Six, "6.2.14"), (Age::Five, "before 6.0")] {
        let addr = old_redis::start(age);
        let expected = ConnectError::TooOld { at: addr.to_string(), version: told.to_owned() };
        assert_eq!(refused(&settings(&format!("redis://{addr}"))).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_lacks_a_slot_of_ours_is_refused_and_says_which() {
    let cluster = Cluster::start(3, 0);
    let slot = cluster.servers()[0].command(&["CLUSTER", "KEYSLOT", "{s49}:meta"]).int();
    for server in cluster.servers() {
        server.command(&["CLUSTER", "DELSLOTS", &slot.to_string()]);
    }
    let error = refused(&settings(&cluster_url(&cluster))).await;
    let told = format!("slot {slot} has no primary");
    assert!(matches!(&error, ConnectError::Unreachable { why } if why.contains(&told)), "{error:?}");
}
