//! The record of beliefs in a node's log: complete, and no longer than what was believed.
//!
//! Alone in its file, since whether a log line is listened to is decided once per process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;

use onair_cluster::clock::Clock;
use onair_cluster::events::EndReason;
use onair_cluster::lease::Belief;
use parking_lot::Mutex;
use support::faulty::Fault;
use support::{World, pass_ms};

/// What a test of many nodes collects from their logs: session, from, until; or where it stops.
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

#[tokio::test(start_paused = true)]
async fn every_belief_is_on_record_from_its_grant_to_its_end() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter("onair_cluster::belief=debug")
        .with_writer(move || writer.clone())
        .finish();
    let _listening = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    let node = world.node("a");
    let lease = world.publish(&node, 1).await.unwrap();
    let mut believed = 0;
    let started = world.clock.boot();
    while world.ms() < 60_000 {
        world.registry.set(if world.ms() / 20_000 == 1 { Fault::Disconnected } else { Fault::None });
        pass_ms(10).await;
        believed += u64::from(world.belief(&lease.pass()) == Belief::Mine);
    }
    lease.end(EndReason::Unpublished).await;

    let (mut recorded, mut until, mut stopped) = (0, started.0, None);
    for line in String::from_utf8(log.0.lock().clone()).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = &line["fields"];
        assert_eq!((&line["target"], &fields["room_id"]), (&"onair_cluster::belief".into(), &"demo".into()));
        assert_eq!(
            (&fields["node_id"], &fields["epoch"]),
            (&"a".into(), &fields["epoch"].as_u64().unwrap().into())
        );
        if let Some(at) = fields["at_ns"].as_u64() {
            recorded -= until - at;
            stopped = Some(at);
            continue;
        }
        let (from, to) = (fields["from_ns"].as_u64().unwrap(), fields["until_ns"].as_u64().unwrap());
        recorded += to - from.max(until);
        until = to;
    }
    assert_eq!(stopped, Some(world.clock.boot().0));
    let recorded = recorded / 1_000_000;
    assert!(recorded.abs_diff(believed * 10) <= 50, "{recorded} ms on record, {} ms believed", believed * 10);
    assert!((20_000..55_000).contains(&recorded), "{recorded}");
}
