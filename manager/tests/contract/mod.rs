//! The cases, and what they share: made-up events, and a Manager that owns every shard.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

pub(crate) mod access;
pub(crate) mod addresses;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod ledger;
mod postgres_only;
mod postgres_owners;
mod sqlite_only;
pub(crate) mod stores;
pub(crate) mod upkeep;

use std::sync::LazyLock;
use std::time::Duration;

use onair_cluster::events::{AudioFacts, EndReason, VideoFacts};
use onair_cluster::nodes::Incarnation;
use onair_cluster::{
    Epoch, Event, EventKind, Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, Shard,
    UnixMs,
};
use onair_manager::live_db::{Applied, LiveDb, LiveDbError, ManagerId, MediaNote, OutboxRow, ShardTerm};

pub(crate) const T0: UnixMs = UnixMs(1_700_000_000_000);

pub(crate) fn at(ms: u64) -> UnixMs {
    UnixMs(T0.0 + ms)
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

pub(crate) fn producer(name: &str) -> ProducerId {
    ProducerId::parse(name).unwrap()
}

/// A session of `room_name`, granted at `at(epoch)`; its producer and node are named after the room.
pub(crate) fn card(room_name: &str, epoch: u64) -> SessionCard {
    SessionCard {
        session_id: SessionId::random(),
        room_id: room(room_name),
        producer_id: producer(&format!("p-{room_name}")),
        live_key_id: LiveKeyId::random(&room(room_name)),
        epoch: Epoch(epoch),
        node_id: NodeId::parse("node-1").unwrap(),
        client_addr: "127.0.0.1".parse().unwrap(),
        client_agent: "OBS 30 \"quoted\" é".to_owned(),
        granted_at: UnixMs(T0.0.saturating_add(epoch)),
    }
}

pub(crate) fn facts(live_at: Option<UnixMs>) -> Facts {
    Facts {
        live_at,
        last_media_at: live_at,
        bytes_in: 42,
        bitrate_kbps: 2_500,
        video: Some(VideoFacts {
            codec: "h264".to_owned(),
            width: Some(1280),
            height: Some(720),
            fps: Some(29.97),
        }),
        audio: Some(AudioFacts { codec: "aac".to_owned(), sample_rate: Some(48_000), channels: Some(2) }),
        players: 3,
        unreplicated: false,
    }
}

fn event(card: &SessionCard, kind: EventKind, at: UnixMs, facts: Facts) -> Event {
    Event { n: 1, shard: card.room_id.shard(), at, kind, session: card.clone(), facts }
}

pub(crate) fn granted(card: &SessionCard) -> Event {
    event(card, EventKind::Granted, card.granted_at, Facts::default())
}

pub(crate) fn live(card: &SessionCard, live_at: UnixMs) -> Event {
    event(card, EventKind::Live, live_at, facts(Some(live_at)))
}

pub(crate) fn ended(
    card: &SessionCard,
    live_at: Option<UnixMs>,
    ended_at: UnixMs,
    reason: EndReason,
) -> Event {
    event(card, EventKind::Ended { reason, ended_at }, UnixMs(ended_at.0 + 7), facts(live_at))
}

/// The Manager of these tests: one that owns every shard.
pub(crate) async fn terms(db: &dyn LiveDb) -> Vec<ShardTerm> {
    static INCARNATION: LazyLock<Incarnation> = LazyLock::new(Incarnation::random);
    let me = ManagerId { node_id: NodeId::parse("manager-1").unwrap(), incarnation: *INCARNATION };
    let holdings = db.beat(&me, Duration::from_secs(600)).await.unwrap();
    assert_eq!(holdings.shards.len(), usize::from(Shard::COUNT));
    holdings.shards
}

pub(crate) async fn apply(db: &dyn LiveDb, events: &[Event], now: UnixMs) -> Result<Applied, LiveDbError> {
    db.apply(&terms(db).await, events, now).await
}

pub(crate) async fn close_lost(db: &dyn LiveDb, now: UnixMs) -> Result<u64, LiveDbError> {
    db.close_lost(&terms(db).await, now).await
}

pub(crate) async fn note_media(db: &dyn LiveDb, notes: &[MediaNote]) -> Result<u64, LiveDbError> {
    db.note_media(&terms(db).await, notes).await
}

/// All messages, shard by shard, in order.
pub(crate) async fn outbox(db: &dyn LiveDb) -> Vec<OutboxRow> {
    let mut rows = Vec::new();
    for shard in Shard::all() {
        rows.extend(db.feed(shard, 0, 10_000).await.unwrap());
    }
    rows
}

/// `(event id, type)` of every message, shard by shard, in order.
pub(crate) async fn told(db: &dyn LiveDb) -> Vec<(String, String)> {
    outbox(db).await.into_iter().map(|row| (row.event_id, row.kind)).collect()
}
