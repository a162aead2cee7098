//! The whole works: PostgreSQL, Kafka, a Redis, several Managers and ingest nodes, each a process of its own.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::thread;
use std::time::Duration;

use onair_testkit::kafka::{Kafka, Records};
use onair_testkit::postgres::Postgres;
use serde_json::{Value, json};

use super::api::Api;
use super::fleet::{Fleet, Member, Store};
use super::ledger::Ledger;
use super::node::{Address, new_address};
use super::wait::eventually;

/// Where lifecycle messages go.
pub const TOPIC: &str = "onair.broadcasts";

/// A fleet with everything that the ledger needs.
pub struct Works {
    fleet: Fleet,
    pub postgres: Postgres,
    pub database: String,
    pub kafka: Kafka,
}

impl Works {
    /// Two Managers and three ingest nodes, `a` to `c`.
    pub fn start(store: Store) -> Self {
        Self::with(store, 2, 3, &[])
    }

    /// So many of them, with these settings for all.
    pub fn with(store: Store, managers: usize, nodes: usize, settings: &[(&str, &str)]) -> Self {
        let (postgres, kafka) = thread::scope(|scope| {
            let kafka = scope.spawn(Kafka::start);
            (Postgres::start(), kafka.join().expect("Kafka"))
        });
        let database = postgres.create_database();
        let brokers = kafka.brokers();
        let urls: Vec<_> = (1..=managers).map(|n| a_manager_of_its_own(&postgres, &database, n)).collect();
        let of = |n: usize| [("POSTGRES__URL", urls[n].as_str()), ("KAFKA__BROKERS", brokers.as_str())];
        let mut fleet = Fleet::with_manager(store, nodes, settings, &of(0));
        for n in 1..managers {
            fleet.add_manager(&format!("manager-{}", n + 1), &of(n));
        }
        Self { fleet, postgres, database, kafka }
    }

    /// What is in PostgreSQL now.
    pub fn ledger(&self) -> Ledger {
        self.try_ledger().unwrap_or_else(|e| panic!("the Live DB: {e}"))
    }

    /// The same while PostgreSQL may be away.
    pub fn try_ledger(&self) -> Result<Ledger, String> {
        Ledger::read_postgres(&self.postgres.url(&self.database))
    }

    /// Waits until the Live DB says so.
    pub fn wait_ledger(&self, what: &str, within: Duration, holds: impl Fn(&Ledger) -> bool) -> Ledger {
        eventually(what, within, || self.try_ledger().ok().filter(|ledger| holds(ledger)))
    }

    /// SQL as superuser on the Live DB.
    pub fn sql(&self, sql: &str) -> String {
        self.postgres.query(&self.database, sql)
    }

    /// What is in Kafka, from the beginning, once a Manager has made the topic.
    pub fn records(&self) -> Records {
        eventually("the topic", super::LONG, || {
            self.kafka.topics().iter().any(|(name, _)| name == TOPIC).then_some(())
        });
        self.kafka.read(TOPIC)
    }

    /// Everyone who can be asked, for a crowd that outlives single Managers.
    pub fn operators(&self) -> Operators {
        Operators { apis: self.managers().map(|manager| self.api_of(manager)).collect() }
    }

    /// Nodes and Managers that do not run.
    pub fn gone(&mut self) -> Vec<String> {
        let fleet = &mut self.fleet;
        let all = fleet.nodes.iter_mut().chain([&mut fleet.manager]).chain(&mut fleet.more_managers);
        all.filter_map(|member| (!member.is_running()).then(|| member.id.clone())).collect()
    }

    /// Everyone's log, for a report of faults.
    pub fn keep_logs(&self, directory: &Path) {
        self.fleet.keep_logs(directory);
        std::fs::write(directory.join("postgres.log"), self.postgres.log()).expect("a file");
        std::fs::write(directory.join("kafka.log"), self.kafka.log()).expect("a file");
    }
}

/// Managers act as the owner of the database, but PostgreSQL can tell them apart (`session_user`): the first is `manager_1`.
fn a_manager_of_its_own(postgres: &Postgres, database: &str, n: usize) -> String {
    let owner = "onair";
    let sql =
        format!("CREATE ROLE manager_{n} LOGIN IN ROLE {owner}; ALTER ROLE manager_{n} SET role TO {owner}");
    postgres.query(database, &sql);
    postgres.url(database).replace(&format!("//{owner}@"), &format!("//manager_{n}@"))
}

impl Deref for Works {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl DerefMut for Works {
    fn deref_mut(&mut self) -> &mut Fleet {
        &mut self.fleet
    }
}

/// The operator of a cluster whose Managers may be dead: whoever answers is asked.
#[derive(Clone)]
pub struct Operators {
    apis: Vec<Api>,
}

impl Operators {
    /// Ends what is on air in `room`; whether a Manager took the order.
    pub fn end(&self, room: &str) -> bool {
        self.change(&format!("/v1/rooms/{room}/end"), Some(&json!({ "reason": "enough" })))
    }

    /// Revokes a live key; whether a Manager took the order.
    pub fn revoke(&self, live_key_id: &str) -> bool {
        self.change(&format!("/v1/live-keys/{live_key_id}"), None)
    }

    /// A new address of `producer`, once somebody can give one.
    pub fn address(&self, producer: &str) -> Option<Address> {
        let path = format!("/v1/producers/{producer}/broadcast-url");
        let (_, body) = self.apis.iter().find_map(|api| {
            api.try_change(&path, Some(&json!({}))).filter(|(status, _)| (200..300).contains(status))
        })?;
        Some(Address::of(&body))
    }

    fn change(&self, path: &str, body: Option<&Value>) -> bool {
        self.apis
            .iter()
            .any(|api| api.try_change(path, body).is_some_and(|(status, _)| (200..300).contains(&status)))
    }

    /// All Managers' APIs.
    pub fn apis(&self) -> &[Api] {
        &self.apis
    }
}
