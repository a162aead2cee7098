//! What befalls Redis: primaries are killed, frozen, or lose their replicas first. Each is waited out until another server has
//! taken over, and then put right again.

use std::fmt;
use std::time::Duration;

use onair_testkit::redis::Server;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::support::{Fleet, Store, eventually, secs};

/// A fault of one primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGKILL; restarted once another has taken over.
    Kill,
    /// SIGSTOP; thawed once another has taken over. For some time it still takes itself for the primary.
    Freeze,
    /// Its replicas are frozen and cut off for some seconds, and then it is killed: what it granted meanwhile is lost. The Manager,
    /// who knows how far every shard had come, sleeps until another server has taken over.
    Forget,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The next fault of a run: in five, two kills and two freezes.
pub(crate) fn choose(round: usize) -> Fault {
    [Fault::Kill, Fault::Freeze, Fault::Forget, Fault::Kill, Fault::Freeze][round % 5]
}

/// Lets one primary suffer `fault`, and returns when everything is whole again.
pub(crate) fn inflict(fleet: &Fleet, fault: Fault, rng: &mut StdRng) {
    let store = &fleet.store;
    let victim = a_primary(store, rng);
    match fault {
        Fault::Kill => victim.kill(),
        Fault::Freeze => victim.freeze(),
        Fault::Forget => {
            fleet.manager.freeze();
            let replicas = replicas_of(store, victim);
            replicas.iter().for_each(|replica| replica.freeze());
            // Frozen ones alone would find it all in their sockets when they wake.
            victim.command(&["CLIENT", "KILL", "TYPE", "replica"]);
            std::thread::sleep(Duration::from_millis(rng.random_range(2_000..6_000)));
            victim.kill();
            replicas.iter().for_each(|replica| replica.thaw());
        }
    }
    eventually("another primary", secs(180), || is_replaced(store, victim).then_some(()));
    if fault == Fault::Forget {
        // Nodes find the new primary within a second.
        std::thread::sleep(secs(1));
        fleet.manager.thaw();
    }
    // The old one comes back while nodes are still finding their way to the new one, or long after.
    std::thread::sleep(Duration::from_millis(rng.random_range(0..4_000)));
    if fault == Fault::Freeze {
        victim.thaw();
    } else {
        victim.restart();
    }
    match store {
        Store::Single(_) => {}
        Store::Sentinel(redis) => redis.wait_whole(),
        Store::Cluster(redis) => redis.wait_whole(),
    }
    std::thread::sleep(Duration::from_millis(rng.random_range(500..3_000)));
}

fn a_primary<'a>(store: &'a Store, rng: &mut StdRng) -> &'a Server {
    match store {
        Store::Single(redis) => redis,
        Store::Sentinel(redis) => redis.primary(),
        Store::Cluster(redis) => redis.primaries().choose(rng).expect("three primaries"),
    }
}

fn replicas_of<'a>(store: &'a Store, primary: &Server) -> Vec<&'a Server> {
    let port = primary.port().to_string();
    store.servers().into_iter().filter(|s| s.info("master_port").as_ref() == Some(&port)).collect()
}

/// Somebody else does what `old` did.
fn is_replaced(store: &Store, old: &Server) -> bool {
    match store {
        Store::Single(_) => true,
        Store::Sentinel(redis) => redis.try_primary().is_some_and(|new| new.port() != old.port()),
        Store::Cluster(redis) => redis.primaries().iter().filter(|s| s.port() != old.port()).count() == 3,
    }
}
