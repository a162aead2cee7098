//! The topic: made, looked at, waited for.

use onair_manager::kafka::{IfMissing, KafkaSettings};
use onair_testkit::kafka::{Kafka, Options};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::support::{Manager, compare, eventually, records, settings};

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_made_as_configured_even_where_topics_make_themselves() {
    let kafka = Kafka::with(&Options::new().auto_create_topics());
    let create = IfMissing::Create { partitions: 7, replication: None };
    let manager =
        Manager::start(KafkaSettings { if_missing: create, ..settings(&kafka.brokers(), "t") }).await;
    manager.broadcast("room-1").await;
    manager.shipped(2).await;
    assert_eq!(kafka.topics(), [("t".to_owned(), 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_others_make_is_waited_for() {
    let kafka = Kafka::with(&Options::new().auto_create_topics());
    let wait = KafkaSettings { if_missing: IfMissing::Wait, ..settings(&kafka.brokers(), "t") };
    let manager = Manager::start(wait).await;
    manager.broadcast("room-1").await;
    manager.written(2).await;
    eventually("it to be told", async || manager.degraded() == ["kafka"]).await;
    assert_eq!(kafka.topics(), [], "nothing was handed over");
    tokio::task::block_in_place(|| kafka.create_topic("t", 2));
    let outbox = manager.shipped(2).await;
    assert_eq!(compare(&outbox, &records(&kafka, "t")), 0);
    eventually("it to be over", async || manager.degraded().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_forgets_is_not_used_before_it_is_mended() {
    let kafka = Kafka::start();
    let compacted = NewTopic::new("t", 2, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    let options = AdminOptions::new();
    admin(&kafka).create_topics([&compacted], &options).await.unwrap().remove(0).unwrap();
    let manager = Manager::start(settings(&kafka.brokers(), "t")).await;
    manager.broadcast("room-1").await;
    manager.written(2).await;
    eventually("it to be told", async || manager.degraded() == ["kafka"]).await;
    assert_eq!(records(&kafka, "t"), []);
    let mended = AlterConfig::new(ResourceSpecifier::Topic("t")).set("cleanup.policy", "delete");
    admin(&kafka).alter_configs([&mended], &options).await.unwrap().remove(0).unwrap();
    let outbox = manager.shipped(2).await;
    assert_eq!(compare(&outbox, &records(&kafka, "t")), 0);
}
