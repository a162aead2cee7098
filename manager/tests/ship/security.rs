//! Brokers that want to know who we are, over TLS and without.

use onair_manager::kafka::{KafkaSettings, Sasl, SaslMechanism, Security, Tls};
use onair_testkit::kafka::{self, Kafka, Options};

use crate::support::{Manager, compare, eventually, records, settings};

fn sasl(mechanism: SaslMechanism, password: &str) -> Option<Sasl> {
    Some(Sasl { mechanism, username: "onair".to_owned(), password: password.to_owned() })
}

async fn is_let_in(kafka: &Kafka, security: Security) {
    let manager = Manager::start(KafkaSettings { security, ..settings(&kafka.brokers(), "t") }).await;
    manager.broadcast("room-1").await;
    let outbox = manager.shipped(2).await;
    compare(&outbox, &records(kafka, "t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_scram_over_tls_lets_us_in_and_not_with_a_wrong_password() {
    let kafka = Kafka::with(&Options::new().tls().user(kafka::Sasl::ScramSha512, "onair", "hunter2hunter2"));
    let tls = || Some(Tls { ca_file: Some(kafka.ca_file()), client: None });
    let wrong = Security { tls: tls(), sasl: sasl(SaslMechanism::ScramSha512, "wrong") };
    let manager = Manager::start(KafkaSettings { security: wrong, ..settings(&kafka.brokers(), "t") }).await;
    manager.broadcast("room-1").await;
    manager.written(2).await;
    eventually("it to be told", async || manager.degraded() == ["kafka"]).await;
    drop(manager);
    is_let_in(&kafka, Security { tls: tls(), sasl: sasl(SaslMechanism::ScramSha512, "hunter2hunter2") })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_plain_passwords_lets_us_in() {
    let kafka = Kafka::with(&Options::new().user(kafka::Sasl::Plain, "onair", "hunter2"));
    is_let_in(&kafka, Security { tls: None, sasl: sasl(SaslMechanism::Plain, "hunter2") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_tls_alone_is_trusted_by_its_certificate() {
    let kafka = Kafka::with(&Options::new().tls());
    is_let_in(
        &kafka,
        Security { tls: Some(Tls { ca_file: Some(kafka.ca_file()), client: None }), sasl: None },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_cannot_be_read_are_told_at_the_start() {
    let security =
        Security { tls: Some(Tls { ca_file: Some("/nowhere/ca.pem".into()), client: None }), sasl: None };
    let settings = KafkaSettings { security, ..settings("127.0.0.1:1", "t") };
    let error = Manager::try_start(settings).await.unwrap_err().to_string();
    assert!(error.starts_with("kafka: ") && error.contains("/nowhere/ca.pem"), "{error}");
}
