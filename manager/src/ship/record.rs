//! Record: an outbox row as Kafka gets it, a CloudEvent 1.0 in the binary mode of its Kafka protocol binding.
//!
//! All of it comes from the row, so a repeat is the same record again: whoever has seen its `ce_id` has seen it.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;

use crate::cloud_event::CloudEvent;
use crate::live_db::OutboxRow;

/// A record that can be handed over any number of times.
#[derive(Debug)]
pub(super) struct Record<'a> {
    topic: &'a str,
    key: &'a str,
    payload: &'a str,
    headers: OwnedHeaders,
}

impl<'a> Record<'a> {
    /// The record of `row`, from `source` (the cluster, as a URI reference).
    pub(super) fn new(topic: &'a str, source: &str, row: &'a OutboxRow) -> Self {
        let event = CloudEvent::of(source, row);
        let headers = [
            ("ce_specversion", event.specversion),
            ("ce_id", event.id),
            ("ce_source", event.source),
            ("ce_type", event.kind),
            ("ce_subject", event.subject),
            ("ce_time", &event.time),
            ("ce_partitionkey", event.partitionkey),
            ("ce_sequence", &event.sequence),
            // The one attribute that the binding calls otherwise.
            ("content-type", event.datacontenttype),
        ];
        let room_for = OwnedHeaders::new_with_capacity(headers.len());
        let headers = headers
            .into_iter()
            .fold(room_for, |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        Self { topic, key: row.room_id.as_str(), payload: &row.payload, headers }
    }

    /// As the producer takes it.
    pub(super) fn to_kafka(&self) -> FutureRecord<'_, str, str> {
        FutureRecord::to(self.topic).key(self.key).payload(self.payload).headers(self.headers.clone())
    }
}

#[cfg(test)]
mod tests {
    use onair_cluster::{Epoch, RoomId, Shard, UnixMs};
    use rdkafka::message::Headers;

    use super::*;

    fn row(kind: &str, payload: &str) -> OutboxRow {
        OutboxRow {
            seq: 7,
            shard: Shard::all().next().unwrap(),
            event_id: format!("0f/{kind}"),
            room_id: RoomId::parse("room").unwrap(),
            epoch: Epoch(1_700_000_000_000_001),
            kind: "onair.broadcast.started.v1".to_owned(),
            payload: payload.to_owned(),
            created_at: UnixMs(0),
            shipped_at: None,
        }
    }

    #[test]
    fn headers_are_those_of_the_binding_and_depend_on_the_row_alone() {
        let row = row(
            "ended",
            r#"{"started_at":"2026-01-01T00:00:00.000Z","ended_at":"2026-01-01T00:00:01.000Z"}"#,
        );
        let record = Record::new("t", "/onair/blue", &row);
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|h| (h.key.to_owned(), String::from_utf8(h.value.unwrap().to_vec()).unwrap()))
            .collect();
        let expected = [
            ("ce_specversion", "1.0"),
            ("ce_id", "0f/ended"),
            ("ce_source", "/onair/blue"),
            ("ce_type", "onair.broadcast.started.v1"),
            ("ce_subject", "room"),
            ("ce_time", "2026-01-01T00:00:01.000Z"),
            ("ce_partitionkey", "room"),
            ("ce_sequence", "00001700000000000001.1"),
            ("content-type", "application/json"),
        ];
        assert_eq!(headers, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!((record.key, record.topic), ("room", "t"));
    }
}
