//! How a server is to be started.

use std::time::Duration;

/// How each server of a topology is started. The default: no password, nothing written to disk, `noeviction`.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) lines: Vec<String>,
    pub(super) password: Option<String>,
    pub(super) users: Vec<String>,
    pub(super) is_tls: bool,
    pub(super) down_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            password: None,
            users: Vec::new(),
            is_tls: false,
            down_after: Duration::from_secs(3),
        }
    }
}

impl Options {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more line of `redis.conf`; it wins over what the kit would write.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name} {value}"));
        self
    }

    /// At most so many bytes of data; writes that need more are refused.
    pub fn maxmemory(self, bytes: u64) -> Self {
        self.config("maxmemory", &bytes.to_string())
    }

    /// An append-only file, written through every second. Replicated servers and Clusters always have one: a primary that
    /// restarts empty would wipe its replicas.
    pub fn appendonly(self) -> Self {
        self.config("appendonly", "yes")
    }

    /// The password of the default user.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// One line of an ACL file, for instance `user onair on >secret ~* &* +@all`. The default user is then off, unless a
    /// line says otherwise.
    pub fn user(mut self, line: &str) -> Self {
        self.users.push(line.to_owned());
        self
    }

    /// The port speaks only TLS, with a certificate for 127.0.0.1 and localhost under [`Server::ca_file`].
    ///
    /// [`Server::ca_file`]: super::Server::ca_file
    pub fn tls(mut self) -> Self {
        self.is_tls = true;
        self
    }

    /// Silence after which Sentinel (`down-after-milliseconds`) or Cluster (`cluster-node-timeout`) takes a server for
    /// dead. 3 s unless told.
    pub fn down_after(mut self, silence: Duration) -> Self {
        self.down_after = silence;
        self
    }
}
