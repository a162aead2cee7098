//! One server process: its port, its directory, its faults.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::options::Options;
use super::resp::{Client, Value};
use crate::daemon::Daemon;
use crate::port::Port;
use crate::process;
use crate::tls;
use crate::wait::eventually;

/// How long a server may take to answer after its start, and to go after it was told to.
const START_MAX: Duration = Duration::from_secs(30);

/// A `redis-server` (or Sentinel) of its own, killed when dropped. Everything works on a shared reference, from any thread.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    program: &'static str,
    port: Port,
    /// The Cluster's own port; unused otherwise.
    bus: Port,
    options: Options,
    directory: TempDir,
}

impl Server {
    /// Starts `program` with `lines` beside what `options` say, and waits until it answers.
    pub(super) fn start(program: &'static str, options: &Options, lines: &[String]) -> Self {
        Self::start_with(program, options, |_| lines.to_vec())
    }

    /// The same with lines that name the port of the Cluster's bus.
    pub(super) fn start_with(
        program: &'static str,
        options: &Options,
        lines: impl FnOnce(u16) -> Vec<String>,
    ) -> Self {
        let directory =
            tempfile::Builder::new().prefix("onair-redis").tempdir().expect("a temporary directory");
        let (port, bus) = (Port::reserve(), Port::reserve());
        let name = format!("{program} on port {}", port.number());
        let daemon = Daemon::new(name, directory.path().join("log"), START_MAX);
        let server = Self { daemon, program, port, bus, options: options.clone(), directory };
        server.write_config(&lines(server.bus.number()));
        server.restart();
        server
    }

    fn write_config(&self, lines: &[String]) {
        let directory = self.directory.path();
        let number = self.port.number();
        let mut config = vec![
            "bind 127.0.0.1".to_owned(),
            "protected-mode no".to_owned(),
            "daemonize no".to_owned(),
            format!("dir {}", directory.display()),
            format!("logfile {}", self.daemon.log_file().display()),
        ];
        if self.options.is_tls {
            tls::write_certificates(directory);
            config.push(format!("port 0\ntls-port {number}\ntls-auth-clients no"));
            config.push(
                "tls-ca-cert-file ca.pem\ntls-cert-file server.pem\ntls-key-file server.key".to_owned(),
            );
        } else {
            config.push(format!("port {number}"));
        }
        if !self.is_sentinel() {
            config.push(format!("unixsocket {}", self.socket().display()));
            config.push("save \"\"\nappendonly no\nappendfsync everysec\nshutdown-timeout 0".to_owned());
            config.push("maxmemory-policy noeviction\nenable-debug-command local".to_owned());
            config.push(
                "repl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1".to_owned(),
            );
            config.extend(self.options.password.as_ref().map(|p| format!("requirepass {p}\nmasterauth {p}")));
            if !self.options.users.is_empty() {
                self.write_users();
                config.push("aclfile users.acl".to_owned());
            }
        }
        config.extend_from_slice(lines);
        if !self.is_sentinel() {
            config.extend_from_slice(&self.options.lines);
        }
        fs::write(self.config_file(), config.join("\n") + "\n").expect("a configuration");
    }

    /// The kit's own user may do everything, so that the kit can still look when a test has taken rights away.
    fn write_users(&self) {
        let mut users = self.options.users.clone();
        if !users.iter().any(|line| line.starts_with("user default ")) {
            users.push("user default off".to_owned());
        }
        users.push("user testkit on nopass ~* &* +@all".to_owned());
        fs::write(self.directory.path().join("users.acl"), users.join("\n") + "\n").expect("an ACL file");
    }

    fn is_sentinel(&self) -> bool {
        self.program == "redis-sentinel"
    }

    fn config_file(&self) -> PathBuf {
        self.directory.path().join("redis.conf")
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The port, the same for as long as this lives.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// 127.0.0.1 and the port.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    pub(super) fn bus_port(&self) -> u16 {
        self.bus.number()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The certificate under which a server with [`Options::tls`] is to be trusted.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// `redis://127.0.0.1:port`, or `rediss://`, with the default user's password if there is one.
    pub fn url(&self) -> String {
        self.url_at(self.addr())
    }

    /// The same at another address, for instance a proxy's.
    pub fn url_at(&self, addr: SocketAddr) -> String {
        let scheme = if self.options.is_tls { "rediss" } else { "redis" };
        let password = self.options.password.as_ref().map(|p| format!(":{p}@")).unwrap_or_default();
        format!("{scheme}://{password}{addr}")
    }

    /// The same for a user of [`Options::user`].
    pub fn url_as(&self, user: &str, password: &str) -> String {
        let scheme = if self.options.is_tls { "rediss" } else { "redis" };
        format!("{scheme}://{user}:{password}@{}", self.addr())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// The process id. Panics while it is down.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Whether the process is there, frozen ones included.
    pub fn is_up(&self) -> bool {
        self.daemon.is_up()
    }

    /// SIGKILL, also when frozen; returns when it is gone.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// SIGTERM: Redis ends in order. Returns when it is gone.
    pub fn stop(&self) {
        self.daemon.stop(process::terminate);
    }

    /// SIGSTOP: connections stay open, the kernel accepts new ones, nothing is answered.
    pub fn freeze(&self) {
        process::freeze(self.pid());
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        process::thaw(self.pid());
    }

    /// Starts it again, on the same port with the same files; kills it first if it runs. Returns when it answers.
    pub fn restart(&self) {
        self.kill();
        let mut command = process::dying_with_us(self.program);
        command.arg(self.config_file()).current_dir(self.directory.path());
        self.daemon.start(command, || self.is_ready());
    }

    /// It answers and has read its files.
    fn is_ready(&self) -> bool {
        self.try_command(&["INFO", "persistence"]).is_ok_and(|info| !info.text().contains("loading:1"))
    }

    /// Runs a command with all rights. Panics if there is no answer within 2 s, or an error.
    pub fn command(&self, words: &[&str]) -> Value {
        self.try_command(words).unwrap_or_else(|e| panic!("{words:?} on {}: {e}", self.daemon.name()))
    }

    /// The same, with the failure in hand.
    pub fn try_command(&self, words: &[&str]) -> io::Result<Value> {
        let mut client =
            if self.is_sentinel() { Client::tcp(self.addr()) } else { Client::unix(&self.socket()) }?;
        if !self.is_sentinel() {
            if !self.options.users.is_empty() {
                client.command(&["AUTH", "testkit", ""])?;
            } else if let Some(password) = &self.options.password {
                client.command(&["AUTH", password])?;
            }
        }
        client.command(words)
    }

    /// A field of `INFO`, if the server answers and has it.
    pub fn info(&self, field: &str) -> Option<String> {
        let info = self.try_command(&["INFO", "everything"]).ok()?.text();
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(value.trim().to_owned())
    }

    /// Waits until `holds` says so; panics with `what` after `within`.
    pub fn wait_until(&self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) {
        eventually(&format!("{what} ({})", self.daemon.name()), within, || holds(self).then_some(()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.daemon.show_log_if_panicking();
        self.kill();
    }
}
