//! Lifecycle events: what happened to a session, in the form that the registry keeps, the Manager stores and Kafka carries.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, LiveKeyId, NodeId, ProducerId, RoomId, SessionId, Shard};
use crate::time::UnixMs;

/// What is known of a session from its grant on, and never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCard {
    /// The session's identity.
    pub session_id: SessionId,
    /// The room it owns.
    pub room_id: RoomId,
    /// Whose room it is.
    pub producer_id: ProducerId,
    /// The key it was granted for.
    pub live_key_id: LiveKeyId,
    /// Its order among the room's sessions.
    pub epoch: Epoch,
    /// The node that holds the socket.
    pub node_id: NodeId,
    /// The publisher's address.
    pub client_addr: IpAddr,
    /// What the encoder says it is; at most 128 characters, no control characters.
    pub client_agent: String,
    /// When the lease was granted, by the registry's clock.
    pub granted_at: UnixMs,
}

/// What is known of the pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// Lower-case codec name: `h264`, `h265`, `av1`, `vp9`, …
    pub codec: String,
    /// Width in pixels, if the sequence header or the metadata told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames per second, by the metadata, the sequence header or measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
}

/// What is known of the sound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// Lower-case codec name: `aac`, `opus`, `mp3`, …
    pub codec: String,
    /// Samples per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
}

/// What changes while a session lasts. Bounded and storable by construction: the node cleans texts before they get here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// First coded frame, video or audio. `None` until then: the session is `granted`, not `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_at: Option<UnixMs>,
    /// The last media message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_media_at: Option<UnixMs>,
    /// Payload bytes received from the publisher.
    #[serde(default)]
    pub bytes_in: u64,
    /// Measured over the last seconds of media.
    #[serde(default)]
    pub bitrate_kbps: u32,
    /// Track 0's pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoFacts>,
    /// Track 0's sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioFacts>,
    /// Players of the room on this node.
    #[serde(default)]
    pub players: u32,
    /// The registry answers the session's node, but its replicas do not confirm: a failover may forget the session.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unreplicated: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Why a session ended. A closed set: tools rely on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The encoder said goodbye.
    Unpublished,
    /// The socket was closed or reset without a goodbye.
    Disconnected,
    /// No media for too long, or none at all.
    Timeout,
    /// Someone with the right to ended it through the API.
    EndedByApi,
    /// Its live key was revoked.
    Revoked,
    /// It yielded to a newer session of the room.
    Superseded,
    /// It broke a limit of its key or of the node.
    Policy,
    /// Its node was shut down in an orderly way.
    Drain,
    /// Our own fault: a panic.
    Crash,
    /// Nobody was left to report: found by the lease's deadline, or at the next start.
    Lost,
    /// The grant could not be confirmed by the registry's replicas.
    Unconfirmed,
    /// The encoder broke the protocol.
    ProtocolError,
}

impl EndReason {
    /// All of them, for metrics and documentation.
    pub const ALL: [Self; 12] = [
        Self::Unpublished,
        Self::Disconnected,
        Self::Timeout,
        Self::EndedByApi,
        Self::Revoked,
        Self::Superseded,
        Self::Policy,
        Self::Drain,
        Self::Crash,
        Self::Lost,
        Self::Unconfirmed,
        Self::ProtocolError,
    ];

    /// The name used in JSON, rows and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unpublished => "unpublished",
            Self::Disconnected => "disconnected",
            Self::Timeout => "timeout",
            Self::EndedByApi => "ended_by_api",
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::Policy => "policy",
            Self::Drain => "drain",
            Self::Crash => "crash",
            Self::Lost => "lost",
            Self::Unconfirmed => "unconfirmed",
            Self::ProtocolError => "protocol_error",
        }
    }

    /// The reason of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The lease was granted.
    Granted,
    /// The first coded frame came.
    Live,
    /// The session is over, for good.
    Ended {
        /// Why.
        reason: EndReason,
        /// When it ended: for `lost` and `timeout` its last known media (or its grant), else the moment of release.
        ended_at: UnixMs,
    },
}

impl EventKind {
    /// `granted`, `live` or `ended`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Live => "live",
            Self::Ended { .. } => "ended",
        }
    }
}

/// One lifecycle event. `ended` alone carries all that is needed to write the session's row and both messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number within the shard: no gaps, so a reader that misses one knows.
    pub n: u64,
    /// The shard of its room.
    pub shard: Shard,
    /// When the registry recorded it. For `lost` and `timeout` this is the time of detection.
    pub at: UnixMs,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// To which session.
    pub session: SessionCard,
    /// What was known of it then.
    pub facts: Facts,
}

impl Event {
    /// `<session_id>/<kind>`: the same for every repeat of the same event.
    pub fn id(&self) -> String {
        format!("{}/{}", self.session.session_id, self.kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_reasons_are_the_twelve_that_tools_know() {
        let names: Vec<_> = EndReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(
            names.join(" "),
            "unpublished disconnected timeout ended_by_api revoked superseded policy drain crash lost unconfirmed protocol_error"
        );
        for reason in EndReason::ALL {
            assert_eq!(EndReason::parse(reason.as_str()), Some(reason));
            assert_eq!(serde_json::to_value(reason).ok(), Some(reason.as_str().into()));
        }
    }
}
