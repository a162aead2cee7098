//! The model: the rules of a shard said once more, as plainly as possible, for one sequence of operations.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::events::{EndReason, SessionCard};
use crate::ids::{Epoch, LiveKeyId, NodeId, RoomId, SessionId};
use crate::registry::local::memory::{Contact, Position};
use crate::registry::{Claim, Hold, KeyRecord, LeaseTimes, Order, Takeover, Want};
use crate::time::UnixMs;

#[derive(Clone, Default)]
pub(in crate::registry) struct Model {
    pub(in crate::registry) leases: BTreeMap<RoomId, Lease>,
    pub(in crate::registry) tombs: HashMap<RoomId, Tomb>,
    pub(in crate::registry) keys: HashMap<LiveKeyId, KeyRecord>,
    pub(in crate::registry) holds: HashMap<RoomId, Hold>,
    /// In a shared registry.
    pub(in crate::registry) memory: Option<Memory>,
}

/// What a shared shard knows of its own past.
#[derive(Clone, Default)]
pub(in crate::registry) struct Memory {
    pub(in crate::registry) life: u64,
    pub(in crate::registry) seen: UnixMs,
    pub(in crate::registry) run: u32,
    pub(in crate::registry) floor: UnixMs,
    pub(in crate::registry) is_loaded: bool,
    pub(in crate::registry) is_blank: bool,
}

#[derive(Clone)]
pub(in crate::registry) struct Lease {
    pub(in crate::registry) card: SessionCard,
    pub(in crate::registry) until: UnixMs,
    pub(in crate::registry) is_live: bool,
    pub(in crate::registry) last_media_at: Option<UnixMs>,
    pub(in crate::registry) order: Option<Order>,
    pub(in crate::registry) want: Option<Want>,
}

#[derive(Clone, Default)]
pub(in crate::registry) struct Tomb {
    pub(in crate::registry) sessions: HashSet<SessionId>,
    pub(in crate::registry) newest: Option<(SessionId, Epoch)>,
    pub(in crate::registry) superseded_at: Option<UnixMs>,
    pub(in crate::registry) until: UnixMs,
}

/// What a claim should come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Expected {
    Again,
    Ended,
    Held,
    UnknownKey,
    NotLoaded,
    Closed,
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
    pub(in crate::registry) fn expected(
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
        let Some(key) = self.key(now, &claim.live_key_id) else {
            let is_loaded = self.memory.as_ref().is_none_or(|memory| memory.is_loaded);
            return if is_loaded { Expected::UnknownKey } else { Expected::NotLoaded };
        };
        if key.revoked {
            return Expected::Revoked;
        }
        if key.room_id != *room {
            return Expected::WrongRoom;
        }
        if is_backlog {
            return Expected::Backlog;
        }
        let Some(lease) = lease else {
            let is_blank = self.memory.as_ref().is_some_and(|memory| memory.is_blank);
            let is_closed = is_blank && !self.is_past_floor(now);
            return if is_closed { Expected::Closed } else { Expected::GrantedFree };
        };
        if self.is_dead(now, room, times) {
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

    /// The claim brings its key's record along, and that is the first the shard hears of the key.
    pub(in crate::registry) fn makes_key(&self, now: UnixMs, claim: &Claim) -> bool {
        let on = self.leases.get(&claim.room_id).map(|lease| lease.card.session_id);
        let is_over =
            self.tomb(now, &claim.room_id).is_some_and(|tomb| tomb.sessions.contains(&claim.session_id));
        claim.issued.is_some()
            && on != Some(claim.session_id)
            && !is_over
            && self.key(now, &claim.live_key_id).is_none()
            && self.memory.as_ref().is_none_or(|memory| memory.is_loaded)
    }

    pub(in crate::registry) fn is_past_floor(&self, now: UnixMs) -> bool {
        self.memory.as_ref().is_none_or(|memory| memory.floor <= now)
    }

    /// Nobody has renewed it for so long that it is nobody's any more.
    pub(in crate::registry) fn is_dead(&self, now: UnixMs, room: &RoomId, times: &LeaseTimes) -> bool {
        let lease = self.leases.get(room);
        self.is_past_floor(now) && lease.is_some_and(|lease| lease.until.0 + ms(times.grace) <= now.0)
    }

    /// What the shard remembers of itself once this caller has called.
    pub(in crate::registry) fn woken(
        &self,
        now: UnixMs,
        times: &LeaseTimes,
        caller: (u32, Position),
        contact: Option<Contact>,
        last_n: u64,
    ) -> Option<Memory> {
        let before = self.memory.clone()?;
        let (run, known) = caller;
        // The caller was there when the shard was last seen, or soon after, and a moment ago.
        let was_there = contact
            .is_some_and(|contact| contact.from.0 <= before.seen.0 + 3_000 && now.0 <= contact.to.0 + 3_000);
        let floor = UnixMs(now.0 + ms(times.ttl) + ms(times.grace));
        let after = Memory { seen: now, run, ..before.clone() };
        let is_behind = (known.life, known.n) > (before.life, last_n);
        if before.life == 0 || is_behind {
            let life = (now.0 * 1_000).max(known.life + 1);
            return Some(Memory { life, floor, is_loaded: false, is_blank: true, ..after });
        }
        let was_away = before.seen.0 + 3_000 < now.0 && !was_there || before.run != run;
        if !was_away {
            return Some(after);
        }
        Some(Memory { floor, is_blank: before.is_blank && now < before.floor, ..after })
    }

    pub(in crate::registry) fn key(&self, now: UnixMs, id: &LiveKeyId) -> Option<&KeyRecord> {
        self.keys.get(id).filter(|key| now < key.expires_at)
    }

    pub(in crate::registry) fn tomb(&self, now: UnixMs, room: &RoomId) -> Option<&Tomb> {
        self.tombs.get(room).filter(|tomb| now < tomb.until)
    }

    /// When records are, or were, to be forgotten.
    pub(in crate::registry) fn expiries(&self) -> impl Iterator<Item = UnixMs> {
        let keys = self.keys.values().map(|key| key.expires_at);
        let holds = self.holds.values().map(|hold| hold.until);
        keys.chain(holds).chain(self.tombs.values().map(|tomb| tomb.until))
    }

    /// Whether the session is over, as far as the room remembers; and the newest session that is.
    pub(in crate::registry) fn is_over(&self, now: UnixMs, card: &SessionCard) -> Option<(SessionId, Epoch)> {
        self.tomb(now, &card.room_id)?.newest.filter(|(_, epoch)| card.epoch <= *epoch)
    }

    pub(in crate::registry) fn insert(&mut self, now: UnixMs, card: SessionCard, times: &LeaseTimes) {
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
    pub(in crate::registry) fn end(
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
