//! Chaos: four nodes and a Manager on a real Redis whose primaries are killed and frozen, while producers in twenty rooms never
//! rest. Whatever happens, a room has one believer, players go forward only, and each start and end is told once.
//!
//! `ONAIR_CHAOS_FAULTS` faults (3 unless told; `make chaos` wants many more), from `ONAIR_CHAOS_SEED`. What producers do and
//! what befalls Redis follows from the seed; when exactly it meets is up to the machine. With faults found, or with
//! `ONAIR_CHAOS_KEEP=1`, all logs are kept.

mod support;

#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/producers.rs"]
mod producers;
#[path = "chaos/verdict.rs"]
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use faults::Fault;
use onair_testkit::redis::{Cluster, Replicated};
use rand::SeedableRng;
use rand::rngs::StdRng;
use support::{Crowd, Fleet, Store, eventually, secs};
use tokio::sync::watch;
use verdict::{Evidence, Verdict};

const NODES: usize = 4;
const ROOMS: usize = 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// A whole run: the verdict, with its figures printed.
fn run(name: &str, store: Store, settings: &[(&str, &str)], faults: impl Iterator<Item = Fault>) -> Verdict {
    let seed = setting("ONAIR_CHAOS_SEED", 1);
    let mut rng = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    let fleet = Fleet::with(store, NODES, settings);
    let crowd = Crowd::new();
    let addresses = fleet.addresses(ROOMS);
    let nodes = fleet.rtmp();
    let players: Vec<_> =
        addresses.iter().enumerate().map(|(n, a)| crowd.player(&a.room, nodes[n % NODES])).collect();
    let (stop, stopped) = watch::channel(false);
    let producers = producers::start(&crowd, &addresses, &nodes, seed, &stopped);
    eventually("the first on air", secs(60), || (crowd.on_air().len() > ROOMS / 2).then_some(()));

    let mut inflicted: BTreeMap<Fault, usize> = BTreeMap::new();
    for fault in faults {
        println!("{name}: {fault} after {:.0?}, {} on air", began.elapsed(), crowd.on_air().len());
        faults::inflict(&fleet, fault, &mut rng);
        *inflicted.entry(fault).or_default() += 1;
    }
    stop.send_replace(true);
    for producer in producers {
        crowd.runtime().block_on(producer).expect("no panic");
    }
    // What is still open after that is a fault, and told below.
    let patience = Instant::now() + secs(60);
    while fleet.ledger().sessions.iter().any(|s| s.ended_at.is_none()) && Instant::now() < patience {
        std::thread::sleep(secs(1));
    }
    let evidence = Evidence {
        attempts: crowd.attempts(),
        seen: players.into_iter().map(|player| player.stop(&crowd)).collect(),
        ledger: fleet.ledger(),
        beliefs: fleet.beliefs(),
    };
    let verdict = evidence.judge();
    println!("\n{name}, seed {seed}, {inflicted:?}, {:.0?}\n{verdict}", began.elapsed());
    if !verdict.faults.is_empty() || setting("ONAIR_CHAOS_KEEP", 0) > 0 {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{name}-{seed}"));
        fleet.keep_logs(&directory);
        println!("logs are kept in {}", directory.display());
    }
    verdict
}

fn some_of_each() -> impl Iterator<Item = Fault> {
    (0..count()).map(faults::choose)
}

fn count() -> usize {
    setting("ONAIR_CHAOS_FAULTS", 3) as usize
}

fn assert_holds(verdict: &Verdict) {
    assert!(verdict.faults.is_empty(), "{} faults, see above", verdict.faults.len());
}

#[test]
fn promises_hold_under_sentinel_while_primaries_are_killed_and_frozen() {
    assert_holds(&run("sentinel", Store::Sentinel(Replicated::start(2, 3)), &[], some_of_each()));
}

#[test]
fn promises_hold_on_a_redis_cluster_while_primaries_are_killed_and_frozen() {
    assert_holds(&run("cluster", Store::Cluster(Cluster::start(3, 3)), &[], some_of_each()));
}

#[test]
#[ignore = "shows what confirmation is for; run by make chaos"]
fn without_confirmation_what_a_primary_forgets_breaks_promises() {
    let store = Store::Sentinel(Replicated::start(2, 3));
    let faults = std::iter::repeat_n(Fault::Forget, count().min(10));
    let verdict = run("unconfirmed", store, &[("REDIS__CONFIRM", "0")], faults);
    assert!(!verdict.faults.is_empty(), "this run should have been able to see faults");
}
