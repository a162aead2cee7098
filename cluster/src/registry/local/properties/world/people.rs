//! What people do: orders, keys, holds; and what they read.

use std::time::Duration;

use super::super::Machine;
use super::{Step, World};
use crate::events::EndReason;
use crate::ids::{LiveKeyId, NodeId, ProducerId, RoomId, SessionId};
use crate::registry::{Hold, KeyRecord, Order, Takeover};
use crate::time::UnixMs;

impl<M: Machine> World<M> {
    pub(in crate::registry) fn on_order(&mut self, room: usize) -> Step {
        self.wake();
        let room = self.rooms[room].clone();
        let order = Order { reason: EndReason::EndedByApi, note: self.history.len().to_string() };
        let view = self.machine.order(self.now, &room, &order);
        let is_dead = self.model.is_dead(self.now, &room, &self.times);
        let Some(lease) = self.model.leases.get_mut(&room) else {
            self.count("order: nobody there");
            ensure!(view.is_none(), "nobody there, but {view:?}");
            return self.expect(&[], &[]);
        };
        if is_dead {
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

    pub(in crate::registry) fn on_put_key(&mut self, key: usize, revoked: bool) -> Step {
        self.count(if revoked { "key: put revoked" } else { "key: put again" });
        self.write_key(key, revoked);
        let id = self.keys[key].clone();
        let (events, rings) =
            if self.model.keys[&id].revoked { self.model_revoked(&id) } else { Default::default() };
        self.expect_key(&id)?;
        self.expect(&events, &rings)
    }

    pub(in crate::registry) fn write_key(&mut self, key: usize, revoked: bool) {
        let rules = [Takeover::Idle, Takeover::Idle, Takeover::Never, Takeover::Always];
        let record = KeyRecord {
            live_key_id: self.keys[key].clone(),
            room_id: self.rooms[key / 4].clone(),
            producer_id: ProducerId::parse("producer").unwrap(),
            takeover: rules[key % 4],
            max_duration: (key % 4 == 1).then_some(Duration::from_secs(3_600)),
            max_bitrate: (key % 4 == 2).then_some(1_000_000 + key as u64),
            revoked,
            expires_at: self.now.plus(Duration::from_secs(2_400)),
        };
        self.wake();
        let was_revoked = self.model.key(self.now, &record.live_key_id).is_some_and(|known| known.revoked);
        self.machine.put_key(self.now, &record);
        let known = KeyRecord { revoked: revoked || was_revoked, ..record };
        self.model.keys.insert(known.live_key_id.clone(), known);
    }

    /// Every record reads as it was written.
    fn expect_key(&mut self, id: &LiveKeyId) -> Step {
        let known = self.model.key(self.now, id).cloned();
        let read = self.machine.key(self.now, id);
        ensure!(read == known, "{id} reads {read:?}, not {known:?}");
        Ok(())
    }

    pub(in crate::registry) fn on_revoke(&mut self, key: usize) -> Step {
        // Revoking everything would leave nothing to test.
        let key = if key % 4 == 3 { 8 } else { key };
        self.wake();
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
        self.expect_key(&id)?;
        self.expect(&events, &rings)
    }

    /// Revocation reaches the key's live session in the same step.
    #[allow(clippy::type_complexity, reason = "events and rings to expect, as everywhere here")]
    pub(in crate::registry) fn model_revoked(
        &mut self,
        id: &LiveKeyId,
    ) -> (Vec<(String, SessionId)>, Vec<(NodeId, RoomId)>) {
        let room = self.model.keys[id].room_id.clone();
        let is_dead = self.model.is_dead(self.now, &room, &self.times);
        let Some(lease) = self.model.leases.get_mut(&room).filter(|lease| lease.card.live_key_id == *id)
        else {
            return Default::default();
        };
        if is_dead {
            let (event, ring) = self.model_lost(&room);
            return (vec![event], ring.into_iter().collect());
        }
        lease.order.get_or_insert_with(revoked);
        (vec![], vec![(lease.card.node_id.clone(), room)])
    }

    pub(in crate::registry) fn on_hold(&mut self, room: usize, ms: u64) -> Step {
        self.wake();
        let room = self.rooms[room].clone();
        let hold = Hold { until: UnixMs(self.now.0 + ms), reason: "house rules".to_owned() };
        self.machine.put_hold(self.now, &room, &hold);
        self.model.holds.insert(room.clone(), hold.clone());
        let read = self.machine.hold(self.now, &room);
        ensure!(read == Some(hold).filter(|_| ms > 0), "another hold: {read:?}");
        self.expect(&[], &[])
    }

    pub(in crate::registry) fn on_lift(&mut self, room: usize) -> Step {
        self.wake();
        let room = self.rooms[room].clone();
        let expected = self.model.holds.remove(&room).is_some_and(|hold| self.now < hold.until);
        self.count(if expected { "hold: lifted" } else { "hold: none to lift" });
        ensure!(self.machine.lift_hold(self.now, &room) == expected, "lifted otherwise");
        ensure!(self.machine.hold(self.now, &room).is_none(), "a hold that was lifted");
        self.expect(&[], &[])
    }

    pub(in crate::registry) fn on_acknowledge(&mut self, share: u64) -> Step {
        let last = self.log.last_n();
        self.wake();
        self.acknowledged += (last - self.acknowledged) * share / 4;
        self.machine.acknowledge(self.now, self.acknowledged);
        let first = self.machine.events().first().map(|event| event.n);
        let expected = (self.acknowledged < last).then_some(self.acknowledged + 1);
        ensure!(first == expected, "the oldest unread event is {first:?}, not {expected:?}");
        self.expect(&[], &[])
    }
}

pub(in crate::registry) fn revoked() -> Order {
    Order { reason: EndReason::Revoked, note: String::new() }
}
