//! Told: an outbox row made ready for clients of the feed, once for all of them.

use onair_cluster::{RoomId, Shard};
use serde::Serialize;
use serde_json::Value;

use crate::cloud_event::CloudEvent;
use crate::live_db::OutboxRow;

/// What clients filter by, and the text that they get.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) shard: Shard,
    pub(crate) seq: u64,
    pub(crate) room: RoomId,
    pub(crate) producer: String,
    pub(crate) node: String,
    pub(crate) kind: String,
    /// The event as it is sent, all but its id: lines, and the empty one at the end.
    pub(crate) text: Box<str>,
}

/// A CloudEvent in the structured mode of its JSON format: one line that says what the headers of the same record on Kafka say,
/// and then what its value says.
#[derive(Serialize)]
struct Structured<'a> {
    #[serde(flatten)]
    attributes: CloudEvent<'a>,
    data: &'a Value,
}

impl Told {
    /// `None` if the row's payload is not what we write.
    pub(crate) fn of(source: &str, row: &OutboxRow) -> Option<Self> {
        let data: Value = serde_json::from_str(&row.payload).ok()?;
        let text = |name: &str| data.get(name)?.as_str().map(str::to_owned);
        let (producer, node) = (text("producer_id")?, text("node_id")?);
        let envelope = Structured { attributes: CloudEvent::of(source, row), data: &data };
        let line = serde_json::to_string(&envelope).ok()?;
        Some(Self {
            shard: row.shard,
            seq: row.seq,
            room: row.room_id.clone(),
            producer,
            node,
            text: format!("event: {}\ndata: {line}\n\n", row.kind).into(),
            kind: row.kind.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use onair_cluster::{Epoch, UnixMs};

    use super::*;

    fn row(payload: &str) -> OutboxRow {
        OutboxRow {
            shard: Shard::all().next().unwrap(),
            seq: 7,
            event_id: "0f/ended".to_owned(),
            room_id: RoomId::parse("room").unwrap(),
            epoch: Epoch(5),
            kind: "onair.broadcast.ended.v1".to_owned(),
            payload: payload.to_owned(),
            created_at: UnixMs(0),
            shipped_at: None,
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_the_payload_looks_like() {
        let payload =
            "{\"producer_id\": \"p\",\n \"node_id\": \"n\",\r\n \"ended_at\": \"2026-01-01T00:00:00.000Z\"}";
        let told = Told::of("/clusters/test", &row(payload)).unwrap();
        let lines: Vec<_> = told.text.split('\n').collect();
        assert_eq!(lines[0], "event: onair.broadcast.ended.v1");
        assert_eq!(lines[2..], ["", ""]);
        let envelope: Value = serde_json::from_str(lines[1].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(envelope["id"], "0f/ended");
        assert_eq!(envelope["source"], "/clusters/test");
        assert_eq!(envelope["type"], "onair.broadcast.ended.v1");
        assert_eq!((&envelope["subject"], &envelope["data"]["node_id"]), (&"room".into(), &"n".into()));
        assert_eq!(envelope["time"], "2026-01-01T00:00:00.000Z");
        assert_eq!(envelope["sequence"], "00000000000000000005.1");
    }

    #[test]
    fn a_row_that_is_not_ours_is_not_told() {
        for payload in ["", "[]", "{}", "{\"producer_id\": 1, \"node_id\": \"n\"}"] {
            assert!(Told::of("/clusters/test", &row(payload)).is_none(), "{payload}");
        }
    }
}
