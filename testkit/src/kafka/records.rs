//! What is in a topic, partition by partition, in the order of its offsets.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::wait::eventually;

/// How long a question to the broker may take, its restart included.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// One record. Keys, headers and values that are not UTF-8 have those bytes replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition it is in.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// When the producer (or the broker, if the topic says so) had it, in milliseconds since 1970.
    pub timestamp: i64,
    /// The key, if it has one.
    pub key: Option<String>,
    /// Headers in their order.
    pub headers: Vec<(String, String)>,
    /// The value; empty for a tombstone.
    pub value: String,
}

impl Record {
    /// The value of a header. Panics if there is none, or two.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => value,
            _ => panic!("not one header {name} in {self:?}"),
        }
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().map(text),
            headers: headers.map(|h| (h.key.to_owned(), h.value.map(text).unwrap_or_default())).collect(),
            value: message.payload().map(text).unwrap_or_default(),
        }
    }
}

/// A reader of one topic from its beginning. It outlives restarts of the broker.
pub struct Records {
    consumer: BaseConsumer,
    topic: String,
    partitions: Vec<i32>,
    /// The offset that comes next, for each of the partitions.
    next: Vec<i64>,
}

impl Records {
    pub(super) fn new(consumer: BaseConsumer, topic: &str) -> Self {
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_MAX).expect("metadata");
        let partitions: Vec<_> =
            metadata.topics().iter().flat_map(MetadataTopic::partitions).map(MetadataPartition::id).collect();
        assert!(!partitions.is_empty(), "there is no topic {topic}");
        let mut assignment = TopicPartitionList::new();
        for partition in &partitions {
            assignment.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&assignment).expect("an assignment");
        let next = vec![0; partitions.len()];
        Self { consumer, topic: topic.to_owned(), partitions, next }
    }

    /// The next record, if one comes within `within`.
    pub fn next(&mut self, within: Duration) -> Option<Record> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                Some(Ok(message)) => {
                    let record = Record::of(&message);
                    let at = self.partitions.iter().position(|p| *p == record.partition);
                    self.next[at.expect("an assigned partition")] = record.offset + 1;
                    return Some(record);
                }
                // The client itself goes on after an error, for instance when the broker is gone for a while.
                Some(Err(_)) | None if left.is_zero() => return None,
                Some(Err(_)) | None => {}
            }
        }
    }

    /// Everything up to what is in the topic now that has not been read yet. Panics if the broker does not answer within a
    /// minute.
    pub fn rest(&mut self) -> Vec<Record> {
        let ends: Vec<_> = self.partitions.iter().map(|p| self.end(*p)).collect();
        let deadline = Instant::now() + ANSWER_MAX;
        let mut records = Vec::new();
        while self.next.iter().zip(&ends).any(|(next, end)| next < end) {
            assert!(Instant::now() < deadline, "{self:?} does not come to its end {ends:?}");
            records.extend(self.next(Duration::from_millis(100)));
        }
        records
    }

    /// A broker that has just come back may answer before it leads the partition again, so errors are asked about once more.
    fn end(&self, partition: i32) -> i64 {
        eventually(&format!("the end of partition {partition} of {self:?}"), ANSWER_MAX, || {
            self.consumer.fetch_watermarks(&self.topic, partition, ANSWER_MAX).ok().map(|(_, end)| end)
        })
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("topic", &self.topic)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
