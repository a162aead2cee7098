//! Model checking of the rules by which one room has one owner: every order of events within small bounds, with faults.
//!
//! Method: [stateright](https://docs.rs/stateright) explores a world of one room, two nodes, one to three servers and a viewer, once
//! by the rules as shipped, which must hold in every state, and once for each rule taken out, where a counterexample must be found:
//! a model that cannot see a fault proves nothing by not finding it. States and the length of counterexamples are printed.
//!
//! **In the model:** acquire, renew with re-adoption, release with tombstones, the inline end of dead leases, floor, blank shards and
//! the gap in `seen`; asynchronous replication, confirmation by a replica, promotion of the most advanced replica, a primary cut off
//! with one node, clocks of servers that differ; single-flight calls whose requests and replies are lost, repeated, or arrive late;
//! belief from the time of sending, riding on failed calls, withholding after a freeze; yielding; crashes; an outage; a wipe; a
//! viewer that refuses older epochs.
//!
//! **Not in the model:** clocks that run at different rates (the margin is for that), a process that stops between looking at its
//! pass and sending a frame, the detection of a rewound event counter, keys, holds, events and shards, the loss of two servers
//! at once, tombstones that expire, more than two nodes, calls that last longer than a tick (half a lease) in a node that is awake.
//! Bounded are the ticks, the sessions, the number of each fault, and the writes while servers replicate. The rules here are a copy of those shipped, kept by hand; that local
//! registry and scripts obey theirs is what the differential property test is for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod properties;
mod registry;
mod rules;
mod state;
mod steps;
mod world;

use std::time::Instant;

use rules::{EpochRule, Faults, Promotion, Rules};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use world::World;

const ONE_BELIEVER: &str = "one believer";
const EPOCHS_RISE: &str = "epochs rise";
const ENDED_IS_FINAL: &str = "ended is final";
const VIEWERS_GO_FORWARD: &str = "viewers go forward";
const NOBODY_WRONGED: &str = "nobody is dead because the registry was";
const NOTHING_OF_ANOTHERS: &str = "a thawed node passes nothing of what is another's";

/// A primary dies at any moment.
const FAILOVER: Faults =
    Faults { ticks: 4, servers: 2, skew: 1, failovers: 1, instant: true, ..Faults::NONE };
/// Three servers: a confirmation by one of two replicas.
const QUORUM: Faults = Faults { ticks: 2, servers: 3, failovers: 1, instant: true, ..Faults::NONE };
/// The primary is cut off together with the first node, which goes on sending to viewers.
const PARTITION: Faults =
    Faults { ticks: 5, servers: 2, partitions: 1, viewer: true, instant: true, ..Faults::NONE };
/// Requests and replies are lost, or come late; sessions end by themselves.
const LOSSES: Faults = Faults { ticks: 3, sessions: 2, losses: 1, strays: 1, releases: true, ..Faults::NONE };
/// One asks for the room of the other.
const TAKEOVER: Faults = Faults { ticks: 4, sessions: 2, losses: 1, yields: true, ..Faults::NONE };
/// A node dies, another stands still.
const FREEZE: Faults = Faults { ticks: 5, freezes: 1, losses: 1, ..Faults::NONE };
/// The registry is away for longer than a lease lasts; holders renew when they can.
const OUTAGE: Faults = Faults { ticks: 7, outages: 1, diligent: true, ..Faults::NONE };
/// The registry loses its memory, and nodes die.
const WIPE: Faults = Faults { ticks: 6, sessions: 2, wipes: 1, crashes: 1, diligent: true, ..Faults::NONE };

fn world(faults: Faults, rules: Rules) -> World {
    let gap = rules.gap.filter(|_| faults.outages > 0);
    World { rules: Rules { gap, ..rules }, faults }
}

/// No state breaks any rule, and everything that should be possible is.
fn holds(name: &str, faults: Faults, rules: Rules) {
    let started = Instant::now();
    let checker = world(faults, rules).checker().threads(2).spawn_bfs().join();
    println!("{name}: holds in {} states, {:.1?}", checker.unique_state_count(), started.elapsed());
    for (property, path) in checker.discoveries() {
        let expectation = checker.model().property(property).expectation;
        assert_eq!(expectation, Expectation::Sometimes, "{name}: {property}: {:#?}", path.into_actions());
    }
    for property in checker.model().properties() {
        if property.expectation == Expectation::Sometimes {
            assert!(checker.discovery(property.name).is_some(), "{name} is vacuous: {}", property.name);
        }
    }
}

/// There is a way to break `property`.
fn breaks(name: &str, property: &'static str, faults: Faults, rules: Rules) {
    let wanted = HasDiscoveries::AnyOf([property].into_iter().collect());
    let checker = world(faults, rules).checker().threads(2).finish_when(wanted).spawn_bfs().join();
    let path = checker.discovery(property);
    let Some(path) = path else {
        panic!("{name}: {property} holds in {} states", checker.unique_state_count())
    };
    println!(
        "{name}: \"{property}\" breaks in {} steps, found within {} states",
        path.into_actions().len(),
        checker.unique_state_count()
    );
}

const SHIPPED: Rules = Rules::SHIPPED;

#[test]
fn a_failover_makes_no_second_believer_because_only_what_is_confirmed_is_believed() {
    holds("failover", FAILOVER, SHIPPED);
    breaks("failover without confirmation", ONE_BELIEVER, FAILOVER, Rules { confirm: false, ..SHIPPED });
}

#[test]
fn a_confirmation_by_one_of_two_replicas_is_enough_if_the_most_advanced_one_is_promoted() {
    holds("quorum", QUORUM, SHIPPED);
    let any = Rules { promotion: Promotion::Any, ..SHIPPED };
    breaks("promotion of any replica", ONE_BELIEVER, QUORUM, any);
}

#[test]
fn grace_covers_the_skew_of_clocks_where_the_floor_does_not() {
    let no_floor = Rules { floor: false, ..SHIPPED };
    holds("skew with grace alone", FAILOVER, no_floor);
    breaks("skew without grace", ONE_BELIEVER, FAILOVER, Rules { grace: 0, ..no_floor });
    holds("skew with the floor alone", FAILOVER, Rules { grace: 0, ..SHIPPED });
}

#[test]
fn a_primary_cut_off_with_its_node_makes_no_second_believer_and_viewers_only_go_forward() {
    holds("partition", PARTITION, SHIPPED);
    let blind = Rules { viewers_refuse: false, ..SHIPPED };
    breaks("viewers without the fence", VIEWERS_GO_FORWARD, PARTITION, blind);
    breaks("partition without confirmation", ONE_BELIEVER, PARTITION, Rules { confirm: false, ..SHIPPED });
}

#[test]
fn what_was_lost_and_comes_late_brings_no_session_back() {
    holds("losses", LOSSES, SHIPPED);
    breaks("no tombstones", ENDED_IS_FINAL, LOSSES, Rules { tombstones: false, ..SHIPPED });
}

#[test]
fn a_takeover_leaves_no_moment_with_two() {
    holds("takeover", TAKEOVER, SHIPPED);
    breaks("theft", ONE_BELIEVER, TAKEOVER, Rules { theft: true, ..SHIPPED });
    breaks("release before stopping", ONE_BELIEVER, TAKEOVER, Rules { stops_first: false, ..SHIPPED });
}

#[test]
fn a_node_that_stood_still_passes_nothing_on_that_is_not_its_own() {
    holds("freeze", FREEZE, SHIPPED);
    breaks("belief from the answer on", ONE_BELIEVER, FREEZE, Rules { from_sending: false, ..SHIPPED });
    let blind = Rules { failures_to_ride: Some(0), ..SHIPPED };
    breaks("riding without a call", NOTHING_OF_ANOTHERS, FREEZE, blind);
    let hasty = Rules { failures_to_ride: Some(1), ..SHIPPED };
    breaks("riding on the first failure", NOTHING_OF_ANOTHERS, FREEZE, hasty);
}

#[test]
fn an_outage_of_the_registry_costs_nobody_the_room() {
    holds("outage", OUTAGE, SHIPPED);
    breaks("outage without the floor", NOBODY_WRONGED, OUTAGE, Rules { floor: false, ..SHIPPED });
}

#[test]
fn a_wiped_registry_lets_nobody_in_before_those_who_were_there() {
    holds("wipe", WIPE, SHIPPED);
    breaks("wipe without the closed time", ONE_BELIEVER, WIPE, Rules { blank: false, ..SHIPPED });
    breaks("epochs without time", EPOCHS_RISE, WIPE, Rules { epochs: EpochRule::Next, ..SHIPPED });
}
