//! Both machines at once: whatever is asked of the twin is asked of both, and the first difference is kept as its fault.

use std::collections::HashMap;
use std::fmt::Debug;

use ::redis::{RedisResult, Value};

use super::wire::{CLUSTER, Wire};
use crate::events::Event;
use crate::ids::{Epoch, LiveKeyId, NodeId, RoomId, Shard};
use crate::registry::local::memory::{Known, Position};
use crate::registry::local::properties::Machine;
use crate::registry::local::properties::mutants::Mutant;
use crate::registry::local::properties::world::{GAP, UNREAD_MAX, World};
use crate::registry::local::shard::Rings;
use crate::registry::redis::call::{Call, Caller, key};
use crate::registry::redis::{decode, encode};
use crate::registry::{
    Acquired, Claim, Hold, KeyRecord, LeaseTimes, LeaseView, Order, RegistryError, Release, Released,
    Renewal, Renewed, ShardSnapshot, Tick,
};
use crate::time::UnixMs;

pub(super) struct Twin<'a> {
    /// The specification.
    spec: Mutant,
    wire: &'a mut Wire,
    is_shared: bool,
    caller: Known,
    position: Position,
    /// The digests that came with the events.
    digests: HashMap<u64, String>,
    /// Acknowledgements since the bells were last listened to.
    stored: usize,
    fault: Option<String>,
}

type Decoded<T> = Result<T, RegistryError>;

impl<'a> Twin<'a> {
    pub(super) fn shared(wire: &'a mut Wire) -> Self {
        Self::new(wire, Mutant::shared(), true)
    }

    /// With the rules about being away left out on both sides.
    pub(super) fn local(wire: &'a mut Wire) -> Self {
        Self::new(wire, Mutant::sound(), false)
    }

    fn new(wire: &'a mut Wire, spec: Mutant, is_shared: bool) -> Self {
        wire.words(&["FLUSHALL"]);
        let _ = wire.heard();
        let (caller, position, digests) = Default::default();
        Self { spec, wire, is_shared, caller, position, digests, stored: 0, fault: None }
    }

    fn send(&mut self, now: UnixMs, call: &Call) -> RedisResult<Value> {
        let times = LeaseTimes::default();
        let caller = Caller {
            cluster: CLUSTER,
            times: &times,
            unread_max: UNREAD_MAX,
            gap: self.is_shared.then_some(GAP),
            run_id: &self.caller.run_id,
            known: self.caller.position,
            contact: self.caller.contact,
            now: Some(now),
        };
        self.wire.call(call, &caller)
    }

    /// What the scripts answer; compared with what the specification answered.
    fn same<T: PartialEq + Debug>(
        &mut self,
        now: UnixMs,
        expected: T,
        call: &Call,
        decode: impl FnOnce(&Value) -> Decoded<T>,
    ) -> T {
        let answer = match self.send(now, call) {
            Ok(answer) => answer,
            Err(error) => {
                self.differ(format!("{} failed: {error}", call.script.name()));
                return expected;
            }
        };
        match decode::position(&answer) {
            Ok(position) => self.position = position,
            Err(error) => self.differ(error.to_string()),
        }
        match decode(&answer) {
            Ok(found) if found == expected => {}
            found => self.differ(format!("{}: {found:?}, not {expected:?}", call.script.name())),
        }
        expected
    }

    fn differ(&mut self, what: String) {
        self.fault.get_or_insert(what);
    }

    fn shard() -> Shard {
        World::<Self>::shard()
    }

    fn between_databases(&mut self, from: u8, to: u8) {
        let script = format!(
            "redis.call('SELECT', {to}) redis.call('FLUSHDB') redis.call('SELECT', {from}) \
             for _, k in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', k, k, 'DB', {to}) end return 1"
        );
        self.wire.words(&["EVAL", &script, "0"]);
    }
}

impl Machine for Twin<'_> {
    fn acquire(&mut self, now: UnixMs, claim: &Claim) -> Acquired {
        let expected = self.spec.acquire(now, claim);
        self.same(now, expected, &encode::acquire(claim), decode::acquired)
    }

    fn renew(&mut self, now: UnixMs, renewal: &Renewal) -> Renewed {
        let expected = self.spec.renew(now, renewal);
        let call = encode::renew(renewal.card.room_id.shard(), &[renewal]);
        self.same(now, vec![expected], &call, |answer| decode::renewed(answer, 1)).remove(0)
    }

    fn release(&mut self, now: UnixMs, release: &Release) -> Released {
        let expected = self.spec.release(now, release);
        self.same(now, expected, &encode::release(release), decode::released)
    }

    fn tick(&mut self, now: UnixMs, limit: usize) -> Tick {
        let expected = self.spec.tick(now, limit);
        self.same(now, expected, &encode::tick(Self::shard(), limit), decode::ticked)
    }

    fn free_node(&mut self, now: UnixMs, node: &NodeId) -> Vec<RoomId> {
        let expected = self.spec.free_node(now, node);
        self.same(now, expected, &encode::free_node(Self::shard(), node), decode::rooms)
    }

    fn order(&mut self, now: UnixMs, room: &RoomId, order: &Order) -> Option<LeaseView> {
        let expected = self.spec.order(now, room, order);
        self.same(now, expected, &encode::order(room, order), decode::lease)
    }

    fn lease(&mut self, now: UnixMs, room: &RoomId) -> Option<LeaseView> {
        let expected = self.spec.lease(now, room);
        self.same(now, expected, &encode::look_lease(room), decode::lease)
    }

    fn leases(&mut self, now: UnixMs, after: Option<&RoomId>, limit: usize) -> Vec<LeaseView> {
        let expected = self.spec.leases(now, after, limit);
        self.same(now, expected, &encode::look_leases(Self::shard(), after, limit), decode::leases)
    }

    fn snapshot(&mut self, now: UnixMs, after: Option<&RoomId>, limit: usize) -> ShardSnapshot {
        let expected = self.spec.snapshot(now, after, limit);
        let next = expected.leases.last().filter(|_| expected.leases.len() == limit);
        let next = next.map(|lease| lease.card.room_id.clone());
        let call = encode::snapshot(Self::shard(), after, limit);
        self.same(now, (expected, next), &call, decode::snapshot).0
    }

    fn put_key(&mut self, now: UnixMs, record: &KeyRecord) {
        self.spec.put_key(now, record);
        self.same(now, (), &encode::put_key(record), decode::done);
    }

    fn key(&mut self, now: UnixMs, id: &LiveKeyId) -> Option<KeyRecord> {
        let expected = self.spec.key(now, id);
        let call = encode::look_key(Self::shard(), id);
        self.same(now, expected, &call, |answer| decode::key_record(answer, id))
    }

    fn revoke(&mut self, now: UnixMs, id: &LiveKeyId) -> bool {
        let expected = self.spec.revoke(now, id);
        self.same(now, expected, &encode::revoke(Self::shard(), id), decode::yes)
    }

    fn put_hold(&mut self, now: UnixMs, room: &RoomId, hold: &Hold) {
        self.spec.put_hold(now, room, hold);
        self.same(now, (), &encode::put_hold(room, hold), decode::done);
    }

    fn lift_hold(&mut self, now: UnixMs, room: &RoomId) -> bool {
        let expected = self.spec.lift_hold(now, room);
        self.same(now, expected, &encode::lift_hold(room), decode::yes)
    }

    fn hold(&mut self, now: UnixMs, room: &RoomId) -> Option<Hold> {
        let expected = self.spec.hold(now, room);
        self.same(now, expected, &encode::look_hold(room), decode::hold)
    }

    fn events(&mut self) -> Vec<Event> {
        let expected = self.spec.events();
        let answer = self.wire.send(&encode::events(Self::shard(), usize::MAX >> 1)).unwrap();
        match decode::events(Self::shard(), &answer) {
            Ok(told) => {
                let found: Vec<_> = told.iter().map(|told| told.event.clone()).collect();
                if found != expected {
                    self.differ(format!("events {found:?}, not {expected:?}"));
                }
                self.digests.extend(told.into_iter().map(|told| (told.event.n, told.digest)));
            }
            Err(error) => self.differ(error.to_string()),
        }
        expected
    }

    fn acknowledge(&mut self, now: UnixMs, n: u64) {
        self.spec.acknowledge(now, n);
        let digest = self.digests.get(&n).cloned().unwrap_or_default();
        let call = encode::acknowledge(Self::shard(), n, &digest);
        match self.send(now, &call).map_err(|error| error.to_string()) {
            Ok(answer) => self.stored += usize::from(decode::yes(&answer) == Ok(true)),
            Err(error) => self.differ(error),
        }
    }

    fn take_rings(&mut self) -> Rings {
        let expected = self.spec.take_rings();
        let mut heard = self.wire.heard();
        let doors: Rings = heard
            .iter()
            .filter_map(|(channel, room)| {
                let node = NodeId::parse(channel.strip_prefix("door:")?).unwrap();
                Some((node, RoomId::parse(room).unwrap()))
            })
            .collect();
        if doors != expected {
            self.differ(format!("rung {doors:?}, not {expected:?}"));
        }
        let stored = heard.iter().filter(|(channel, _)| channel == "stored").count();
        if stored != std::mem::take(&mut self.stored) {
            self.differ(format!("{stored} rings about stored events"));
        }
        // Each event rings the bell of its room, and then that of all readers.
        heard.retain(|(channel, _)| !channel.starts_with("door:") && channel != "stored");
        for pair in heard.chunks(2) {
            let rooms =
                pair.first().filter(|(channel, epoch)| channel.len() > 5 && epoch.parse::<u64>().is_ok());
            let readers =
                pair.get(1).filter(|(channel, shard)| channel == "ev" && *shard == Self::shard().to_string());
            if rooms.is_none() || readers.is_none() {
                self.differ(format!("bells {heard:?}"));
                break;
            }
        }
        expected
    }

    fn raise_epochs(&mut self, epoch: Epoch) {
        self.spec.raise_epochs(epoch);
        let meta = key(Self::shard(), "meta");
        let known: Option<u64> =
            ::redis::from_redis_value(self.wire.words(&["HGET", &meta, "epoch"])).unwrap();
        let epoch = epoch.0.max(known.unwrap_or_default());
        self.wire.words(&["HSET", &meta, "epoch", &epoch.to_string()]);
    }

    fn wipe(&mut self) {
        self.spec.wipe();
        self.wire.words(&["FLUSHDB"]);
        self.position = Position::default();
    }

    fn meet(&mut self, caller: &Known) {
        self.spec.meet(caller);
        self.caller.clone_from(caller);
    }

    fn recovered(&mut self, now: UnixMs, is_new: bool, life: u64) -> bool {
        let expected = self.spec.recovered(now, is_new, life);
        self.same(now, expected, &encode::recovered(Self::shard(), is_new, life), decode::yes)
    }

    fn position(&mut self) -> Position {
        let expected = self.spec.position();
        if self.is_shared && self.position != expected {
            self.differ(format!("at {:?}, not {expected:?}", self.position));
        }
        expected
    }

    fn attended(&mut self, now: UnixMs) {
        self.spec.attended(now);
        self.wire.words(&["HSET", &key(Self::shard(), "meta"), "seen", &now.0.to_string()]);
    }

    fn copy(&mut self) {
        self.spec.copy();
        self.between_databases(0, 1);
    }

    fn rewind(&mut self) {
        self.spec.rewind();
        self.between_databases(1, 0);
        self.position = self.spec.position();
    }

    fn fault(&mut self) -> Option<String> {
        self.fault.take()
    }
}
