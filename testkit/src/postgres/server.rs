//! One server process and its children: port, directory, faults.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::options::Options;
use super::programs::{RunAs, server_program};
use crate::daemon::Daemon;
use crate::family;
use crate::port::Port;
use crate::process;
use crate::tls;
use crate::wait::eventually;

/// How long a server may take to answer after its start (it may have to recover), and to go after it was told to.
const START_MAX: Duration = Duration::from_secs(60);

/// How long the end of a test waits for an orderly end before it kills.
const QUIT_MAX: Duration = Duration::from_secs(5);

/// Whom Onair connects as: the owner of the databases, no superuser.
const USER: &str = "onair";

/// A PostgreSQL of its own, gone when dropped. Everything works on a shared reference, from any thread.
///
/// The kit's own commands go through a unix socket beside the port, as superuser: they need no TLS and no password, and
/// pass any proxy by.
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon,
    /// Thaws the frozen when we die; see [`family::Frozen`].
    frozen: Mutex<Option<family::Frozen>>,
    port: Port,
    options: Options,
    run_as: RunAs,
    databases: AtomicU32,
    directory: TempDir,
}

impl Postgres {
    /// With the default options; returns when it answers.
    pub fn start() -> Self {
        Self::with(&Options::new())
    }

    /// With these options.
    pub fn with(options: &Options) -> Self {
        let directory =
            tempfile::Builder::new().prefix("onair-postgres").tempdir().expect("a temporary directory");
        let port = Port::reserve();
        let name = format!("PostgreSQL on port {}", port.number());
        let server = Self {
            daemon: Daemon::new(name, directory.path().join("log"), START_MAX),
            frozen: Mutex::default(),
            port,
            options: options.clone(),
            run_as: RunAs::choose(),
            databases: AtomicU32::new(0),
            directory,
        };
        server.run_as.own(server.directory());
        server.init();
        server.restart();
        let password = options.password.as_ref().map_or_else(|| "NULL".to_owned(), |p| format!("'{p}'"));
        server.query("postgres", &format!("CREATE ROLE {USER} LOGIN CREATEDB PASSWORD {password}"));
        server
    }

    fn init(&self) {
        // What initdb writes need not survive a loss of power before the first test begins.
        let mut initdb = Command::new(server_program("initdb"));
        initdb.args(["--no-sync", "--no-instructions", "--auth=trust", "--username=postgres"]);
        initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--pgdata"]).arg(self.data());
        initdb.current_dir(self.directory());
        self.run_as.apply(&mut initdb);
        let output = initdb.output().unwrap_or_else(|e| panic!("initdb: {e}; run `make setup`"));
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        self.write_config();
        self.run_as.own(&self.data());
    }

    fn write_config(&self) {
        let mut config = fs::read_to_string(self.data().join("postgresql.conf")).expect("initdb's file");
        let mut lines = vec![
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("port = {}", self.port()),
            format!("unix_socket_directories = '{}'", self.directory().display()),
            "max_connections = 200\nshared_buffers = 32MB".to_owned(),
            // In the data directory, so that nothing of a killed server stays in /dev/shm.
            "dynamic_shared_memory_type = mmap".to_owned(),
            "log_line_prefix = '%m [%p] %q%u@%d/%a '".to_owned(),
        ];
        let method = if self.options.password.is_some() { "scram-sha-256" } else { "trust" };
        let transport = if self.options.is_tls { "hostssl" } else { "host" };
        if self.options.is_tls {
            tls::write_certificates(&self.data());
            fs::copy(self.data().join("ca.pem"), self.ca_file()).expect("a certificate");
            lines.push("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'".to_owned());
        }
        lines.extend_from_slice(&self.options.lines);
        config.push_str(&lines.join("\n"));
        config.push('\n');
        fs::write(self.data().join("postgresql.conf"), config).expect("a configuration");
        let access = format!("local all postgres trust\n{transport} all all 127.0.0.1/32 {method}\n");
        fs::write(self.data().join("pg_hba.conf"), access).expect("access rules");
    }

    /// Starts it again, on the same port with the same files; kills it first if it runs. Returns when it answers.
    pub fn restart(&self) {
        self.kill();
        let mut command = process::dying_with_us(server_program("postgres"));
        // The wish to die with us does not survive a change of user, so the user changes first.
        self.run_as.apply(&mut command);
        command.arg("-D").arg(self.data()).current_dir(self.directory());
        self.daemon.start(command, || self.try_query("postgres", "SELECT 1").is_ok());
    }

    /// SIGKILL to it and all its backends, also when frozen, as if the machine had died; returns when all are gone.
    pub fn kill(&self) {
        if let Some(mut child) = self.daemon.take() {
            let backends = family::freeze(child.id());
            let _ = child.kill();
            for backend in &backends {
                process::signal_if_there(*backend, process::Signal::KILL);
            }
            let _ = child.wait();
            eventually(&format!("the end of the backends of {}", self.daemon.name()), START_MAX, || {
                backends.iter().all(|pid| !process::exists(*pid)).then_some(())
            });
        }
        self.frozen().take();
    }

    /// SIGINT, a fast shutdown: transactions are rolled back, clients are told, a checkpoint is written. Returns when it is
    /// gone.
    pub fn stop(&self) {
        self.daemon.stop(process::interrupt);
    }

    /// SIGSTOP to it and all its backends: connections stay open, the kernel accepts new ones, nothing is answered.
    pub fn freeze(&self) {
        *self.frozen() = Some(family::Frozen::freeze(self.pid()));
    }

    /// SIGCONT to all of them.
    pub fn thaw(&self) {
        self.frozen().take();
    }

    /// A new empty database, owned by the user of [`Self::url`]; its name.
    pub fn create_database(&self) -> String {
        let name = format!("onair_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query("postgres", &format!("CREATE DATABASE {name} OWNER {USER}"));
        name
    }

    /// `postgres://onair@127.0.0.1:port/database`, with password and TLS parameters if the options have them.
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.addr(), database)
    }

    /// The same at another address, for instance a proxy's.
    pub fn url_at(&self, addr: SocketAddr, database: &str) -> String {
        let password = self.options.password.as_ref().map(|p| format!(":{p}")).unwrap_or_default();
        let tls = if self.options.is_tls {
            format!("?sslmode=verify-full&sslrootcert={}", self.ca_file().display())
        } else {
            String::new()
        };
        format!("postgres://{USER}{password}@{addr}/{database}{tls}")
    }

    /// Runs SQL as superuser and returns its rows: a line each, fields between `|`. Panics on an error, or if there is no
    /// answer in 10 s.
    pub fn query(&self, database: &str, sql: &str) -> String {
        self.try_query(database, sql).unwrap_or_else(|e| panic!("{sql} on {}: {e}", self.daemon.name()))
    }

    /// The same, with the failure in hand.
    pub fn try_query(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new("timeout");
        psql.args(["--signal=KILL", "10", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
        psql.arg(self.directory()).args(["-p", &self.port().to_string(), "-d", database, "-c", sql]);
        let output = psql.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("timeout: {e}"));
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(format!("{} ({})", String::from_utf8_lossy(&output.stderr).trim_end(), output.status))
        }
    }

    /// The port, the same for as long as this lives.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// 127.0.0.1 and the port.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The certificate under which a server with [`Options::tls`] is to be trusted.
    pub fn ca_file(&self) -> PathBuf {
        self.directory().join("ca.pem")
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// The process id of the server proper. Panics while it is down.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Whether the process is there, frozen ones included.
    pub fn is_up(&self) -> bool {
        self.daemon.is_up()
    }

    /// Waits until `holds` says so; panics with `what` after `within`.
    pub fn wait_until(&self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) {
        eventually(&format!("{what} ({})", self.daemon.name()), within, || holds(self).then_some(()));
    }

    fn frozen(&self) -> MutexGuard<'_, Option<family::Frozen>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.daemon.show_log_if_panicking();
        self.thaw();
        // An immediate shutdown gives the kernel its shared memory back; a killed server would leave a piece behind.
        if self.is_up() {
            process::quit(self.pid());
            let deadline = Instant::now() + QUIT_MAX;
            while self.is_up() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.kill();
    }
}
