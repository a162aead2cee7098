//! What people do: orders, keys, holds; and the disaster.

use std::time::Duration;

use super::super::Machine;
use super::{Step, World};
use crate::events::EndReason;
use crate::ids::{LiveKeyId, NodeId, ProducerId, RoomId, SessionId};
use crate::registry::{Hold, KeyRecord, Order, Takeover};
use crate::time::UnixMs;

impl<M: Machine> World<M> {
    pub(super) fn on_order(&mut self, room: usize) -> Step {
        let room = self.rooms[room].clone();
        let order = Order { reason: EndReason::EndedByApi, note: self.history.len().to_string() };
        let view = self.machine.order(self.now, &room, &order);
        let Some(lease) = self.model.leases.get_mut(&room) else {
            self.count("order: nobody there");
            ensure!(view.is_none(), "nobody there, but {view:?}");
            return self.expect(&[], &[]);
        };
        if lease.until.plus(self.times.grace) <= self.now {
            self.count("order: found dead");
            ensure!(view.is_none(), "dead, but {view:?}");
            let (event, ring) = self.model_lost(&room);
            return self.expect(&[event], &ring.into_iter().collect::<Vec<_>>());
        }
        let outcome = if lease.order.is_some() { "order: there already" } else { "order: taken" };
        lease.order.get_or_insert(order);
        ensure!(view.and_then(|view| view.order) == lease.order, "another order than noted");
        let ring = (lease.card.node_id.clone(), room);
        self.count(outcome);
        self.expect(&[], &[ring])
    }

    pub(super) fn on_put_key(&mut self, key: usize, revoked: bool) -> Step {
        self.count(if revoked { "key: put revoked" } else { "key: put again" });
        self.write_key(key, revoked);
        let id = self.keys[key].clone();
        let (events, rings) =
            if self.model.keys[&id].revoked { self.model_revoked(&id) } else { Default::default() };
        self.expect(&events, &rings)
    }

    pub(super) fn write_key(&mut self, key: usize, revoked: bool) {
        let rules = [Takeover::Idle, Takeover::Idle, Takeover::Never, Takeover::Always];
        let record = KeyRecord {
            live_key_id: self.keys[key].clone(),
            room_id: self.rooms[key / 4].clone(),
            producer_id: ProducerId::parse("producer").unwrap(),
            takeover: rules[key % 4],
            max_duration: (key % 4 == 1).then_some(Duration::from_secs(3_600)),
            revoked,
            expires_at: self.now.plus(Duration::from_secs(2_400)),
        };
        let was_revoked = self.model.key(self.now, &record.live_key_id).is_some_and(|known| known.revoked);
        self.machine.put_key(self.now, &record);
        let known = KeyRecord { revoked: revoked || was_revoked, ..record };
        self.model.keys.insert(known.live_key_id.clone(), known);
    }

    pub(super) fn on_revoke(&mut self, key: usize) -> Step {
        // Revoking everything would leave nothing to test.
        let key = if key % 4 == 3 { 8 } else { key };
        let id = self.keys[key].clone();
        let is_known = self.model.key(self.now, &id).is_some();
        let answer = self.machine.revoke(self.now, &id);
        ensure!(answer == is_known, "revoked {answer}");
        if !is_known {
            self.count("revoke: no such key");
            return self.expect(&[], &[]);
        }
        self.model.keys.get_mut(&id).unwrap().revoked = true;
        let (events, rings) = self.model_revoked(&id);
        self.count(if rings.is_empty() { "revoke: revoked" } else { "revoke: revoked on air" });
        self.expect(&events, &rings)
    }

    /// Revocation reaches the key's live session in the same step.
    #[allow(clippy::type_complexity, reason = "events and rings to expect, as everywhere here")]
    pub(super) fn model_revoked(
        &mut self,
        id: &LiveKeyId,
    ) -> (Vec<(String, SessionId)>, Vec<(NodeId, RoomId)>) {
        let room = self.model.keys[id].room_id.clone();
        let Some(lease) = self.model.leases.get_mut(&room).filter(|lease| lease.card.live_key_id == *id)
        else {
            return Default::default();
        };
        if lease.until.plus(self.times.grace) <= self.now {
            let (event, ring) = self.model_lost(&room);
            return (vec![event], ring.into_iter().collect());
        }
        lease.order.get_or_insert_with(revoked);
        (vec![], vec![(lease.card.node_id.clone(), room)])
    }

    pub(super) fn on_hold(&mut self, room: usize, ms: u64) -> Step {
        let room = self.rooms[room].clone();
        let hold = Hold { until: UnixMs(self.now.0 + ms), reason: "house rules".to_owned() };
        self.machine.put_hold(&room, &hold);
        self.model.holds.insert(room, hold);
        self.expect(&[], &[])
    }

    pub(super) fn on_lift(&mut self, room: usize) -> Step {
        let room = self.rooms[room].clone();
        let expected = self.model.holds.remove(&room).is_some_and(|hold| self.now < hold.until);
        self.count(if expected { "hold: lifted" } else { "hold: none to lift" });
        ensure!(self.machine.lift_hold(self.now, &room) == expected, "lifted otherwise");
        self.expect(&[], &[])
    }

    pub(super) fn on_acknowledge(&mut self, share: u64) -> Step {
        let last = self.log.last_n();
        self.acknowledged += (last - self.acknowledged) * share / 4;
        self.machine.acknowledge(self.acknowledged);
        let first = self.machine.events().first().map(|event| event.n);
        let expected = (self.acknowledged < last).then_some(self.acknowledged + 1);
        ensure!(first == expected, "the oldest unread event is {first:?}, not {expected:?}");
        self.expect(&[], &[])
    }

    pub(super) fn on_wipe(&mut self) -> Step {
        self.count("wipe");
        self.machine.wipe();
        self.acknowledged = 0;
        self.model.leases.clear();
        self.model.tombs.clear();
        for record in self.model.keys.values() {
            self.machine.put_key(self.now, record);
        }
        for (room, hold) in &self.model.holds {
            self.machine.put_hold(room, hold);
        }
        // What the caller of an emptied registry owes: incumbents come back first, who is over does not, and epochs go on
        // above those of sessions that nobody brings back.
        self.floor = self.boot + u64::try_from((self.times.ttl + self.times.grace).as_millis()).unwrap();
        let log = &self.log;
        self.sessions.retain(|session| {
            session.card.is_some() && !session.is_over && !log.is_ended(session.claim.session_id)
        });
        self.sessions.iter_mut().for_each(|session| session.is_from_before_wipe = true);
        let coming_back: Vec<_> = self.sessions.iter().map(|session| session.claim.session_id).collect();
        let over = self.log.newest_epoch_except(&coming_back);
        self.machine.raise_epochs(over);
        self.log.wiped(over);
        self.expect(&[], &[])
    }
}

pub(super) fn revoked() -> Order {
    Order { reason: EndReason::Revoked, note: String::new() }
}
