//! The metrics of the way to Kafka.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Counters and gauges of shipping. They stay 0 without Kafka.
#[derive(Clone, Debug)]
pub(crate) struct ShipMetrics {
    pub(crate) up: Gauge,
    pub(crate) shipped: Counter,
    pub(crate) failures: Counter,
    pub(crate) refused: Counter,
    pub(crate) rebuilds: Counter,
    pub(crate) lag: Histogram,
}

impl ShipMetrics {
    /// Names them in `to`, the Manager's part of the registry.
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("kafka_up", "1 while Kafka's topic is there and fit for events", self.up.clone());
        to.register("shipped", "Messages delivered to Kafka", self.shipped.clone());
        to.register("ship_failures", "Deliveries to Kafka that failed; they go again", self.failures.clone());
        to.register("ship_refused", "Messages that Kafka refuses for good", self.refused.clone());
        to.register("ship_rebuilds", "Kafka producers that were beyond repair", self.rebuilds.clone());
        to.register_with_unit(
            "ship_lag",
            "From a message's commit in the Live DB to its delivery",
            Unit::Seconds,
            self.lag.clone(),
        );
    }
}

impl Default for ShipMetrics {
    fn default() -> Self {
        Self {
            up: Gauge::default(),
            shipped: Counter::default(),
            failures: Counter::default(),
            refused: Counter::default(),
            rebuilds: Counter::default(),
            // 1 ms to 16 s.
            lag: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
        }
    }
}
