//! The context attributes of a CloudEvent 1.0 that tells of a broadcast: the same on Kafka and in the feed, and the same for
//! every repeat, since all of them come from the outbox row.

use serde::{Deserialize, Serialize};

use crate::live_db::OutboxRow;

/// The attributes, and the extensions `partitionkey` and `sequence`. Fields stand in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CloudEvent<'a> {
    pub(crate) specversion: &'static str,
    /// `<session_id>/<kind>`: who has seen it has seen the event.
    pub(crate) id: &'a str,
    /// The cluster, as a URI reference.
    pub(crate) source: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    /// The room.
    pub(crate) subject: &'a str,
    /// When the broadcast started or ended; RFC 3339.
    pub(crate) time: String,
    pub(crate) partitionkey: &'a str,
    /// Epoch and phase as a text whose order is the order of a room's events: who has processed one may ignore all that are
    /// smaller.
    pub(crate) sequence: String,
    pub(crate) datacontenttype: &'static str,
}

/// The times of a payload: `ended_at` stands in those that tell of an end.
#[derive(Deserialize)]
struct Times<'a> {
    started_at: Option<&'a str>,
    ended_at: Option<&'a str>,
}

impl<'a> CloudEvent<'a> {
    pub(crate) fn of(source: &'a str, row: &'a OutboxRow) -> Self {
        let times = serde_json::from_str::<Times<'_>>(&row.payload).ok();
        let happened = times.and_then(|times| times.ended_at.or(times.started_at)).map(str::to_owned);
        let room = row.room_id.as_str();
        let phase = if row.event_id.ends_with("/ended") { 1 } else { 0 };
        Self {
            specversion: "1.0",
            id: &row.event_id,
            source,
            kind: &row.kind,
            subject: room,
            time: happened.unwrap_or_else(|| row.created_at.to_rfc3339()),
            partitionkey: room,
            sequence: format!("{:020}.{phase}", row.epoch.0),
            datacontenttype: "application/json",
        }
    }
}

/// The `source` of all events of a cluster.
pub(crate) fn source(cluster: &str) -> String {
    format!("/clusters/{cluster}")
}
