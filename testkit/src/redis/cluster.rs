//! A Redis Cluster.

use std::time::Duration;

use super::options::Options;
use super::server::Server;
use crate::wait::eventually;

/// How long the Cluster may take to come up, or back after a fault.
const SETTLE_MAX: Duration = Duration::from_secs(180);

/// Slots of a Redis Cluster.
const SLOTS: usize = 16_384;

/// Primaries and replicas of a Redis Cluster. Who is primary changes; the servers stay, in the order of their start, the
/// first primaries first.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    primaries: usize,
    password: Option<String>,
}

impl Cluster {
    /// With the default options; returns when every server calls the Cluster whole. At least three primaries: fewer cannot
    /// elect.
    pub fn start(primaries: usize, replicas: usize) -> Self {
        Self::with(&Options::new(), primaries, replicas)
    }

    /// With these options for every server.
    pub fn with(options: &Options, primaries: usize, replicas: usize) -> Self {
        assert!(
            !options.is_tls && options.users.is_empty(),
            "the Cluster bus is not set up for TLS or ACL users"
        );
        let options = Options {
            lines: [vec!["appendonly yes".to_owned()], options.lines.clone()].concat(),
            ..options.clone()
        };
        let servers: Vec<_> = (0..primaries + replicas).map(|_| start_server(&options)).collect();
        let cluster = Self { servers, primaries, password: options.password };
        cluster.assign_slots();
        cluster.meet();
        cluster.replicate();
        cluster.wait_until("a whole Cluster", SETTLE_MAX, Self::is_whole);
        cluster
    }

    fn assign_slots(&self) {
        for (i, server) in self.servers.iter().enumerate() {
            server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]);
            if i < self.primaries {
                let (first, end) = (i * SLOTS / self.primaries, (i + 1) * SLOTS / self.primaries);
                server.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()]);
            }
        }
    }

    /// Everyone is introduced to everyone; gossip alone would take longer.
    fn meet(&self) {
        for a in &self.servers {
            for b in self.servers.iter().filter(|b| b.port() != a.port()) {
                a.command(&[
                    "CLUSTER",
                    "MEET",
                    "127.0.0.1",
                    &b.port().to_string(),
                    &b.bus_port().to_string(),
                ]);
            }
        }
        let all = self.servers.len().to_string();
        self.wait_until("every server to know every other", SETTLE_MAX, |cluster| {
            cluster.servers.iter().all(|s| cluster_info(s, "cluster_known_nodes") == Some(all.clone()))
        });
    }

    fn replicate(&self) {
        for (i, replica) in self.servers.iter().enumerate().skip(self.primaries) {
            let primary = self.servers[i % self.primaries].command(&["CLUSTER", "MYID"]).text();
            eventually("a primary to be known to its replica", SETTLE_MAX, || {
                replica.try_command(&["CLUSTER", "REPLICATE", &primary]).ok()
            });
        }
    }

    /// Every server is up and calls the Cluster whole, every slot has a primary, and every replica follows one.
    pub fn is_whole(&self) -> bool {
        let primaries = self.servers.iter().filter(|s| is_primary(s)).count();
        primaries == self.primaries
            && self.servers.iter().all(|s| {
                cluster_info(s, "cluster_state").as_deref() == Some("ok")
                    && cluster_info(s, "cluster_slots_ok") == Some(SLOTS.to_string())
                    && (is_primary(s) || s.info("master_link_status").as_deref() == Some("up"))
                    && !s.try_command(&["CLUSTER", "NODES"]).is_ok_and(|nodes| nodes.text().contains("fail"))
            })
    }

    /// Waits until [`Self::is_whole`], for instance after a fault has been healed.
    pub fn wait_whole(&self) {
        self.wait_until("the Cluster to be whole", SETTLE_MAX, Self::is_whole);
    }

    /// `redis://` addresses of all servers.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// All servers in one line, as Onair's configuration has it.
    pub fn url(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(|s| s.addr().to_string()).collect();
        let password = self.password.as_ref().map(|p| format!(":{p}@")).unwrap_or_default();
        format!("redis+cluster://{password}{}", servers.join(","))
    }

    /// All servers, in the order of their start.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The servers that take themselves for primaries now. After a failover nobody has heard of yet, more than there should
    /// be.
    pub fn primaries(&self) -> Vec<&Server> {
        self.servers.iter().filter(|s| is_primary(s)).collect()
    }

    /// The primary of `key`'s slot, waiting out a failover.
    pub fn primary_of(&self, key: &str) -> &Server {
        eventually(&format!("a primary of {key}"), SETTLE_MAX, || {
            // A primary that does not own the slot answers MOVED, a replica that does too.
            self.primaries().into_iter().find(|s| s.try_command(&["EXISTS", key]).is_ok())
        })
    }

    /// Waits until `holds` says so; panics with `what` after `within`.
    pub fn wait_until(&self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) {
        eventually(what, within, || holds(self).then_some(()));
    }
}

fn start_server(options: &Options) -> Server {
    Server::start_with("redis-server", options, |bus| {
        vec![
            "cluster-enabled yes".to_owned(),
            format!("cluster-port {bus}"),
            "cluster-announce-ip 127.0.0.1".to_owned(),
            format!("cluster-node-timeout {}", options.down_after.as_millis()),
            // A replica may be elected however long it has been cut off: a test has no time to wait out the default.
            "cluster-replica-validity-factor 0".to_owned(),
            // A primary keeps its replicas; migration would make every run different.
            "cluster-allow-replica-migration no".to_owned(),
        ]
    })
}

fn is_primary(server: &Server) -> bool {
    server.info("role").as_deref() == Some("master")
}

fn cluster_info(server: &Server, field: &str) -> Option<String> {
    let info = server.try_command(&["CLUSTER", "INFO"]).ok()?.text();
    info.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_owned()))
}
