//! Kafka: one Apache Kafka broker in KRaft mode, from its jars, and a reader of what is in a topic.

mod broker;
mod options;
mod records;

pub use broker::Kafka;
pub use options::{Options, Sasl};
pub use records::{Record, Records};
