//! What downstream reads of a broadcast's start and end: the payload of an outbox row, the same whichever store holds it.

use onair_cluster::events::{AudioFacts, VideoFacts};
use onair_cluster::{Facts, SessionCard, UnixMs};
use serde::Serialize;

use super::SessionEnd;

/// A message of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// The id of the lifecycle event that it tells of.
    pub(super) event_id: String,
    /// Its type, version included.
    pub(super) kind: &'static str,
    /// JSON.
    pub(super) payload: String,
}

#[derive(Serialize)]
struct Payload<'a> {
    broadcast_id: String,
    room_id: &'a str,
    producer_id: &'a str,
    session_id: String,
    live_key_id: &'a str,
    epoch: u64,
    node_id: &'a str,
    started_at: String,
    #[serde(flatten)]
    end: Option<EndPart>,
    video: Option<&'a VideoFacts>,
    audio: Option<&'a AudioFacts>,
}

#[derive(Serialize)]
struct EndPart {
    ended_at: String,
    detected_at: String,
    end_reason: &'static str,
    bytes_in: u64,
}

impl Message {
    /// `onair.broadcast.started.v1`.
    pub(super) fn started(card: &SessionCard, facts: &Facts, started_at: UnixMs) -> Self {
        let payload = payload(card, facts, started_at, None);
        Self { event_id: format!("{}/live", card.session_id), kind: "onair.broadcast.started.v1", payload }
    }

    /// `onair.broadcast.ended.v1`. Tells the start again, so that one message is enough to know all.
    pub(super) fn ended(card: &SessionCard, facts: &Facts, started_at: UnixMs, end: &SessionEnd) -> Self {
        let end = EndPart {
            ended_at: end.ended_at.to_rfc3339(),
            detected_at: end.detected_at.to_rfc3339(),
            end_reason: end.reason.as_str(),
            bytes_in: facts.bytes_in,
        };
        let payload = payload(card, facts, started_at, Some(end));
        Self { event_id: format!("{}/ended", card.session_id), kind: "onair.broadcast.ended.v1", payload }
    }
}

/// A broadcast has the id of its first session, so that every Manager, and every repeat, gives it the same.
pub(super) fn broadcast_id(card: &SessionCard) -> String {
    card.session_id.to_string()
}

fn payload(card: &SessionCard, facts: &Facts, started_at: UnixMs, end: Option<EndPart>) -> String {
    let payload = Payload {
        broadcast_id: broadcast_id(card),
        room_id: card.room_id.as_str(),
        producer_id: card.producer_id.as_str(),
        session_id: card.session_id.to_string(),
        live_key_id: card.live_key_id.as_str(),
        epoch: card.epoch.0,
        node_id: card.node_id.as_str(),
        started_at: started_at.to_rfc3339(),
        end,
        video: facts.video.as_ref(),
        audio: facts.audio.as_ref(),
    };
    // Texts and numbers only: it cannot fail; if it did, the store would refuse the empty text and quarantine the event.
    serde_json::to_string(&payload).unwrap_or_default()
}
