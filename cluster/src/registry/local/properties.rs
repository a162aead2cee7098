//! The promises of the registry under random operations: several nodes, rooms, keys and sessions, injected time, lost
//! replies, duplicates that come late, and a registry that forgets, is away, or goes on from an older copy of itself.
//!
//! Method: a [`world::World`] drives one shard and, beside it, a small model of what may happen. Every answer, every event and
//! every ring is compared with the model's; the [`log::Log`] knows nothing of the model and checks the events alone. The
//! sequences come from [`ops`], so that any other implementation of [`Machine`] can be held to the same ones. That the tests
//! see anything is shown by [`mutants`]: each breaks one rule, and each must be caught.

mod log;
mod model;
pub(in crate::registry) mod mutants;
pub(in crate::registry) mod ops;
pub(in crate::registry) mod world;

use std::collections::BTreeMap;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::mutants::{Mutant, Mutation};
use self::ops::{Op, ops};
use self::world::World;
use super::memory::{Known, Position};
use super::shard::Rings;
use crate::events::Event;
use crate::ids::{Epoch, LiveKeyId, NodeId, RoomId};
use crate::registry::{
    Acquired, Claim, Hold, KeyRecord, LeaseView, Order, Release, Released, Renewal, Renewed, ShardSnapshot,
    Tick,
};
use crate::time::UnixMs;

/// Anything that claims to be one shard of the registry.
pub(in crate::registry) trait Machine {
    fn acquire(&mut self, now: UnixMs, claim: &Claim) -> Acquired;
    fn renew(&mut self, now: UnixMs, renewal: &Renewal) -> Renewed;
    fn release(&mut self, now: UnixMs, release: &Release) -> Released;
    fn tick(&mut self, now: UnixMs, limit: usize) -> Tick;
    fn free_node(&mut self, now: UnixMs, node: &NodeId) -> Vec<RoomId>;
    fn order(&mut self, now: UnixMs, room: &RoomId, order: &Order) -> Option<LeaseView>;
    fn lease(&mut self, now: UnixMs, room: &RoomId) -> Option<LeaseView>;
    fn leases(&mut self, now: UnixMs, after: Option<&RoomId>, limit: usize) -> Vec<LeaseView>;
    fn snapshot(&mut self, now: UnixMs, after: Option<&RoomId>, limit: usize) -> ShardSnapshot;
    fn put_key(&mut self, now: UnixMs, record: &KeyRecord);
    fn key(&mut self, now: UnixMs, id: &LiveKeyId) -> Option<KeyRecord>;
    fn revoke(&mut self, now: UnixMs, id: &LiveKeyId) -> bool;
    fn put_hold(&mut self, now: UnixMs, room: &RoomId, hold: &Hold);
    fn lift_hold(&mut self, now: UnixMs, room: &RoomId) -> bool;
    fn hold(&mut self, now: UnixMs, room: &RoomId) -> Option<Hold>;
    fn events(&mut self) -> Vec<Event>;
    fn acknowledge(&mut self, now: UnixMs, n: u64);
    fn take_rings(&mut self) -> Rings;
    /// From now on grants only epochs above this.
    fn raise_epochs(&mut self, epoch: Epoch);
    /// Loses everything.
    fn wipe(&mut self);

    // Of shared ones only.

    /// Who calls from now on.
    fn meet(&mut self, caller: &Known);
    fn recovered(&mut self, now: UnixMs, is_new: bool, life: u64) -> bool;
    fn position(&mut self) -> Position;
    /// It has been called all the time until now, about nothing.
    fn attended(&mut self, now: UnixMs);
    /// Keeps a copy of all it knows, to go on from at the next `rewind`.
    fn copy(&mut self);
    fn rewind(&mut self);

    /// What is wrong with the machine itself, if it can tell.
    fn fault(&mut self) -> Option<String> {
        None
    }
}

/// How often each outcome came.
pub(in crate::registry) type Counts = BTreeMap<String, u64>;

/// Every outcome that the operations must reach, or the test tests less than it says.
pub(in crate::registry) const OUTCOMES: &[&str] = &[
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
    "acquire: key came with the claim",
    "acquire: revoked",
    "acquire: unknown key",
    "acquire: wrong room",
    "clock set back",
    "free node: lost",
    "free node: nothing",
    "hold: lifted",
    "hold: none to lift",
    "key: put again",
    "key: put revoked",
    "order: nobody there",
    "order: found dead",
    "order: taken",
    "order: there already",
    "release: by a session without lease, recorded",
    "release: ended",
    "release: over an older one, recorded",
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
    "renew: re-adopted, over an older one",
    "renew: went live",
    "revoke: no such key",
    "revoke: revoked",
    "revoke: revoked on air",
    "tick: lost",
    "tick: nothing",
    "want: later",
    "want: yields",
    "wipe",
];

/// The same for what only a shared shard can come to.
pub(in crate::registry) const SHARED_OUTCOMES: &[&str] = &[
    "acquire: recovering, closed",
    "acquire: recovering, keys",
    "away: another process",
    "away: born anew",
    "away: out of reach",
    "away: quiet, but there",
    "away: rewound",
    "recovered",
    "recovered: lost again",
    "tick: before the floor",
    "tick: not loaded",
];

pub(in crate::registry) fn fixed_sequences() -> Vec<Vec<Op>> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = ops(250);
    (0..400).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn the_promises_hold_and_every_outcome_is_reached() {
    let mut counts = Counts::new();
    for (nth, ops) in fixed_sequences().iter().enumerate() {
        run(&mut counts, nth, World::new(Mutant::sound()), ops);
    }
    check_counts(&counts, OUTCOMES, 1);
}

#[test]
fn the_promises_hold_for_a_registry_that_may_be_away() {
    let mut counts = Counts::new();
    for (nth, ops) in fixed_sequences().iter().enumerate() {
        run(&mut counts, nth, World::shared(Mutant::shared()), ops);
    }
    check_counts(&counts, &[OUTCOMES, SHARED_OUTCOMES].concat(), 1);
}

pub(in crate::registry) fn run<M: Machine>(counts: &mut Counts, nth: usize, mut world: World<M>, ops: &[Op]) {
    if let Err(violation) = world.run(ops) {
        panic!("sequence {nth}: {violation}");
    }
    for (outcome, count) in world.counts {
        *counts.entry(outcome).or_default() += count;
    }
}

/// Every outcome of the table came at least so often, and no other.
pub(in crate::registry) fn check_counts(counts: &Counts, outcomes: &[&str], at_least: u64) {
    for (outcome, count) in counts {
        println!("{count:>8}  {outcome}");
    }
    let of = |outcome: &&str| counts.get(*outcome).copied().unwrap_or_default();
    let missed: Vec<_> = outcomes.iter().filter(|outcome| of(outcome) < at_least).collect();
    assert!(missed.is_empty(), "reached less than {at_least} times: {missed:?}");
    let unnamed: Vec<_> = counts.keys().filter(|outcome| !outcomes.contains(&outcome.as_str())).collect();
    assert!(unnamed.is_empty(), "not in the table: {unnamed:?}");
}

/// `PROPTEST_CASES=20000` makes it a soak.
#[test]
fn the_promises_hold_for_operations_nobody_thought_of() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&ops(150), |ops| {
        let local = World::new(Mutant::sound()).run(&ops);
        let both = local.and_then(|()| World::shared(Mutant::shared()).run(&ops));
        both.map_err(|violation| TestCaseError::fail(violation.clone()))
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
        let caught = sequences.iter().find_map(|ops| {
            let world = World::new(Mutant::with(mutation)).run(ops);
            world.and_then(|()| World::shared(Mutant::shared_with(mutation)).run(ops)).err()
        });
        match caught {
            Some(violation) => {
                println!("{mutation:?}: {}", violation.lines().next().unwrap_or_default());
            }
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
