//! One `onair serve`: a real process on free ports with a data directory of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::api::Api;
use super::process::Process;
use super::wait::eventually;

/// A node, killed and its files removed when dropped.
pub struct Node {
    process: Process,
    home: TempDir,
    stdout: Arc<Mutex<String>>,
    pub rtmp: SocketAddr,
    pub http: SocketAddr,
}

/// What `broadcast-url` answered.
#[derive(Clone, Debug)]
pub struct Address {
    pub room: String,
    pub live_key_id: String,
    pub live_key: String,
    /// `rtmp://host:port/room`.
    pub server: String,
    /// Server and key.
    pub url: String,
}

/// Nothing to change about the defaults.
pub const DEFAULTS: &str = "";

impl Node {
    /// A fresh node with the default configuration.
    pub fn start() -> Self {
        Self::with_config(DEFAULTS)
    }

    /// A fresh node with this configuration file.
    pub fn with_config(toml: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        fs::write(home.path().join("onair.toml"), toml).expect("a configuration file");
        Self::launch(home, "127.0.0.1:0", "127.0.0.1:0")
    }

    /// A node with the default configuration on whatever an earlier attempt left in `home`.
    pub fn start_in(home: TempDir) -> Self {
        fs::write(home.path().join("onair.toml"), DEFAULTS).expect("a configuration file");
        Self::launch(home, "127.0.0.1:0", "127.0.0.1:0")
    }

    /// Starts again on the same ports and data, after a kill or a drain.
    pub fn restart(self) -> Self {
        let Self { mut process, home, rtmp, http, .. } = self;
        if process.is_running() {
            process.kill();
        }
        Self::launch(home, &rtmp.to_string(), &http.to_string())
    }

    fn launch(home: TempDir, rtmp: &str, http: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onair"));
        command.arg("serve").args(["--rtmp", rtmp, "--http", http]);
        command.arg("--config").arg(home.path().join("onair.toml"));
        command.arg("--data-dir").arg(home.path().join("data"));
        command.env("ONAIR_LOG", "debug,sqlx=warn,h2=warn");
        let mut process = Process::spawn_piped("onair", home.path(), &command);

        let stdout = Arc::new(Mutex::new(String::new()));
        let (reader, kept) = (process.take_stdout(), stdout.clone());
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let mut text = kept.lock().expect("no panic while held");
                text.push_str(&line);
                text.push('\n');
            }
        });
        let first = eventually("the node to be up", super::LONG, || {
            assert!(process.is_running(), "onair ended while starting:\n{}", process.stderr());
            let text = stdout.lock().expect("no panic while held");
            text.lines().next().map(str::to_owned)
        });
        let (rtmp, http) = listeners(&first);
        Self { process, home, stdout, rtmp, http }
    }

    /// What it has printed to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.lock().expect("no panic while held").clone()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A directory for the test's own files.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    pub fn api(&self) -> Api {
        let token = fs::read_to_string(self.data_dir().join("admin-token")).expect("the admin token");
        Api::new(self.http, token.trim())
    }

    /// A new broadcast address for `producer`.
    pub fn address(&self, producer: &str) -> Address {
        new_address(&self.api(), producer, &json!({}))
    }

    /// Where viewers find `room`.
    pub fn play_url(&self, room: &str) -> String {
        format!("rtmp://{}/{room}/live", self.rtmp)
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// SIGINT.
    pub fn interrupt(&self) {
        self.process.interrupt();
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Its exit, which must come in time.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        self.process.wait(within)
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("a live process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// A new broadcast address for `producer`, with what `request` asks for.
pub fn new_address(api: &Api, producer: &str, request: &Value) -> Address {
    let (status, body) = api.post(&format!("/v1/producers/{producer}/broadcast-url"), request);
    assert_eq!(status, 201, "{body}");
    Address::of(&body)
}

impl Address {
    /// What `broadcast-url` answered.
    pub fn of(body: &Value) -> Self {
        let text = |key: &str| body[key].as_str().unwrap_or_else(|| panic!("no {key} in {body}")).to_owned();
        let address = Self {
            room: text("room_id"),
            live_key_id: text("live_key_id"),
            live_key: text("live_key"),
            server: text("server"),
            url: text("url"),
        };
        assert_eq!(address.live_key, text("stream_key"));
        assert_eq!(address.url, format!("{}/{}", address.server, address.live_key));
        address
    }
}

/// Both addresses, from the first line that a node prints.
fn listeners(line: &str) -> (SocketAddr, SocketAddr) {
    let after = |mark: &str| {
        let rest = line.split_once(mark).unwrap_or_else(|| panic!("no {mark:?} in {line:?}")).1;
        let end = rest.find(", ").unwrap_or(rest.len());
        rest[..end].parse().unwrap_or_else(|e| panic!("{mark:?} in {line:?}: {e}"))
    };
    (after("RTMP on "), after("API on http://"))
}
