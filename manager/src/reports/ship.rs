//! What happens on the way to Kafka, each with its log line and its metric.

use std::time::Duration;

use onair_cluster::{Shard, UnixMs};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tracing::{debug, error, info, warn};

use crate::ManagerMetrics;
use crate::live_db::OutboxRow;

/// A message is in Kafka, on all in-sync replicas.
pub(crate) struct MessageShipped<'a> {
    pub(crate) row: &'a OutboxRow,
    pub(crate) now: UnixMs,
}

impl MessageShipped<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let Self { row, now } = self;
        metrics.ship.shipped.inc();
        metrics.ship.lag.observe(Duration::from_millis(now.since(row.created_at)).as_secs_f64());
        debug!(event = row.event_id, room = %row.room_id, seq = row.seq, "message shipped");
    }
}

/// A message was not delivered; it goes again.
pub(crate) struct ShipFailed<'a> {
    pub(crate) shard: Shard,
    pub(crate) error: &'a KafkaError,
    /// The last one before it was delivered.
    pub(crate) is_news: bool,
}

impl ShipFailed<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let Self { shard, error, is_news } = self;
        metrics.ship.failures.inc();
        if *is_news {
            warn!(%shard, %error, "a message for Kafka was not delivered; it goes again");
        } else {
            debug!(%shard, %error, "a message for Kafka was not delivered again");
        }
    }
}

/// A message is refused for good; its shard goes on without it.
pub(crate) struct MessageRefused<'a> {
    pub(crate) row: &'a OutboxRow,
    pub(crate) why: &'a str,
}

impl MessageRefused<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let Self { row, why } = self;
        metrics.ship.refused.inc();
        error!(event = row.event_id, room = %row.room_id, shard = %row.shard, seq = row.seq, why,
            "Kafka refuses a message; it stays in the outbox, marked, and its shard goes on");
    }
}

/// The producer was built anew.
pub(crate) struct ProducerRebuilt<'a> {
    pub(crate) why: &'a str,
}

impl ProducerRebuilt<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.ship.rebuilds.inc();
        warn!(why = self.why, "the Kafka producer was built anew; what was not delivered goes again");
    }
}

/// Nothing can go into the topic.
pub(crate) struct KafkaAway<'a> {
    pub(crate) why: &'a dyn std::fmt::Display,
    pub(crate) is_news: bool,
}

impl KafkaAway<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let Self { why, is_news } = self;
        metrics.ship.up.set(0);
        if *is_news {
            error!(%why, "Kafka takes no events; they wait in the outbox, and all else goes on");
        } else {
            debug!(%why, "Kafka still takes no events");
        }
    }
}

/// The topic is there and fit.
pub(crate) struct KafkaBack<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partitions: usize,
    /// We have just made it.
    pub(crate) is_new: bool,
    /// Its `cleanup.policy` could be seen.
    pub(crate) is_policy_known: bool,
}

impl KafkaBack<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let Self { topic, partitions, is_new, is_policy_known } = self;
        metrics.ship.up.set(1);
        info!(topic, partitions, is_new, "Kafka takes events");
        if !is_policy_known {
            warn!(
                topic,
                "its cleanup.policy cannot be seen (the user lacks DescribeConfigs); it must be \"delete\""
            );
        }
    }
}

/// A line of librdkafka's own log.
pub(crate) struct KafkaSays<'a> {
    pub(crate) level: RDKafkaLogLevel,
    pub(crate) facility: &'a str,
    pub(crate) text: &'a str,
}

impl KafkaSays<'_> {
    pub(crate) fn emit(&self) {
        let Self { level, facility, text } = self;
        // Each attempt to connect fails with a line; that brokers are away is told once, by us.
        let is_connection = matches!(*facility, "FAIL" | "ERROR" | "DISCONNECT" | "REQTMOUT");
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning
                if !is_connection =>
            {
                warn!(facility, text, "librdkafka");
            }
            _ => debug!(facility, text, "librdkafka"),
        }
    }
}
