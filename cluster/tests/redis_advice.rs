//! What the log says about a Redis that works, but may lose what it should keep.
//!
//! Alone in its file, since whether a log line is listened to is decided once per process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;

use onair_testkit::redis::{Options, Redis};
use parking_lot::Mutex;
use support::redis::{settings, try_connect};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a node is told that connects to a Redis with these options.
async fn advice(options: &Options, confirm: u8) -> Vec<String> {
    let redis = Redis::with(options);
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().json().with_env_filter("warn").with_writer(move || writer.clone()).finish();
    let _listening = tracing::subscriber::set_default(subscriber);
    let mut settings = settings(&redis.url());
    settings.confirm = Some(confirm);
    drop(try_connect(&settings).await.unwrap());
    let lines = String::from_utf8(log.0.lock().clone()).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| Some(line["fields"]["advice"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn settings_with_which_redis_may_lose_something_are_warned_of() {
    let good = || Options::new().appendonly();
    assert_eq!(advice(&good(), 0).await, Vec::<String>::new());
    assert_eq!(advice(&Options::new().config("save", "900 1"), 0).await, Vec::<String>::new());

    let told = advice(&good().config("maxmemory-policy", "allkeys-lru"), 0).await;
    assert!(told.len() == 1 && told[0].contains("maxmemory-policy is allkeys-lru"), "{told:?}");
    let told = advice(&Options::new().config("save", "\"\""), 0).await;
    assert!(told.len() == 1 && told[0].contains("no persistence"), "{told:?}");
    let told = advice(&good(), 1).await;
    assert!(told.len() == 1 && told[0].contains("fewer replicas than must confirm"), "{told:?}");
}
