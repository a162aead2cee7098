//! Brokers that are away, stopped, killed, frozen, or refuse what they are sent.

use std::time::{Duration, Instant};

use onair_testkit::kafka::Kafka;
use onair_testkit::port::Port;
use rand::distr::{Alphanumeric, SampleString};
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaApiKey;

use crate::support::{Manager, compare, eventually, records, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_starts_and_works_without_its_kafka_and_stops_without_waiting_for_it() {
    let nobody = Port::reserve();
    let manager = Manager::start(settings(&nobody.addr().to_string(), "t")).await;
    for n in 0..20 {
        manager.broadcast(&format!("room-{}", n % 4)).await;
    }
    manager.written(40).await;
    assert_eq!(manager.degraded(), ["kafka"]);
    assert_eq!(manager.metric("onair_manager_kafka_up"), 0.0);
    eventually("the outbox to be counted", async || manager.metric("onair_manager_outbox_unshipped") == 40.0)
        .await;
    let began = Instant::now();
    let home = manager.stop(Duration::from_secs(60)).await;
    assert!(began.elapsed() < Duration::from_secs(30), "it waited for what cannot come");

    let kafka = Kafka::start();
    let manager = Manager::start_in(home, Some(settings(&kafka.brokers(), "t"))).await;
    let outbox = manager.shipped(40).await;
    assert_eq!(compare(&outbox, &records(&kafka, "t")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_stopped_killed_or_frozen_costs_no_message_and_no_order() {
    let kafka = Kafka::start();
    let manager = Manager::start(settings(&kafka.brokers(), "t")).await;
    let mut written = 0;
    for (round, fault) in [Fault::Stop, Fault::Kill, Fault::Freeze, Fault::Kill].into_iter().enumerate() {
        for n in 0..60 {
            // In the middle of it, with messages under way.
            if n == 20 {
                fault.strike(&kafka);
            }
            manager.broadcast(&format!("room-{}", n % 7)).await;
        }
        written += 120;
        manager.written(written).await;
        if round == 0 {
            eventually("it to be told", async || manager.degraded() == ["kafka"]).await;
        }
        fault.heal(&kafka);
        let outbox = manager.shipped(written).await;
        let repeats = compare(&outbox, &records(&kafka, "t"));
        println!("{fault:?}: {repeats} repeats");
        eventually("it to be over", async || manager.degraded().is_empty()).await;
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Stop,
    Kill,
    Freeze,
}

impl Fault {
    fn strike(self, kafka: &Kafka) {
        match self {
            Self::Stop => kafka.stop(),
            Self::Kill => kafka.kill(),
            Self::Freeze => kafka.freeze(),
        }
    }

    fn heal(self, kafka: &Kafka) {
        match self {
            Self::Stop | Self::Kill => kafka.restart(),
            Self::Freeze => kafka.thaw(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_dies_repeats_what_it_had_not_marked_under_the_same_ids() {
    let kafka = Kafka::start();
    let manager = Manager::start(settings(&kafka.brokers(), "t")).await;
    for n in 0..50 {
        manager.broadcast(&format!("room-{}", n % 5)).await;
    }
    manager.written(100).await;
    // Dropped, not stopped: nothing is waited for.
    let Manager { handle, home, live_db, .. } = manager;
    drop(handle);
    live_db.close().await;
    drop(live_db);
    let manager = Manager::start_in(home, Some(settings(&kafka.brokers(), "t"))).await;
    let outbox = manager.shipped(100).await;
    println!("{} repeats", compare(&outbox, &records(&kafka, "t")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kafka_refuses_is_set_aside_and_all_others_go_on() {
    let kafka = Kafka::with(&onair_testkit::kafka::Options::new().config("message.max.bytes", "4000"));
    let manager = Manager::start(settings(&kafka.brokers(), "t")).await;
    let too_large = Alphanumeric.sample_string(&mut rand::rng(), 20_000);
    for round in 0..5 {
        for room in 0..10 {
            // One room of ten, in one round of five; and batches that are too large though no message is.
            let codec = if (round, room) == (2, 3) { &too_large } else { "h264" };
            manager.broadcast_of(&format!("room-{room}"), codec).await;
        }
    }
    let outbox = manager.shipped(100).await;
    let quarantined = manager.live_db.quarantine(0, 10).await.unwrap();
    assert_eq!(quarantined.len(), 2, "a start and an end");
    assert!(quarantined.iter().all(|row| row.error.contains("too large")), "{:?}", quarantined[0].error);
    let (poison, sound): (Vec<_>, Vec<_>) = outbox.into_iter().partition(|row| row.payload.len() > 20_000);
    assert_eq!(poison.len(), 2);
    compare(&sound, &records(&kafka, "t"));
    assert_eq!(manager.metric("onair_manager_ship_refused_total"), 2.0);
    assert_eq!(manager.degraded(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_way_there_are_retried_and_a_producer_beyond_repair_is_built_anew() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("t", 3, 1).unwrap();
    let manager = Manager::start(settings(&mock.bootstrap_servers(), "t")).await;
    for (n, error) in [
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        // Fatal for an idempotent producer that has nothing else under way.
        Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
    ]
    .into_iter()
    .enumerate()
    {
        mock.request_errors(RDKafkaApiKey::Produce, &[error; 2]);
        for room in 0..5 {
            manager.broadcast(&format!("room-{room}")).await;
        }
        manager.shipped(10 * (n + 1)).await;
        println!(
            "{error:?}: {} failures, {} producers built anew",
            manager.metric("onair_manager_ship_failures_total"),
            manager.metric("onair_manager_ship_rebuilds_total")
        );
    }
    assert!(manager.metric("onair_manager_ship_failures_total") > 0.0);
    assert!(manager.metric("onair_manager_ship_rebuilds_total") > 0.0);
}
