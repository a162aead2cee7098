//! Rows of the Live DB as the rest of the Manager sees them: parsed, with times as [`UnixMs`].

use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::{Hold, Takeover};
use onair_cluster::{Epoch, Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, UnixMs};

/// A room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRow {
    /// Its id.
    pub room_id: RoomId,
    /// Whose it is.
    pub producer_id: ProducerId,
    /// Since when.
    pub created_at: UnixMs,
}

/// A key to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its id.
    pub live_key_id: LiveKeyId,
    /// The room it opens; recorded before.
    pub room_id: RoomId,
    /// Whose it is.
    pub producer_id: ProducerId,
    /// The rule it publishes under.
    pub takeover: Takeover,
    /// The longest session it may have.
    pub max_duration: Option<Duration>,
    /// The most that a session may send, in bits per second.
    pub max_bitrate: Option<u64>,
    /// Now.
    pub created_at: UnixMs,
    /// When it opens nothing any more.
    pub expires_at: UnixMs,
}

/// Why a key is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyRevoked {
    /// Someone asked for it.
    Asked,
    /// A newer key needed its place.
    Retired,
}

/// A key on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// As it was made.
    pub key: NewKey,
    /// Since when it is revoked, and why.
    pub revoked: Option<(UnixMs, WhyRevoked)>,
    /// When a session was last granted for it.
    pub last_used_at: Option<UnixMs>,
}

/// A hold and its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// The room.
    pub room_id: RoomId,
    /// Until when and why.
    pub hold: Hold,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    Applied,
    /// It was known.
    Repeat,
    /// A newer session of its room is open.
    Fenced,
    /// The store refuses it, for this reason; it is in quarantine.
    Quarantined(String),
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One for each event, in order.
    pub outcomes: Vec<Outcome>,
}

/// The last media of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaNote {
    /// The session.
    pub session_id: SessionId,
    /// Its last media message.
    pub last_media_at: UnixMs,
}

/// A session on record.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRow {
    /// What never changes.
    pub card: SessionCard,
    /// As last told.
    pub facts: Facts,
    /// How it ended, if it has.
    pub end: Option<SessionEnd>,
}

/// The end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// When.
    pub ended_at: UnixMs,
    /// When it was noticed.
    pub detected_at: UnixMs,
    /// Why.
    pub reason: EndReason,
}

/// What viewers saw go on air and off air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastRow {
    /// Its id: that of its first session, so that every Manager gives it the same.
    pub broadcast_id: String,
    /// The room.
    pub room_id: RoomId,
    /// Whose room.
    pub producer_id: ProducerId,
    /// The session that carries or last carried it.
    pub session_id: SessionId,
    /// That session's epoch.
    pub epoch: Epoch,
    /// That session's node.
    pub node_id: NodeId,
    /// First coded frame.
    pub started_at: UnixMs,
    /// How it ended, if it has.
    pub end: Option<SessionEnd>,
}

/// Whether a broadcast is on air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroadcastState {
    /// It is.
    Live,
    /// It was.
    Ended,
}

/// A place in the list of broadcasts, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Start of the last one seen.
    pub started_at: UnixMs,
    /// Its id.
    pub broadcast_id: String,
}

/// Which broadcasts are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BroadcastFilter {
    /// Of this room.
    pub room: Option<RoomId>,
    /// Of this producer.
    pub producer: Option<ProducerId>,
    /// Carried by this node.
    pub node: Option<NodeId>,
    /// On air or over.
    pub state: Option<BroadcastState>,
    /// Begun not before.
    pub since: Option<UnixMs>,
    /// Begun before.
    pub until: Option<UnixMs>,
    /// Older than this one.
    pub after: Option<Position>,
}

/// An event that the store refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Its place.
    pub id: i64,
    /// The event's id.
    pub event_id: String,
    /// The event as JSON.
    pub event: String,
    /// What the store said.
    pub error: String,
    /// When it was first refused.
    pub at: UnixMs,
}

/// How many rows were forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Sessions.
    pub sessions: u64,
    /// Broadcasts.
    pub broadcasts: u64,
    /// Outbox rows.
    pub outbox: u64,
    /// Keys.
    pub keys: u64,
    /// Holds that are over.
    pub holds: u64,
    /// API tokens that were revoked or ended long ago.
    pub tokens: u64,
    /// Entries of the audit log.
    pub audit: u64,
}

impl Purged {
    /// Of all kinds.
    pub fn total(&self) -> u64 {
        self.sessions + self.broadcasts + self.outbox + self.keys + self.holds + self.tokens + self.audit
    }
}

/// What rooms have broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Broadcasts that went on air.
    pub broadcasts: u64,
    /// How long those that are over were on air, in milliseconds.
    pub live_ms: u64,
    /// Payload bytes received for those that are over.
    pub bytes_in: u64,
}

impl Totals {
    /// Adds up; never wraps.
    pub(super) fn add(&mut self, other: &Self) {
        self.broadcasts = self.broadcasts.saturating_add(other.broadcasts);
        self.live_ms = self.live_ms.saturating_add(other.live_ms);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
    }
}

/// Whose totals are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TotalsOf {
    /// Of all rooms together.
    Everyone,
    /// Of a producer's room.
    Producer(ProducerId),
    /// Of a room.
    Room(RoomId),
}
