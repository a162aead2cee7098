//! A cluster of real processes: `onair manager`, some `onair ingest`, one Redis in some topology.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use onair_testkit::port::Port;
use onair_testkit::redis::{Cluster, Redis, Replicated, Server};
use tempfile::TempDir;

use super::api::Api;
use super::beliefs::{self, Belief};
use super::ledger::Ledger;
use super::node::{Address, new_address};
use super::process::Process;
use super::wait::eventually;

/// The Redis of a fleet.
pub enum Store {
    Single(Redis),
    Sentinel(Replicated),
    Cluster(Cluster),
}

impl Store {
    pub fn url(&self) -> String {
        match self {
            Self::Single(redis) => redis.url(),
            Self::Sentinel(redis) => redis.url(),
            Self::Cluster(redis) => redis.url(),
        }
    }

    /// All servers but Sentinels.
    pub fn servers(&self) -> Vec<&Server> {
        match self {
            Self::Single(redis) => vec![redis],
            Self::Sentinel(redis) => redis.servers().iter().collect(),
            Self::Cluster(redis) => redis.servers().iter().collect(),
        }
    }

    /// The single server. Panics in any other topology.
    pub fn single(&self) -> &Redis {
        match self {
            Self::Single(redis) => redis,
            _ => panic!("more than one server"),
        }
    }
}

/// What nodes of a test cluster prove to each other.
const SECRET: &str = "a secret of at least thirty-two characters";

/// One process of a fleet.
pub struct Member {
    pub id: String,
    verb: &'static str,
    process: Process,
    /// Of earlier runs.
    logs: Vec<PathBuf>,
    home: PathBuf,
    settings: Vec<(String, String)>,
    pub rtmp: SocketAddr,
    pub http: SocketAddr,
    /// Held so that a restarted member finds its ports free.
    _ports: [Port; 3],
}

impl Member {
    fn new(verb: &'static str, id: &str, home: &Path, store_url: &str, more: &[(String, String)]) -> Self {
        let home = home.join(id);
        fs::create_dir_all(&home).expect("a directory");
        let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
        let [rtmp, http, relay] = ports.each_ref().map(Port::addr);
        let mut settings: Vec<(String, String)> = [
            ("NODE__ID", id.to_owned()),
            ("NODE__DATA_DIR", home.join("data").display().to_string()),
            ("NODE__DEMO_PRODUCER", String::new()),
            ("NODE__MEDIA_DOMAIN", "127.0.0.1".to_owned()),
            ("HTTP__LISTEN", http.to_string()),
            ("REDIS__URL", store_url.to_owned()),
            ("CLUSTER__SECRET", SECRET.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if verb != "manager" {
            settings.push(("RTMP__LISTEN".to_owned(), rtmp.to_string()));
            settings.push(("CLUSTER__RELAY_LISTEN".to_owned(), relay.to_string()));
        }
        settings.extend_from_slice(more);
        let process = launch(verb, id, &home, &settings);
        Self { id: id.to_owned(), verb, process, logs: Vec::new(), home, settings, rtmp, http, _ports: ports }
    }

    fn wait_ready(&mut self) {
        let Self { process, http, id, .. } = self;
        eventually(&format!("{id} to be ready"), super::LONG, || {
            assert!(process.is_running(), "{id} ended while starting:\n{}", process.stderr());
            is_ready(*http).then_some(())
        });
    }

    /// Where publishers find `address` on this node.
    pub fn publish_url(&self, address: &Address) -> String {
        format!("rtmp://{}/{}/{}", self.rtmp, address.room, address.live_key)
    }

    /// Where viewers find `room` on this node.
    pub fn play_url(&self, room: &str) -> String {
        format!("rtmp://{}/{room}/live", self.rtmp)
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Starts it again on the same ports and files; kills it first if it runs. Returns when it is ready.
    pub fn restart(&mut self) {
        if self.process.is_running() {
            self.process.kill();
        }
        self.logs.push(self.process.stderr_file().to_owned());
        self.process = launch(self.verb, &self.id, &self.home, &self.settings);
        self.wait_ready();
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        self.process.wait(within)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    /// What it has logged, in all its runs.
    pub fn log(&self) -> String {
        let mut log: String = self.logs.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
        log.push_str(&self.process.stderr());
        log
    }

    /// A sample of its metrics, summed over its label sets; 0 if there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let text = Api::without_token(self.http).text("/metrics");
        let samples = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn launch(verb: &str, id: &str, home: &Path, settings: &[(String, String)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onair"));
    command.arg(verb).env("ONAIR_LOG", "info,onair_cluster=debug,actix_server=warn");
    command.envs(settings.iter().map(|(key, value)| (format!("ONAIR__{key}"), value)));
    Process::spawn_silent(id, home, &command)
}

fn is_ready(http: SocketAddr) -> bool {
    ureq::get(format!("http://{http}/readyz")).call().is_ok_and(|response| response.status() == 200)
}

/// All of it; killed when dropped.
pub struct Fleet {
    pub nodes: Vec<Member>,
    pub manager: Member,
    /// More Managers than the first, where the Live DB allows them.
    pub more_managers: Vec<Member>,
    pub store: Store,
    home: TempDir,
    settings: Vec<(String, String)>,
}

impl Fleet {
    /// A manager and `nodes` ingest nodes named `a`, `b`, … on `store`.
    pub fn start(store: Store, nodes: usize) -> Self {
        Self::with(store, nodes, &[])
    }

    /// The same with settings for all members, as `SECTION__KEY` and value.
    pub fn with(store: Store, nodes: usize, settings: &[(&str, &str)]) -> Self {
        Self::with_manager(store, nodes, settings, &[])
    }

    /// The same with more settings for the Manager.
    pub fn with_manager(
        store: Store,
        nodes: usize,
        settings: &[(&str, &str)],
        of_manager: &[(&str, &str)],
    ) -> Self {
        let settings = owned(settings);
        let home = tempfile::tempdir().expect("a temporary directory");
        let url = store.url();
        let of_manager = [settings.clone(), owned(of_manager)].concat();
        let mut manager = Member::new("manager", "manager", home.path(), &url, &of_manager);
        manager.wait_ready();
        let keys = Api::without_token(manager.http).text("/.well-known/jwks.json");
        let jwks = home.path().join("jwks.json");
        fs::write(&jwks, keys).expect("a file");
        let mut fleet = Self { nodes: Vec::new(), manager, more_managers: Vec::new(), store, home, settings };
        fleet.settings.push(("LIVE_KEYS__JWKS_FILE".to_owned(), jwks.display().to_string()));
        for id in ('a'..='z').take(nodes) {
            let node = fleet.member("ingest", &id.to_string(), &url);
            fleet.nodes.push(node);
        }
        fleet.nodes.iter_mut().for_each(Member::wait_ready);
        fleet
    }

    fn member(&self, verb: &'static str, id: &str, url: &str) -> Member {
        Member::new(verb, id, self.home.path(), url, &self.settings)
    }

    /// One more ingest node, whose Redis is reached at `url`, for instance through a proxy.
    pub fn add_node(&mut self, id: &str, url: &str) -> &mut Member {
        let mut node = self.member("ingest", id, url);
        node.wait_ready();
        self.nodes.push(node);
        self.nodes.last_mut().expect("just added")
    }

    /// One more Manager, with the first one's secrets and settings of its own.
    pub fn add_manager(&mut self, id: &str, settings: &[(&str, &str)]) {
        let data = self.home.path().join(id).join("data");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&data).expect("a directory");
        for secret in ["signing-key.pem", "admin-token"] {
            fs::copy(self.manager.data_dir().join(secret), data.join(secret))
                .expect("the first one's secret");
        }
        let settings = [self.settings.clone(), owned(settings)].concat();
        let mut manager = Member::new("manager", id, self.home.path(), &self.store.url(), &settings);
        manager.wait_ready();
        self.more_managers.push(manager);
    }

    /// All Managers, the first one first.
    pub fn managers(&self) -> impl Iterator<Item = &Member> {
        [&self.manager].into_iter().chain(&self.more_managers)
    }

    /// The same, to kill and restart them.
    pub fn manager_mut(&mut self, n: usize) -> &mut Member {
        if n == 0 { &mut self.manager } else { &mut self.more_managers[n - 1] }
    }

    /// The first Manager's API, as its operator.
    pub fn api(&self) -> Api {
        self.api_of(&self.manager)
    }

    /// That of one of them.
    pub fn api_of(&self, manager: &Member) -> Api {
        let token = fs::read_to_string(self.manager.data_dir().join("admin-token")).expect("the admin token");
        Api::new(manager.http, token.trim())
    }

    /// A new broadcast address for `producer`.
    pub fn address(&self, producer: &str) -> Address {
        new_address(&self.api(), producer, &serde_json::json!({}))
    }

    /// One for each of `count` producers.
    pub fn addresses(&self, count: usize) -> Vec<Address> {
        (0..count).map(|n| self.address(&format!("producer-{n}"))).collect()
    }

    /// Where each node takes publishers and players.
    pub fn rtmp(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.rtmp).collect()
    }

    /// A directory for the test's own files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What is in the Live DB now.
    pub fn ledger(&self) -> Ledger {
        Ledger::read(&self.manager.data_dir())
    }

    /// Waits until the Live DB says so; panics with the difference it saw last.
    pub fn wait_ledger(&self, what: &str, within: Duration, holds: impl Fn(&Ledger) -> bool) -> Ledger {
        eventually(what, within, || {
            let ledger = self.ledger();
            holds(&ledger).then_some(ledger)
        })
    }

    /// The beliefs of all nodes in all their runs.
    pub fn beliefs(&self) -> Vec<Belief> {
        self.nodes.iter().flat_map(|node| beliefs::read(&node.log())).collect()
    }

    /// Everyone's log, for a report of faults.
    pub fn keep_logs(&self, directory: &Path) {
        fs::create_dir_all(directory).expect("a directory");
        for member in self.nodes.iter().chain(self.managers()) {
            fs::write(directory.join(format!("{}.log", member.id)), member.log()).expect("a file");
        }
        for (i, server) in self.store.servers().iter().enumerate() {
            fs::write(directory.join(format!("redis-{i}.log")), server.log()).expect("a file");
        }
    }
}
