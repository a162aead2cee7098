//! Renew: a holder says that it is still there. Extends, flips to `live` once, brings back what was lost, and answers with
//! what is wanted of the session. Never touches the lease of a newer session.

use super::shard::{LeaseState, ShardState};
use crate::events::{EventKind, Facts};
use crate::registry::{Renewal, Renewed};
use crate::time::UnixMs;

impl ShardState {
    /// Answers one holder. A lease past its deadline but still here is kept: nobody else has asked for it.
    pub fn renew(&mut self, now: UnixMs, renewal: &Renewal) -> Renewed {
        let card = &renewal.card;
        let room = &card.room_id;
        match self.leases.get(room) {
            Some(lease) if lease.card.session_id == card.session_id => {}
            Some(other) if other.card.epoch >= card.epoch => {
                return Renewed::Lost { by: Some(other.card.epoch) };
            }
            older => {
                if older.is_some() {
                    // That the newer one was granted proves that this one had ended, in a past that the shard has lost.
                    self.end_lost(now, room);
                }
                if let Some(tomb) = self.tombs.get(room).filter(|t| t.stands(now) && t.covers(card)) {
                    let by = (tomb.session != card.session_id).then_some(tomb.epoch);
                    return Renewed::Lost { by };
                }
                self.adopt(now, renewal);
            }
        }
        self.extend(now, room);
        self.set_facts(now, renewal);
        self.leases.get(room).map_or(Renewed::Lost { by: None }, |lease| Renewed::Kept {
            order: lease.order.clone(),
            want: lease.want.clone().filter(|want| now < want.until),
        })
    }

    /// Takes back a lease that this shard does not know. Whatever lost the lease lost its events with it, so they are made
    /// again, with the same ids and times.
    fn adopt(&mut self, now: UnixMs, renewal: &Renewal) {
        let card = renewal.card.clone();
        let key = self.key(now, &card.live_key_id);
        let lease = LeaseState {
            max_duration: key.and_then(|key| key.max_duration),
            max_bitrate: key.and_then(|key| key.max_bitrate),
            // Whether there was an order is forgotten, but the key still knows.
            order: key.filter(|key| key.revoked).map(|_| Self::revoked_order()),
            facts: Facts::default(),
            until: now.plus(self.times.ttl),
            want: None,
            card: card.clone(),
        };
        self.raise_epochs(card.epoch);
        self.append(card.granted_at, EventKind::Granted, &card, &Facts::default());
        self.insert_lease(lease);
    }

    /// Stores the facts; the first `live_at` flips the session to `live`, and stays.
    fn set_facts(&mut self, now: UnixMs, renewal: &Renewal) {
        let Some(lease) = self.leases.get_mut(&renewal.card.room_id) else { return };
        let was_live = lease.facts.live_at;
        lease.facts = Facts { live_at: was_live.or(renewal.facts.live_at), ..renewal.facts.clone() };
        if was_live.is_none() && lease.facts.live_at.is_some() {
            let (card, facts) = (lease.card.clone(), lease.facts.clone());
            self.append(now, EventKind::Live, &card, &facts);
        }
    }
}
