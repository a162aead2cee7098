//! A primary, its replicas, and the Sentinels over them.

use std::time::Duration;

use super::options::Options;
use super::server::Server;
use crate::wait::eventually;

/// How long the topology may take to come up, or back after a fault. On a machine that stalls, Sentinels enter "tilt" and do
/// nothing at all for half a minute, sometimes twice.
const SETTLE_MAX: Duration = Duration::from_secs(180);

/// A primary with replicas under Sentinel. Who is primary changes; the servers stay, in the order of their start.
#[derive(Debug)]
pub struct Replicated {
    // Sentinels first: they would take the end of the servers for a fault and log it.
    sentinels: Vec<Server>,
    servers: Vec<Server>,
    password: Option<String>,
}

impl Replicated {
    /// The name under which the Sentinels know the primary.
    pub const MASTER_NAME: &str = "onair";

    /// With the default options; returns when every Sentinel sees all servers and each other.
    pub fn start(replicas: usize, sentinels: usize) -> Self {
        Self::with(&Options::new(), replicas, sentinels)
    }

    /// With these options for the servers. Sentinels speak no TLS and ask for no password.
    pub fn with(options: &Options, replicas: usize, sentinels: usize) -> Self {
        let options = Options {
            lines: [vec!["appendonly yes".to_owned()], options.lines.clone()].concat(),
            ..options.clone()
        };
        assert!(
            !options.is_tls && options.users.is_empty(),
            "replication is not set up for TLS or ACL users"
        );
        let primary = Server::start("redis-server", &options, &[]);
        let replica_of = [format!("replicaof 127.0.0.1 {}", primary.port())];
        let mut servers = vec![primary];
        servers.extend((0..replicas).map(|_| Server::start("redis-server", &options, &replica_of)));
        let lines = sentinel_lines(&options, servers[0].port(), sentinels / 2 + 1);
        let sentinels =
            (0..sentinels).map(|_| Server::start("redis-sentinel", &Options::new(), &lines)).collect();
        let topology = Self { sentinels, servers, password: options.password };
        topology.wait_until("all replicas and Sentinels", SETTLE_MAX, Self::is_whole);
        topology
    }

    /// Every server and Sentinel is up, every replica follows the primary, and every Sentinel knows all of it.
    pub fn is_whole(&self) -> bool {
        let Some(primary) = self.try_primary() else { return false };
        let replicas = (self.servers.len() - 1).to_string();
        let following = self.servers.iter().filter(|s| {
            s.info("master_link_status").as_deref() == Some("up")
                && s.info("master_port") == Some(primary.port().to_string())
        });
        primary.info("connected_slaves") == Some(replicas.clone())
            && following.count() == self.servers.len() - 1
            && self.sentinels.iter().all(|s| {
                let master = s.try_command(&["SENTINEL", "MASTER", Self::MASTER_NAME]);
                master.is_ok_and(|master| {
                    let field = |name| {
                        let at = master.items().iter().position(|item| item.text() == name);
                        at.map(|at| master.items()[at + 1].text())
                    };
                    field("flags").as_deref() == Some("master")
                        && field("port") == Some(primary.port().to_string())
                        && field("num-slaves") == Some(replicas.clone())
                        && field("num-other-sentinels") == Some((self.sentinels.len() - 1).to_string())
                })
            })
    }

    /// Waits until [`Self::is_whole`], for instance after a fault has been healed.
    pub fn wait_whole(&self) {
        self.wait_until("the topology to be whole", SETTLE_MAX, Self::is_whole);
    }

    /// `redis://` addresses of the Sentinels.
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// All Sentinels and the name of the primary in one line, as Onair's configuration has it.
    pub fn url(&self) -> String {
        let sentinels: Vec<_> = self.sentinels.iter().map(|s| s.addr().to_string()).collect();
        let password = self.password.as_ref().map(|p| format!(":{p}@")).unwrap_or_default();
        format!("redis+sentinel://{password}{}/{}", sentinels.join(","), Self::MASTER_NAME)
    }

    /// The Sentinels.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// Primary and replicas, in the order of their start.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server that most Sentinels call primary and that takes itself for one, waiting out a failover.
    pub fn primary(&self) -> &Server {
        eventually("a primary", SETTLE_MAX, || self.try_primary())
    }

    /// The same, if there is one right now.
    pub fn try_primary(&self) -> Option<&Server> {
        let votes: Vec<_> = self.sentinels.iter().filter_map(named_primary).collect();
        self.servers.iter().find(|server| {
            votes.iter().filter(|port| **port == server.port()).count() > self.sentinels.len() / 2
                && server.info("role").as_deref() == Some("master")
        })
    }

    /// The servers that are not primary now.
    pub fn replicas(&self) -> Vec<&Server> {
        let primary = self.primary().port();
        self.servers.iter().filter(|server| server.port() != primary).collect()
    }

    /// Runs a command on the primary.
    pub fn command(&self, words: &[&str]) -> super::Value {
        self.primary().command(words)
    }

    /// Waits until `holds` says so; panics with `what` after `within`.
    pub fn wait_until(&self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) {
        eventually(what, within, || holds(self).then_some(()));
    }
}

fn sentinel_lines(options: &Options, primary: u16, quorum: usize) -> Vec<String> {
    let name = Replicated::MASTER_NAME;
    let mut lines = vec![
        format!("sentinel monitor {name} 127.0.0.1 {primary} {quorum}"),
        format!("sentinel down-after-milliseconds {name} {}", options.down_after.as_millis()),
        // Also how long a failover that got stuck blocks the next one.
        format!("sentinel failover-timeout {name} 10000"),
        format!("sentinel parallel-syncs {name} 1"),
    ];
    lines.extend(options.password.as_ref().map(|p| format!("sentinel auth-pass {name} {p}")));
    lines
}

fn named_primary(sentinel: &Server) -> Option<u16> {
    let answer =
        sentinel.try_command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Replicated::MASTER_NAME]).ok()?;
    answer.items().get(1)?.text().parse().ok()
}
