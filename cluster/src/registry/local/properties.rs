//! The promises of the registry under random operations: several nodes, rooms, keys and sessions, injected time, lost
//! replies, duplicates that come late, and a registry that forgets.
//!
//! Method: a [`world::World`] drives one shard and, beside it, a small model of what may happen. Every answer, every event and
//! every ring is compared with the model's; the [`log::Log`] knows nothing of the model and checks the events alone. The
//! sequences come from [`ops`], so that any other implementation of [`Machine`] can be held to the same ones. That the tests
//! see anything is shown by [`mutants`]: each breaks one rule, and each must be caught.

mod log;
mod model;
mod mutants;
mod ops;
mod world;

use std::collections::BTreeMap;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::mutants::{Mutant, Mutation};
use self::ops::{Op, ops};
use self::world::World;
use super::shard::{Rings, ShardState};
use crate::events::Event;
use crate::ids::{Epoch, LiveKeyId, RoomId};
use crate::registry::{
    Acquired, Claim, Hold, KeyRecord, LeaseView, Order, Release, Released, Renewal, Renewed,
};
use crate::time::UnixMs;

/// Anything that claims to be one shard of the registry.
pub(super) trait Machine {
    fn acquire(&mut self, now: UnixMs, claim: &Claim) -> Acquired;
    fn renew(&mut self, now: UnixMs, renewal: &Renewal) -> Renewed;
    fn release(&mut self, now: UnixMs, release: &Release) -> Released;
    fn reap(&mut self, now: UnixMs, limit: usize) -> Vec<RoomId>;
    fn order(&mut self, now: UnixMs, room: &RoomId, order: &Order) -> Option<LeaseView>;
    fn lease(&mut self, now: UnixMs, room: &RoomId) -> Option<LeaseView>;
    fn put_key(&mut self, now: UnixMs, record: &KeyRecord);
    fn revoke(&mut self, now: UnixMs, id: &LiveKeyId) -> bool;
    fn put_hold(&mut self, room: &RoomId, hold: &Hold);
    fn lift_hold(&mut self, now: UnixMs, room: &RoomId) -> bool;
    fn events(&mut self) -> Vec<Event>;
    fn acknowledge(&mut self, n: u64);
    fn take_rings(&mut self) -> Rings;
    /// From now on grants only epochs above this.
    fn raise_epochs(&mut self, epoch: Epoch);
    /// Loses everything.
    fn wipe(&mut self);
}

/// How often each outcome came.
pub(super) type Counts = BTreeMap<String, u64>;

/// Every outcome that the operations must reach, or the test tests less than it says.
const OUTCOMES: &[&str] = &[
    "acquire: again",
    "acquire: backlog",
    "acquire: busy, asked",
    "acquire: busy, never",
    "acquire: busy, outweighed",
    "acquire: busy, resting",
    "acquire: ended",
    "acquire: granted, dead",
    "acquire: granted, free",
    "acquire: held",
    "acquire: revoked",
    "acquire: unknown key",
    "acquire: wrong room",
    "clock set back",
    "hold: lifted",
    "hold: none to lift",
    "key: put again",
    "key: put revoked",
    "order: nobody there",
    "order: found dead",
    "order: taken",
    "order: there already",
    "reap: lost",
    "reap: nothing",
    "release: by a session without lease, recorded",
    "release: ended",
    "release: over, someone else's now",
    "release: over, tombstone",
    "release: went live on the way",
    "renew: kept",
    "renew: kept after its deadline",
    "renew: kept, order",
    "renew: kept, want",
    "renew: lost, no newer",
    "renew: lost, someone else's now",
    "renew: lost, someone else's since",
    "renew: re-adopted",
    "renew: re-adopted, key revoked",
    "renew: went live",
    "revoke: no such key",
    "revoke: revoked",
    "revoke: revoked on air",
    "want: later",
    "want: yields",
    "wipe",
];

fn fixed_sequences() -> Vec<Vec<Op>> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = ops(250);
    (0..400).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn the_promises_hold_and_every_outcome_is_reached() {
    let mut counts = Counts::new();
    for (nth, ops) in fixed_sequences().iter().enumerate() {
        let mut world = World::new(Mutant::sound());
        if let Err(violation) = world.run(ops) {
            panic!("sequence {nth}: {violation}");
        }
        for (outcome, count) in world.counts {
            *counts.entry(outcome).or_default() += count;
        }
    }
    for (outcome, count) in &counts {
        println!("{count:>8}  {outcome}");
    }
    let missed: Vec<_> = OUTCOMES.iter().filter(|outcome| !counts.contains_key(**outcome)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
    let unnamed: Vec<_> = counts.keys().filter(|outcome| !OUTCOMES.contains(&outcome.as_str())).collect();
    assert!(unnamed.is_empty(), "not in the table: {unnamed:?}");
}

/// `PROPTEST_CASES=20000` makes it a soak.
#[test]
fn the_promises_hold_for_operations_nobody_thought_of() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&ops(150), |ops| {
        World::new(Mutant::sound()).run(&ops).map_err(|violation| TestCaseError::fail(violation.clone()))
    });
    // The violation says what led to it, shrunk as far as may be; the operations once more would only hide it.
    if let Err(TestError::Fail(violation, _) | TestError::Abort(violation)) = outcome {
        panic!("{violation}");
    }
}

#[test]
fn every_broken_rule_is_caught() {
    let sequences = fixed_sequences();
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let caught = sequences.iter().find_map(|ops| World::new(Mutant::with(mutation)).run(ops).err());
        match caught {
            Some(violation) => {
                println!("{mutation:?}: {}", violation.lines().next().unwrap_or_default());
            }
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

impl Machine for ShardState {
    fn acquire(&mut self, now: UnixMs, claim: &Claim) -> Acquired {
        Self::acquire(self, now, claim)
    }
    fn renew(&mut self, now: UnixMs, renewal: &Renewal) -> Renewed {
        Self::renew(self, now, renewal)
    }
    fn release(&mut self, now: UnixMs, release: &Release) -> Released {
        Self::release(self, now, release)
    }
    fn reap(&mut self, now: UnixMs, limit: usize) -> Vec<RoomId> {
        Self::reap(self, now, limit)
    }
    fn order(&mut self, now: UnixMs, room: &RoomId, order: &Order) -> Option<LeaseView> {
        Self::order(self, now, room, order)
    }
    fn lease(&mut self, now: UnixMs, room: &RoomId) -> Option<LeaseView> {
        Self::lease(self, now, room)
    }
    fn put_key(&mut self, now: UnixMs, record: &KeyRecord) {
        Self::put_key(self, now, record);
    }
    fn revoke(&mut self, now: UnixMs, id: &LiveKeyId) -> bool {
        Self::revoke(self, now, id)
    }
    fn put_hold(&mut self, room: &RoomId, hold: &Hold) {
        Self::put_hold(self, room, hold);
    }
    fn lift_hold(&mut self, now: UnixMs, room: &RoomId) -> bool {
        Self::lift_hold(self, now, room)
    }
    fn events(&mut self) -> Vec<Event> {
        Self::events(self, usize::MAX)
    }
    fn acknowledge(&mut self, n: u64) {
        Self::acknowledge(self, n);
    }
    fn take_rings(&mut self) -> Rings {
        Self::take_rings(self)
    }
    fn raise_epochs(&mut self, epoch: Epoch) {
        Self::raise_epochs(self, epoch);
    }
    fn wipe(&mut self) {
        *self = Self::new(self.number, self.times, self.unread_max);
    }
}
