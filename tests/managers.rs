//! Goal: several Managers on one PostgreSQL are one to whoever asks, and those that would not be are refused. Method: real processes,
//! a real Redis and PostgreSQL; those that must not start are waited for, and judged by exit code and last words.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use onair_testkit::port::Port;
use onair_testkit::postgres::Postgres;
use onair_testkit::redis::Redis;
use serde_json::json;
use support::{Api, LONG, Process, eventually};
use tempfile::TempDir;

const TOKEN: &str = "a token of at least sixteen characters";

/// What Managers of one cluster share.
struct Cluster {
    redis: Redis,
    postgres: Postgres,
    database: String,
    home: TempDir,
}

/// One of them.
struct Manager {
    process: Process,
    http: SocketAddr,
    _port: Port,
}

impl Manager {
    fn api(&self) -> Api {
        Api::new(self.http, TOKEN)
    }

    fn metric(&self, name: &str) -> f64 {
        let text = Api::without_token(self.http).text("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    }
}

impl Cluster {
    fn start() -> Self {
        let postgres = Postgres::start();
        let database = postgres.url(&postgres.create_database());
        let home = tempfile::tempdir().expect("a directory");
        let key = Command::new("openssl")
            .args(["genpkey", "-algorithm", "ed25519", "-out"])
            .arg(home.path().join("signing-key.pem"))
            .output()
            .expect("openssl");
        assert!(key.status.success(), "{key:?}");
        fs::write(home.path().join("admin-token"), TOKEN).expect("a file");
        Self { redis: Redis::start(), postgres, database, home }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn settings(&self, id: &str) -> Vec<(&'static str, String)> {
        vec![
            ("NODE__ID", id.to_owned()),
            ("NODE__DEMO_PRODUCER", String::new()),
            ("NODE__MEDIA_DOMAIN", "live.example.com".to_owned()),
            ("REDIS__URL", self.redis.url()),
            ("POSTGRES__URL", self.database.clone()),
            ("LIVE_KEYS__SIGNING_KEY_FILE", self.file("signing-key.pem").display().to_string()),
            ("HTTP__ADMIN_TOKEN_FILE", self.file("admin-token").display().to_string()),
        ]
    }

    fn manager(&self, id: &str) -> Manager {
        self.spawn("manager", id, &[])
    }

    fn spawn(&self, verb: &str, id: &str, more: &[(&'static str, &str)]) -> Manager {
        let port = Port::reserve();
        let http = port.addr();
        let home = self.file(id);
        fs::create_dir_all(&home).expect("a directory");
        let mut command = onair(verb, &home, &http.to_string(), &self.settings(id));
        command.envs(more.iter().map(|(key, value)| (format!("ONAIR__{key}"), *value)));
        let mut process = Process::spawn_silent(id, &home, &command);
        eventually(&format!("{id} to be ready"), LONG, || {
            assert!(process.is_running(), "{id} ended while starting:\n{}", process.stderr());
            let ready = ureq::get(format!("http://{http}/readyz")).call();
            ready.is_ok_and(|answer| answer.status() == 200).then_some(())
        });
        Manager { process, http, _port: port }
    }

    /// Runs a Manager to its end, with some settings replaced.
    fn failing(&self, id: &str, replaced: &[(&'static str, &str)]) -> (Option<i32>, String) {
        let home = tempfile::tempdir().expect("a directory");
        let mut settings = self.settings(id);
        settings.retain(|(key, _)| !replaced.iter().any(|(other, _)| other == key));
        settings.extend(replaced.iter().map(|(key, value)| (*key, (*value).to_owned())));
        settings.retain(|(_, value)| !value.is_empty());
        let output = onair("manager", home.path(), "127.0.0.1:0", &settings).output().expect("onair runs");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), words.lines().last().unwrap_or_default().to_owned())
    }
}

fn onair(verb: &str, home: &Path, http: &str, settings: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onair"));
    command.arg(verb).args(["--http", http]).arg("--data-dir").arg(home.join("data"));
    command.env("ONAIR_LOG", "info,actix_server=warn").env("ONAIR__RTMP__LISTEN", "127.0.0.1:0");
    command.envs(settings.iter().map(|(key, value)| (format!("ONAIR__{key}"), value)));
    command
}

#[test]
fn managers_on_one_postgresql_are_one_to_who_asks_and_share_the_shards() {
    let cluster = Cluster::start();
    let mut one = cluster.manager("one");
    let two = cluster.manager("two");
    eventually("a half for each", LONG, || {
        let owned = [&one, &two].map(|manager| manager.metric("onair_manager_shards_owned"));
        (owned == [32.0, 32.0]).then_some(())
    });
    // The same key, the same token, the same memory.
    let keys = |manager: &Manager| Api::without_token(manager.http).text("/.well-known/jwks.json");
    assert_eq!(keys(&one), keys(&two));
    let (status, address) = one.api().post("/v1/producers/alice/broadcast-url", &json!({}));
    assert_eq!(status, 201, "{address}");
    let key = address["live_key_id"].as_str().expect("an id");
    assert_eq!(two.api().get(&format!("/v1/live-keys/{key}")).0, 200);
    assert!(!cluster.file("one/data/signing-key.pem").exists(), "none of its own");

    one.process.kill();
    eventually("the other to have all", LONG, || {
        (two.metric("onair_manager_shards_owned") == 64.0).then_some(())
    });
    assert_eq!(two.api().get("/v1/nodes").1["items"], json!([]), "Managers are no nodes");
}

#[test]
fn several_whole_nodes_on_redis_and_postgresql_are_a_cluster() {
    let cluster = Cluster::start();
    let one = cluster.spawn("serve", "one", &[]);
    let two = cluster.spawn("serve", "two", &[]);
    eventually("both to be listed by either", LONG, || {
        let ids = |node: &Manager| {
            let items = node.api().get("/v1/nodes").1["items"].clone();
            items.as_array().map(|all| all.iter().map(|item| item["node_id"].clone()).collect::<Vec<_>>())
        };
        let both = Some(vec![json!("one"), json!("two")]);
        (ids(&one) == both && ids(&two) == both).then_some(())
    });
}

#[test]
fn who_would_not_be_one_of_them_is_refused_with_the_reason() {
    let cluster = Cluster::start();
    let _first = cluster.manager("one");
    let (code, words) = cluster.failing("one", &[]);
    assert_eq!((code, words.contains("the Manager's name one is taken")), (Some(69), true), "{words}");
    let (code, words) = cluster.failing("two", &[("POSTGRES__URL", "")]);
    assert_eq!((code, words.contains("give all of them the same PostgreSQL")), (Some(78), true), "{words}");
    let other = Redis::start();
    let replaced = [("CLUSTER__NAME", "green"), ("REDIS__URL", &other.url())];
    let (code, words) = cluster.failing("two", &replaced);
    assert_eq!((code, words.contains("the database is of cluster \"onair\"")), (Some(78), true), "{words}");
}

#[test]
fn a_postgresql_that_cannot_be_used_is_refused_with_the_reason_and_without_the_password() {
    let cluster = Cluster::start();
    let nobody = Port::reserve();
    let away = format!("postgres://anna:hunter2@{}/onair", nobody.addr());
    let (_, place) = cluster.database.rsplit_once('@').unwrap_or(("", &cluster.database));
    let no_such = format!("postgres://anna:hunter2@{}", place.trim_start_matches("postgres://"));
    for (url, expected, hint) in [(&away, 69, "PostgreSQL at 127.0.0.1:"), (&no_such, 78, "lets us not in")] {
        let (code, words) = cluster.failing("one", &[("POSTGRES__URL", url)]);
        assert_eq!((code, words.contains(hint)), (Some(expected), true), "{words}");
        assert!(!words.contains("hunter2"), "{words}");
    }
    drop(cluster.postgres);
}
