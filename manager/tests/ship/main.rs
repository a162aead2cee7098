//! Goal: what the outbox says reaches Kafka, all of it, in order per room, whatever fails on the way. Method: a whole Manager, a
//! real Kafka that is stopped, killed and frozen; librdkafka's own mock where a broker must answer with a certain error.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod faults;
mod security;
mod support;
mod topics;

use std::collections::HashMap;
use std::time::Duration;

use onair_testkit::kafka::Kafka;
use onair_testkit::postgres::Postgres;
use support::{Live, Manager, compare, records, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_two_cloud_events_under_the_rooms_key() {
    let kafka = Kafka::start();
    let manager = Manager::start(settings(&kafka.brokers(), "t")).await;
    let session = manager.broadcast("room-1").await;
    let outbox = manager.shipped(2).await;
    let records = records(&kafka, "t");
    assert_eq!(compare(&outbox, &records), 0);
    let [started, ended] = &records[..] else { panic!("two: {records:?}") };
    for (record, row, phase, time) in
        [(started, &outbox[0], "live", "started_at"), (ended, &outbox[1], "ended", "ended_at")]
    {
        assert_eq!(record.key.as_deref(), Some("room-1"));
        assert_eq!(record.value, row.payload);
        let data: serde_json::Value = serde_json::from_str(&record.value).unwrap();
        let sequence = format!("{:020}.{}", data["epoch"].as_u64().unwrap(), u8::from(phase == "ended"));
        let headers: HashMap<_, _> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let id = format!("{session}/{phase}");
        let expected = HashMap::from([
            ("ce_specversion", "1.0"),
            ("ce_id", id.as_str()),
            ("ce_source", "/clusters/onair"),
            ("ce_type", row.kind.as_str()),
            ("ce_subject", "room-1"),
            ("ce_time", data[time].as_str().unwrap()),
            ("ce_partitionkey", "room-1"),
            ("ce_sequence", sequence.as_str()),
            ("content-type", "application/json"),
        ]);
        assert_eq!(headers, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rooms_at_once_are_told_each_in_its_order_and_counted() {
    let kafka = Kafka::start();
    let manager = Manager::start(settings(&kafka.brokers(), "t")).await;
    for _ in 0..5 {
        for room in 0..40 {
            manager.broadcast(&format!("room-{room}")).await;
        }
    }
    let outbox = manager.shipped(400).await;
    assert_eq!(compare(&outbox, &records(&kafka, "t")), 0);
    assert_eq!(manager.metric("onair_manager_shipped_total"), 400.0);
    assert_eq!(manager.metric("onair_manager_kafka_up"), 1.0);
    assert_eq!(manager.degraded(), Vec::<String>::new());
    support::eventually("the count to be 0", async || {
        manager.metric("onair_manager_outbox_unshipped") == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_on_air_while_it_stops_is_shipped_before_it_has_stopped() {
    let kafka = Kafka::start();
    let manager = Manager::start(settings(&kafka.brokers(), "t")).await;
    manager.broadcast("room-0").await;
    manager.shipped(2).await;
    for room in 1..30 {
        manager.broadcast(&format!("room-{room}")).await;
    }
    manager.stop(Duration::from_secs(30)).await;
    assert_eq!(records(&kafka, "t").len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_messages_stay_in_the_outbox_and_nothing_is_degraded() {
    let manager = Manager::start_in(tempfile::tempdir().unwrap(), None).await;
    let live = Live::start(&manager.registry, "room-1", "h264").await;
    manager.written(1).await;
    live.end(&manager.registry, onair_cluster::events::EndReason::Drain).await;
    manager.written(2).await;
    assert_eq!(manager.degraded(), Vec::<String>::new());
    assert!(manager.outbox().await.iter().all(|row| row.shipped_at.is_none()));
}

/// Events per second through registry, Live DB and Kafka; printed, not asserted.
#[tokio::test(flavor = "multi_thread")]
async fn how_much_it_carries() {
    const ROOMS: usize = 1_000;
    let kafka = Kafka::start();
    let postgres = Postgres::start();
    let url = postgres.url(&postgres.create_database());
    for (name, manager) in [
        ("SQLite", Manager::start(settings(&kafka.brokers(), "sqlite")).await),
        ("PostgreSQL", Manager::start_on(&url, settings(&kafka.brokers(), "postgresql")).await),
    ] {
        manager.broadcast("warm-up").await;
        manager.shipped(2).await;
        let began = std::time::Instant::now();
        for room in 0..ROOMS {
            manager.broadcast(&format!("room-{room}")).await;
        }
        let (told, outbox) = (began.elapsed(), manager.shipped(2 * ROOMS + 2).await);
        let took = began.elapsed();
        let rate = 3.0 * ROOMS as f64 / took.as_secs_f64();
        println!(
            "{name}: {} events told in {told:?}, all shipped after {took:?}: {rate:.0} events/s",
            3 * ROOMS
        );
        compare(&outbox, &records(&kafka, &name.to_lowercase()));
    }
}

/// From commit to record, on a machine that does nothing else; printed, not asserted.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_it_takes() {
    let kafka = Kafka::start();
    let manager = Manager::start(settings(&kafka.brokers(), "t")).await;
    manager.broadcast("warm-up").await;
    manager.shipped(2).await;
    let mut reader = kafka.read("t");
    assert_eq!(reader.rest().len(), 2);
    let mut took = Vec::new();
    for n in 0..100 {
        let began = std::time::Instant::now();
        let _live = Live::start(&manager.registry, &format!("room-{n}"), "h264").await;
        tokio::task::block_in_place(|| reader.next(Duration::from_secs(30))).expect("a record");
        took.push(began.elapsed());
    }
    took.sort();
    println!("from first frame to record: p50 {:?}, p90 {:?}, p99 {:?}", took[50], took[90], took[99]);
}
