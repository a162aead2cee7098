//! Acquire: who may have a room. Grants only what is free, dead or the asker's own; a room that is held is asked for, never taken.

use super::shard::{LeaseState, ShardState};
use crate::events::{EventKind, Facts, SessionCard};
use crate::ids::Epoch;
use crate::registry::{Acquired, Claim, Denial, Grant, Holder, KeyRecord, Takeover, Want};
use crate::time::UnixMs;

impl ShardState {
    /// Answers a claim. In this order: the asker's own lease (same answer, no new event), its own tombstone, the room's
    /// hold, the key, the backlog of events, a registry that lost its memory, and then whoever holds the room.
    pub fn acquire(&mut self, now: UnixMs, claim: &Claim) -> Acquired {
        let room = &claim.room_id;
        if self.leases.get(room).is_some_and(|lease| lease.card.session_id == claim.session_id) {
            // The asker will believe from the moment it asked this time, so the deadline moves too.
            self.extend(now, room);
            return self.granted(claim);
        }
        if self.tombs.get(room).is_some_and(|tomb| tomb.stands(now) && tomb.knows(claim.session_id)) {
            return Acquired::Denied(Denial::Ended);
        }
        let is_known = self.key(now, &claim.live_key_id).is_some();
        // While records are missing, this one may be among them, and may say that the key is revoked.
        let may_be_known = is_known || !self.is_loaded();
        if let Some(issued) = claim.issued.as_ref().filter(|_| !may_be_known) {
            self.keys.insert(claim.live_key_id.clone(), issued.clone());
        }
        let key = match self.admit(now, claim) {
            Ok(key) => key,
            Err(Denial::UnknownKey) if may_be_known => return Acquired::Recovering,
            Err(denial) => return Acquired::Denied(denial),
        };
        // Before the holder is bothered: it must not yield to someone who would then be refused.
        if self.unread.len() >= self.unread_max {
            return Acquired::Backlog;
        }
        if self.is_closed(now) && !self.leases.contains_key(room) {
            return Acquired::Recovering;
        }
        if self.is_dead(now, room) {
            self.end_lost(now, room);
        }
        if self.leases.contains_key(room) {
            return self.busy(now, claim, key.takeover);
        }
        self.grant(now, claim, &key);
        self.granted(claim)
    }

    fn admit(&self, now: UnixMs, claim: &Claim) -> Result<KeyRecord, Denial> {
        if let Some(hold) = self.hold(now, &claim.room_id) {
            return Err(Denial::Held { until: hold.until });
        }
        let key = self.key(now, &claim.live_key_id).ok_or(Denial::UnknownKey)?;
        if key.revoked {
            return Err(Denial::Revoked);
        }
        if key.room_id != claim.room_id {
            return Err(Denial::WrongRoom);
        }
        Ok(key.clone())
    }

    fn grant(&mut self, now: UnixMs, claim: &Claim, key: &KeyRecord) {
        // Time keeps epochs rising over a restart, the high-water mark keeps them rising when the clock does not.
        self.epoch_high = Epoch((self.epoch_high.0 + 1).max(now.0.saturating_mul(1_000)));
        let card = SessionCard {
            session_id: claim.session_id,
            room_id: claim.room_id.clone(),
            producer_id: key.producer_id.clone(),
            live_key_id: claim.live_key_id.clone(),
            epoch: self.epoch_high,
            node_id: claim.node_id.clone(),
            client_addr: claim.client_addr,
            client_agent: claim.client_agent.clone(),
            granted_at: now,
        };
        self.append(now, EventKind::Granted, &card, &Facts::default());
        self.insert_lease(LeaseState {
            card,
            max_duration: key.max_duration,
            max_bitrate: key.max_bitrate,
            facts: Facts::default(),
            until: now.plus(self.times.ttl),
            order: None,
            want: None,
        });
    }

    fn granted(&self, claim: &Claim) -> Acquired {
        // Called only when the lease is there; were it not, a backlog is the answer that promises nothing.
        self.leases.get(&claim.room_id).map_or(Acquired::Backlog, |lease| {
            Acquired::Granted(Grant {
                card: lease.card.clone(),
                max_duration: lease.max_duration,
                max_bitrate: lease.max_bitrate,
            })
        })
    }

    /// Someone else holds the room. Where the newcomer's rule may move them, the wish is noted and their node rung.
    fn busy(&mut self, now: UnixMs, claim: &Claim, takeover: Takeover) -> Acquired {
        let room = &claim.room_id;
        let resting = self
            .tombs
            .get(room)
            .and_then(|tomb| tomb.superseded_at)
            .is_some_and(|at| now < at.plus(self.times.takeover_every));
        let until = now.plus(self.times.want_for);
        let Some(lease) = self.leases.get_mut(room) else { return Acquired::Backlog };
        let want = Want {
            session_id: claim.session_id,
            node_id: claim.node_id.clone(),
            live_key_id: claim.live_key_id.clone(),
            client_addr: claim.client_addr,
            takeover,
            until,
        };
        let wanted = takeover != Takeover::Never && !resting && lease.note(now, want);
        if wanted {
            self.rings.push((lease.card.node_id.clone(), room.clone()));
        }
        let since = lease.facts.last_media_at.unwrap_or(lease.card.granted_at);
        let holder = Holder {
            session_id: lease.card.session_id,
            epoch: lease.card.epoch,
            node_id: lease.card.node_id.clone(),
            granted_at: lease.card.granted_at,
            media_age: std::time::Duration::from_millis(now.since(since)),
        };
        Acquired::Busy { holder, wanted }
    }
}

impl LeaseState {
    /// Notes a newcomer's wish. There is room for one: the one that the holder would yield to soonest stays, and of equals the
    /// latest, since earlier ones may have gone away. False when another wish stays.
    fn note(&mut self, now: UnixMs, want: Want) -> bool {
        if let Some(known) = self.want.as_mut().filter(|known| now < known.until) {
            if known.session_id == want.session_id {
                // Asking again does not make the wish last longer.
                return true;
            }
            if weight(known, &self.card) > weight(&want, &self.card) {
                return false;
            }
        }
        self.want = Some(want);
        true
    }
}

/// How soon a holder would yield: at once, as someone's own ghost, or after a longer silence.
fn weight(want: &Want, holder: &SessionCard) -> u8 {
    match want.takeover {
        Takeover::Always => 3,
        Takeover::Idle if want.is_ghost_of(holder) => 2,
        Takeover::Idle => 1,
        Takeover::Never => 0,
    }
}
