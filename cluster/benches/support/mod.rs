//! Keys and claims that all benches make alike.

use std::net::IpAddr;

use onair_cluster::ids::{LiveKeyId, NodeId, ProducerId, RoomId, SessionId};
use onair_cluster::registry::{Claim, KeyRecord, Takeover};
use onair_cluster::time::UnixMs;

/// The record of a new key for `room`.
pub(crate) fn record(room: &RoomId) -> KeyRecord {
    KeyRecord {
        live_key_id: LiveKeyId::random(room),
        room_id: room.clone(),
        producer_id: ProducerId::parse("producer-1").unwrap(),
        takeover: Takeover::Idle,
        max_duration: None,
        max_bitrate: None,
        revoked: false,
        // In the year 2096: after all of a bench, whatever it takes for now.
        expires_at: UnixMs(4_000_000_000_000),
    }
}

/// A claim with that key, as an encoder's connection makes it.
pub(crate) fn claim(key: &KeyRecord) -> Claim {
    Claim {
        session_id: SessionId::random(),
        room_id: key.room_id.clone(),
        live_key_id: key.live_key_id.clone(),
        node_id: NodeId::parse("node-1").unwrap(),
        client_addr: IpAddr::from([127, 0, 0, 1]),
        client_agent: "FMLE/3.0 (compatible; FMSc/1.0)".to_owned(),
        issued: None,
    }
}
