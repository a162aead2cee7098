//! Made-up sessions and their events, for the tests of the rules.

use onair_cluster::events::EndReason;
use onair_cluster::{
    Epoch, Event, EventKind, Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, UnixMs,
};

/// A session of `room`, granted at its epoch.
pub(super) fn card(room: &str, epoch: u64) -> SessionCard {
    SessionCard {
        // The same for the same session, whoever makes it.
        session_id: SessionId(u128::from(epoch) << 32 | room.bytes().map(u128::from).sum::<u128>()),
        room_id: RoomId::parse(room).unwrap(),
        producer_id: ProducerId::parse(&format!("p-{room}")).unwrap(),
        live_key_id: LiveKeyId::parse(&format!("00{room}")).unwrap(),
        epoch: Epoch(epoch),
        node_id: NodeId::parse("node-1").unwrap(),
        client_addr: "192.0.2.7".parse().unwrap(),
        client_agent: String::new(),
        granted_at: UnixMs(epoch),
    }
}

pub(super) fn facts(live_at: Option<u64>, last_media_at: Option<u64>, bytes_in: u64) -> Facts {
    Facts {
        live_at: live_at.map(UnixMs),
        last_media_at: last_media_at.map(UnixMs),
        bytes_in,
        ..Facts::default()
    }
}

fn event(card: &SessionCard, n: u64, kind: EventKind, at: u64, facts: Facts) -> Event {
    Event { n, shard: card.room_id.shard(), at: UnixMs(at), kind, session: card.clone(), facts }
}

pub(super) fn granted(card: &SessionCard) -> Event {
    event(card, 1, EventKind::Granted, card.granted_at.0, Facts::default())
}

pub(super) fn live(card: &SessionCard, at: u64) -> Event {
    event(card, 2, EventKind::Live, at, facts(Some(at), Some(at), 1))
}

/// `ended` at `at`, noticed a moment later.
pub(super) fn ended(card: &SessionCard, at: u64, facts: Facts) -> Event {
    let kind = EventKind::Ended { reason: EndReason::Disconnected, ended_at: UnixMs(at) };
    event(card, 3, kind, at + 5, facts)
}
