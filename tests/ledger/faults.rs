//! What befalls everything around the ledger. Each fault is waited out and put right again before the next.

use std::fmt;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::support::{Store, Works, eventually, scale, secs};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGKILL of a Manager, restarted up to ten seconds later.
    ManagerKilled,
    /// SIGSTOP of a Manager for longer than it may own anything, or not quite.
    ManagerFrozen,
    /// PostgreSQL is killed or stopped, and restarted within seconds.
    PostgresRestarted,
    /// The broker is stopped, killed or frozen for half a minute (a few seconds in short runs).
    KafkaAway,
    /// The primary of Redis is killed or frozen until another has taken over.
    RedisFailedOver,
    /// SIGKILL of an ingest node, restarted within seconds.
    NodeKilled,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::ManagerFrozen,
        Self::KafkaAway,
        Self::PostgresRestarted,
        Self::RedisFailedOver,
        Self::ManagerKilled,
        Self::NodeKilled,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Lets `fault` happen, and returns when all is in place again.
pub(crate) fn inflict(works: &mut Works, fault: Fault, rng: &mut StdRng) {
    match fault {
        Fault::ManagerKilled => {
            let n = a_manager(works, rng);
            works.manager_mut(n).kill();
            wait(rng, 0, 10_000);
            works.manager_mut(n).restart();
        }
        Fault::ManagerFrozen => {
            let n = a_manager(works, rng);
            works.manager_mut(n).freeze();
            wait(rng, 3_000, 14_000);
            works.manager_mut(n).thaw();
        }
        Fault::PostgresRestarted => {
            if rng.random() {
                works.postgres.kill();
            } else {
                works.postgres.stop();
            }
            wait(rng, 0, 5_000);
            works.postgres.restart();
        }
        Fault::KafkaAway => {
            let is_frozen = match rng.random_range(0..3) {
                0 => {
                    works.kafka.kill();
                    false
                }
                1 => {
                    works.kafka.stop();
                    false
                }
                _ => {
                    works.kafka.freeze();
                    true
                }
            };
            std::thread::sleep(scale(secs(6), secs(30)));
            if is_frozen {
                works.kafka.thaw();
            } else {
                works.kafka.restart();
            }
        }
        Fault::RedisFailedOver => fail_over(&works.store, rng),
        Fault::NodeKilled => {
            let n = rng.random_range(0..works.nodes.len());
            works.nodes[n].kill();
            wait(rng, 0, 5_000);
            works.nodes[n].restart();
        }
    }
    wait(rng, 500, 3_000);
}

fn fail_over(store: &Store, rng: &mut StdRng) {
    let Store::Sentinel(redis) = store else { panic!("nobody would take over") };
    let old = redis.primary();
    let is_frozen = [true, false].choose(rng) == Some(&true);
    if is_frozen {
        old.freeze();
    } else {
        old.kill();
    }
    eventually("another primary", secs(180), || {
        redis.try_primary().is_some_and(|new| new.port() != old.port()).then_some(())
    });
    wait(rng, 0, 3_000);
    if is_frozen {
        old.thaw();
    } else {
        old.restart();
    }
    redis.wait_whole();
}

fn a_manager(works: &Works, rng: &mut StdRng) -> usize {
    rng.random_range(0..works.managers().count())
}

fn wait(rng: &mut StdRng, from_ms: u64, to_ms: u64) {
    std::thread::sleep(Duration::from_millis(rng.random_range(from_ms..to_ms)));
}
