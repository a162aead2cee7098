//! What the API shows, name by name. Times are RFC 3339 with milliseconds; what is not known is null, never left out.

use onair_cluster::events::{AudioFacts, EndReason, VideoFacts};
use onair_cluster::registry::{Hold, LeaseView, Takeover};
use onair_cluster::{RoomId, UnixMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::BroadcastAddress;
use crate::live_db::{BroadcastRow, WhyRevoked};

/// An address to publish to. Secret: it is not shown again.
#[derive(Serialize, ToSchema)]
pub(super) struct AddressView {
    /// The producer's room.
    pub(super) room_id: String,
    /// The key's id: safe to log, and what to revoke it by.
    pub(super) live_key_id: String,
    /// The key itself.
    pub(super) live_key: String,
    /// `rtmp://host/room/key`, for tools that take one address.
    pub(super) url: String,
    /// What OBS calls server.
    pub(super) server: String,
    /// What OBS calls stream key; equal to `live_key`.
    pub(super) stream_key: String,
    /// When the key opens nothing any more.
    pub(super) expires_at: String,
}

impl From<BroadcastAddress> for AddressView {
    fn from(address: BroadcastAddress) -> Self {
        let key = address.live_key.expose().to_owned();
        Self {
            url: address.url(),
            room_id: address.room_id.to_string(),
            live_key_id: address.live_key_id.to_string(),
            live_key: key.clone(),
            server: address.server,
            stream_key: key,
            expires_at: address.expires_at.to_rfc3339(),
        }
    }
}

/// A publisher on this cluster, now.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionView {
    session_id: String,
    room_id: String,
    producer_id: String,
    live_key_id: String,
    /// Its order among the room's sessions.
    epoch: u64,
    node_id: String,
    state: SessionState,
    /// Whether the registry's replicas have confirmed the lease.
    confirmed: bool,
    client_addr: String,
    client_agent: String,
    granted_at: String,
    /// First coded frame.
    live_at: Option<String>,
    /// Milliseconds since the last media, as of the last renewal and the time since.
    last_media_age_ms: Option<u64>,
    bitrate_kbps: u32,
    bytes_in: u64,
    video: Option<VideoView>,
    audio: Option<AudioView>,
    /// Players of the room on its node.
    players: u32,
}

/// Whether media has come.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionState {
    /// The publisher may send.
    Granted,
    /// The publisher has sent a coded frame.
    Live,
}

impl SessionState {
    pub(super) fn of(lease: &LeaseView) -> Self {
        if lease.facts.live_at.is_some() { Self::Live } else { Self::Granted }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "granted" => Some(Self::Granted),
            "live" => Some(Self::Live),
            _ => None,
        }
    }
}

/// The pictures.
#[derive(Serialize, ToSchema)]
pub(super) struct VideoView {
    /// `h264`, `h265`, `av1`, …
    codec: String,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
}

/// The sound.
#[derive(Serialize, ToSchema)]
pub(super) struct AudioView {
    /// `aac`, `opus`, …
    codec: String,
    sample_rate: Option<u32>,
    channels: Option<u8>,
}

impl From<&VideoFacts> for VideoView {
    fn from(video: &VideoFacts) -> Self {
        Self { codec: video.codec.clone(), width: video.width, height: video.height, fps: video.fps }
    }
}

impl From<&AudioFacts> for AudioView {
    fn from(audio: &AudioFacts) -> Self {
        Self { codec: audio.codec.clone(), sample_rate: audio.sample_rate, channels: audio.channels }
    }
}

impl SessionView {
    pub(super) fn of(lease: &LeaseView, now: UnixMs) -> Self {
        let LeaseView { card, facts, .. } = lease;
        Self {
            session_id: card.session_id.to_string(),
            room_id: card.room_id.to_string(),
            producer_id: card.producer_id.to_string(),
            live_key_id: card.live_key_id.to_string(),
            epoch: card.epoch.0,
            node_id: card.node_id.to_string(),
            state: SessionState::of(lease),
            confirmed: lease.confirmed,
            client_addr: card.client_addr.to_string(),
            client_agent: card.client_agent.clone(),
            granted_at: card.granted_at.to_rfc3339(),
            live_at: facts.live_at.map(UnixMs::to_rfc3339),
            last_media_age_ms: facts.last_media_at.map(|at| now.since(at)),
            bitrate_kbps: facts.bitrate_kbps,
            bytes_in: facts.bytes_in,
            video: facts.video.as_ref().map(VideoView::from),
            audio: facts.audio.as_ref().map(AudioView::from),
            players: facts.players,
        }
    }
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionList {
    pub(super) items: Vec<SessionView>,
    /// For `after`; null on the last page.
    pub(super) next: Option<String>,
    /// Parts of the registry that did not answer: what is live in their rooms is missing from this page. Empty, as it nearly
    /// always is: the page is complete.
    pub(super) shards_away: Vec<String>,
}

/// What viewers saw go on air and off air.
#[derive(Serialize, ToSchema)]
pub(super) struct BroadcastView {
    broadcast_id: String,
    room_id: String,
    producer_id: String,
    session_id: String,
    epoch: u64,
    node_id: String,
    /// First coded frame.
    started_at: String,
    /// Null while on air. Of a lost or timed-out one: its last known media.
    ended_at: Option<String>,
    /// When the end was noticed.
    detected_at: Option<String>,
    end_reason: Option<EndReasonName>,
}

impl From<&BroadcastRow> for BroadcastView {
    fn from(row: &BroadcastRow) -> Self {
        Self {
            broadcast_id: row.broadcast_id.clone(),
            room_id: row.room_id.to_string(),
            producer_id: row.producer_id.to_string(),
            session_id: row.session_id.to_string(),
            epoch: row.epoch.0,
            node_id: row.node_id.to_string(),
            started_at: row.started_at.to_rfc3339(),
            ended_at: row.end.map(|end| end.ended_at.to_rfc3339()),
            detected_at: row.end.map(|end| end.detected_at.to_rfc3339()),
            end_reason: row.end.map(|end| end.reason.into()),
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndReasonName {
    /// The encoder said goodbye.
    Unpublished,
    /// The socket closed without a goodbye.
    Disconnected,
    /// No media for too long, or none at all.
    Timeout,
    /// Somebody ended it through the API.
    EndedByApi,
    /// Its live key was revoked.
    Revoked,
    /// A newer session took the room over.
    Superseded,
    /// It broke a limit of its key or of the node.
    Policy,
    /// Its node was shut down in an orderly way.
    Drain,
    /// Our own fault.
    Crash,
    /// Nobody was left to report.
    Lost,
    /// The registry could not vouch for it.
    Unconfirmed,
    /// The encoder broke the protocol.
    ProtocolError,
}

impl From<EndReason> for EndReasonName {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::Unpublished => Self::Unpublished,
            EndReason::Disconnected => Self::Disconnected,
            EndReason::Timeout => Self::Timeout,
            EndReason::EndedByApi => Self::EndedByApi,
            EndReason::Revoked => Self::Revoked,
            EndReason::Superseded => Self::Superseded,
            EndReason::Policy => Self::Policy,
            EndReason::Drain => Self::Drain,
            EndReason::Crash => Self::Crash,
            EndReason::Lost => Self::Lost,
            EndReason::Unconfirmed => Self::Unconfirmed,
            EndReason::ProtocolError => Self::ProtocolError,
        }
    }
}

/// A page of broadcasts.
#[derive(Serialize, ToSchema)]
pub(super) struct BroadcastList {
    pub(super) items: Vec<BroadcastView>,
    /// For `after`; null on the last page.
    pub(super) next: Option<String>,
}

/// A room, and what happens in it now.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomView {
    pub(super) room_id: String,
    /// Null when the Live DB does not answer and nobody is live.
    pub(super) producer_id: Option<String>,
    pub(super) created_at: Option<String>,
    pub(super) state: RoomState,
    /// Who holds it.
    pub(super) session: Option<SessionView>,
    /// The hold in force.
    pub(super) hold: Option<HoldView>,
}

/// What happens in a room.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RoomState {
    OffAir,
    Granted,
    Live,
}

impl RoomState {
    pub(super) fn of(lease: Option<&LeaseView>) -> Self {
        match lease.map(SessionState::of) {
            None => Self::OffAir,
            Some(SessionState::Granted) => Self::Granted,
            Some(SessionState::Live) => Self::Live,
        }
    }
}

/// A room that nobody may publish into for a while.
#[derive(Serialize, ToSchema)]
pub(super) struct HoldView {
    room_id: String,
    until: String,
    reason: String,
}

impl HoldView {
    pub(super) fn of(room: &RoomId, hold: &Hold) -> Self {
        Self { room_id: room.to_string(), until: hold.until.to_rfc3339(), reason: hold.reason.clone() }
    }
}

/// A session that was told to end.
#[derive(Serialize, ToSchema)]
pub(super) struct EndingView {
    pub(super) room_id: String,
    pub(super) session_id: String,
    pub(super) epoch: u64,
    /// The hold in force, if one was asked for.
    pub(super) hold: Option<HoldView>,
}

/// A live key, without the key.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveKeyView {
    pub(super) live_key_id: String,
    pub(super) room_id: String,
    pub(super) producer_id: String,
    pub(super) state: LiveKeyState,
    pub(super) takeover: TakeoverName,
    pub(super) max_duration_seconds: Option<u64>,
    pub(super) max_bitrate_kbps: Option<u64>,
    /// Null while the Live DB does not answer, like all times below but `expires_at`.
    pub(super) created_at: Option<String>,
    pub(super) expires_at: String,
    pub(super) revoked_at: Option<String>,
    pub(super) revoked_why: Option<RevokedName>,
    /// When a session was last granted for it.
    pub(super) last_used_at: Option<String>,
}

/// Whether a key opens its room.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LiveKeyState {
    Active,
    Revoked,
    Expired,
}

impl LiveKeyState {
    pub(super) fn of(is_revoked: bool, expires_at: UnixMs) -> Self {
        match (is_revoked, expires_at <= UnixMs::now()) {
            (true, _) => Self::Revoked,
            (false, true) => Self::Expired,
            (false, false) => Self::Active,
        }
    }
}

/// Why a key is revoked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RevokedName {
    /// Through the API.
    Asked,
    /// It was idle longest when a new key needed its place.
    Retired,
}

impl From<WhyRevoked> for RevokedName {
    fn from(why: WhyRevoked) -> Self {
        match why {
            WhyRevoked::Asked => Self::Asked,
            WhyRevoked::Retired => Self::Retired,
        }
    }
}

/// When a second publisher may have the room.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TakeoverName {
    /// When the first has been silent for a while.
    #[default]
    Idle,
    /// Not while the first lasts.
    Never,
    /// At once.
    Always,
}

impl From<TakeoverName> for Takeover {
    fn from(name: TakeoverName) -> Self {
        match name {
            TakeoverName::Idle => Self::Idle,
            TakeoverName::Never => Self::Never,
            TakeoverName::Always => Self::Always,
        }
    }
}

impl From<Takeover> for TakeoverName {
    fn from(takeover: Takeover) -> Self {
        match takeover {
            Takeover::Idle => Self::Idle,
            Takeover::Never => Self::Never,
            Takeover::Always => Self::Always,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_reasons_have_one_name_everywhere() {
        for reason in EndReason::ALL {
            assert_eq!(serde_json::to_value(EndReasonName::from(reason)).unwrap(), reason.as_str());
        }
    }
}
