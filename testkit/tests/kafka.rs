//! Kafka comes up, survives faults, and comes down without leaving a process behind.

use std::time::Duration;

use onair_testkit::kafka::{Kafka, Options, Sasl};
use onair_testkit::process;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const LONG: Duration = Duration::from_secs(60);

fn client(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.brokers()).set("message.timeout.ms", "60000").set("log_level", "2");
    config
}

/// Whether Kafka took `value` under `key` within `within`.
fn send(config: &ClientConfig, key: &str, value: &str, within: Duration) -> bool {
    let producer: BaseProducer = config.create().expect("a producer");
    let headers = OwnedHeaders::new().insert(Header { key: "ce_id", value: Some("a/started") });
    let record = BaseRecord::to("events").key(key).payload(value).headers(headers);
    producer.send(record).expect("room in the queue");
    producer.flush(within).is_ok() && producer.in_flight_count() == 0
}

#[test]
fn records_survive_a_kill_a_stop_and_a_freeze_on_one_port() {
    let kafka = Kafka::start();
    kafka.create_topic("events", 3);
    assert_eq!(kafka.topics(), [("events".to_owned(), 3)]);
    let mut records = kafka.read("events");
    assert!(records.rest().is_empty());
    assert!(send(&client(&kafka), "room", "1", LONG));
    let record = records.next(LONG).expect("a record");
    assert_eq!((record.key.as_deref(), record.value.as_str(), record.offset), (Some("room"), "1", 0));
    assert_eq!(record.header("ce_id"), "a/started");
    assert!(record.timestamp > 1_700_000_000_000);

    let (brokers, pid) = (kafka.brokers(), kafka.pid());
    kafka.kill();
    assert!(!kafka.is_up() && !process::exists(pid));
    kafka.restart();
    assert_eq!(kafka.brokers(), brokers);
    assert!(send(&client(&kafka), "room", "2", LONG));

    kafka.freeze();
    assert!(kafka.is_up() && !kafka.is_answering());
    assert!(!send(&client(&kafka), "room", "lost", Duration::from_millis(300)));
    kafka.thaw();
    kafka.wait_until("an answer", LONG, Kafka::is_answering);

    kafka.stop();
    assert!(!kafka.is_up());
    kafka.restart();
    assert!(send(&client(&kafka), "room", "3", LONG));
    let values: Vec<_> = records.rest().into_iter().map(|record| record.value).collect();
    assert_eq!(values, ["2", "3"], "the reader outlives the broker");

    let pid = kafka.pid();
    kafka.freeze();
    drop(kafka);
    assert!(!process::exists(pid));
}

#[test]
fn user_and_tls_are_asked_for() {
    for (sasl, is_tls) in [(Sasl::Plain, false), (Sasl::ScramSha512, true)] {
        let options = Options::new().user(sasl, "onair", "geheim").auto_create_topics();
        let kafka = Kafka::with(&if is_tls { options.tls() } else { options });
        let mut config = client(&kafka);
        assert!(!send(&config, "room", "unknown", Duration::from_secs(1)));
        config.set("security.protocol", if is_tls { "sasl_ssl" } else { "sasl_plaintext" });
        config.set("sasl.mechanisms", sasl.name()).set("sasl.username", "onair");
        config.set("ssl.ca.location", kafka.ca_file().to_str().expect("a path"));
        assert!(!send(
            config.clone().set("sasl.password", "falsch"),
            "room",
            "wrong",
            Duration::from_secs(1)
        ));
        assert!(send(config.set("sasl.password", "geheim"), "room", "right", LONG));
        let values: Vec<_> = kafka.read("events").rest().into_iter().map(|record| record.value).collect();
        assert_eq!(values, ["right"]);
    }
}
