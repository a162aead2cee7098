//! The model: the rules of a shard said once more, as plainly as possible, for one sequence of operations.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::events::{EndReason, SessionCard};
use crate::ids::{Epoch, LiveKeyId, NodeId, RoomId, SessionId};
use crate::registry::{Claim, Hold, KeyRecord, LeaseTimes, Order, Takeover, Want};
use crate::time::UnixMs;

#[derive(Default)]
pub(super) struct Model {
    pub(super) leases: BTreeMap<RoomId, Lease>,
    pub(super) tombs: HashMap<RoomId, Tomb>,
    pub(super) keys: HashMap<LiveKeyId, KeyRecord>,
    pub(super) holds: HashMap<RoomId, Hold>,
}

pub(super) struct Lease {
    pub(super) card: SessionCard,
    pub(super) until: UnixMs,
    pub(super) is_live: bool,
    pub(super) last_media_at: Option<UnixMs>,
    pub(super) order: Option<Order>,
    pub(super) want: Option<Want>,
}

#[derive(Default)]
pub(super) struct Tomb {
    pub(super) sessions: HashSet<SessionId>,
    pub(super) newest: Option<(SessionId, Epoch)>,
    pub(super) superseded_at: Option<UnixMs>,
    pub(super) until: UnixMs,
}

/// What a claim should come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Again,
    Ended,
    Held,
    UnknownKey,
    Revoked,
    WrongRoom,
    Backlog,
    BusyAsked,
    BusyNever,
    BusyResting,
    BusyOutweighed,
    GrantedDead,
    GrantedFree,
}

impl Model {
    pub(super) fn expected(
        &self,
        now: UnixMs,
        claim: &Claim,
        times: &LeaseTimes,
        is_backlog: bool,
    ) -> Expected {
        let room = &claim.room_id;
        let lease = self.leases.get(room);
        if lease.is_some_and(|lease| lease.card.session_id == claim.session_id) {
            return Expected::Again;
        }
        if self.tomb(now, room).is_some_and(|tomb| tomb.sessions.contains(&claim.session_id)) {
            return Expected::Ended;
        }
        if self.holds.get(room).is_some_and(|hold| now < hold.until) {
            return Expected::Held;
        }
        let Some(key) = self.key(now, &claim.live_key_id) else { return Expected::UnknownKey };
        if key.revoked {
            return Expected::Revoked;
        }
        if key.room_id != *room {
            return Expected::WrongRoom;
        }
        if is_backlog {
            return Expected::Backlog;
        }
        let Some(lease) = lease else { return Expected::GrantedFree };
        if lease.until.0 + ms(times.grace) <= now.0 {
            return Expected::GrantedDead;
        }
        if key.takeover == Takeover::Never {
            return Expected::BusyNever;
        }
        let superseded_at = self.tombs.get(room).and_then(|tomb| tomb.superseded_at);
        if superseded_at.is_some_and(|at| now.0 < at.0 + ms(times.takeover_every)) {
            return Expected::BusyResting;
        }
        let outweighed = lease.want.as_ref().is_some_and(|want| {
            now < want.until
                && want.session_id != claim.session_id
                && strength(want.takeover, &want.live_key_id, want.client_addr, lease)
                    > strength(key.takeover, &claim.live_key_id, claim.client_addr, lease)
        });
        if outweighed { Expected::BusyOutweighed } else { Expected::BusyAsked }
    }

    pub(super) fn key(&self, now: UnixMs, id: &LiveKeyId) -> Option<&KeyRecord> {
        self.keys.get(id).filter(|key| now < key.expires_at)
    }

    pub(super) fn tomb(&self, now: UnixMs, room: &RoomId) -> Option<&Tomb> {
        self.tombs.get(room).filter(|tomb| now < tomb.until)
    }

    /// When records are, or were, to be forgotten.
    pub(super) fn expiries(&self) -> impl Iterator<Item = UnixMs> {
        let keys = self.keys.values().map(|key| key.expires_at);
        let holds = self.holds.values().map(|hold| hold.until);
        keys.chain(holds).chain(self.tombs.values().map(|tomb| tomb.until))
    }

    /// Whether the session is over, as far as the room remembers; and the newest session that is.
    pub(super) fn is_over(&self, now: UnixMs, card: &SessionCard) -> Option<(SessionId, Epoch)> {
        self.tomb(now, &card.room_id)?.newest.filter(|(_, epoch)| card.epoch <= *epoch)
    }

    pub(super) fn insert(&mut self, now: UnixMs, card: SessionCard, times: &LeaseTimes) {
        let lease = Lease {
            until: UnixMs(now.0 + ms(times.ttl)),
            is_live: false,
            last_media_at: None,
            order: None,
            want: None,
            card: card.clone(),
        };
        self.leases.insert(card.room_id, lease);
    }

    /// Ends a session, with or without a lease; whoever is to be rung is returned.
    pub(super) fn end(
        &mut self,
        now: UnixMs,
        card: &SessionCard,
        reason: EndReason,
        times: &LeaseTimes,
    ) -> Option<NodeId> {
        let lease = self.leases.remove(&card.room_id);
        let tomb = self.tombs.entry(card.room_id.clone()).or_default();
        if tomb.until <= now {
            *tomb = Tomb::default();
        }
        tomb.sessions.insert(card.session_id);
        tomb.newest = Some((card.session_id, card.epoch));
        tomb.until = UnixMs(now.0 + ms(times.tombstone_for));
        if reason == EndReason::Superseded {
            tomb.superseded_at = Some(now);
        }
        lease.and_then(|lease| lease.want).filter(|want| now < want.until).map(|want| want.node_id)
    }
}

/// Who may hope for the room sooner.
fn strength(takeover: Takeover, key: &LiveKeyId, addr: std::net::IpAddr, lease: &Lease) -> u8 {
    match takeover {
        Takeover::Never => 0,
        Takeover::Idle if (key, addr) == (&lease.card.live_key_id, lease.card.client_addr) => 2,
        Takeover::Idle => 1,
        Takeover::Always => 3,
    }
}

fn ms(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap()
}
