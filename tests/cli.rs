//! The program as its operator meets it: help, configuration, exit codes, files, signals, logs.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::client::Publisher;
use support::{LONG, Node, Process, eventually, secs};

fn onair(arguments: &[&str]) -> Output {
    command(arguments).output().expect("onair runs")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onair"));
    command.args(arguments).env_remove("ONAIR_LOG");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_teaches_by_examples_and_ends_well() {
    let output = onair(&["serve", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for word in [
        "Examples:",
        "--config",
        "--data-dir",
        "--rtmp",
        "--http",
        "./onair-data",
        "0.0.0.0:1935",
        "127.0.0.1:8080",
    ] {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
}

#[test]
fn each_role_has_its_help_and_takes_no_flag_that_it_has_no_use_for() {
    for (verb, words) in [("ingest", "redis.url"), ("manager", "node.media_domain")] {
        let output = onair(&[verb, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains(words), "{}", text(&output.stdout));
    }
    assert_eq!(onair(&["manager", "--rtmp", "127.0.0.1:0"]).status.code(), Some(64));
}

#[test]
fn what_is_in_force_is_shown_without_its_secrets() {
    let output = command(&["config", "check"])
        .env("ONAIR__REDIS__URL", "rediss://anna:hunter2@redis.example:6379")
        .env("ONAIR__CLUSTER__SECRET", "a secret that nobody guesses")
        .output()
        .expect("onair runs");
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(shown.contains("url = \"rediss://(secret)@redis.example:6379\""), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("nobody guesses"), "{shown}");
}

#[test]
fn wrong_usage_exits_64_and_says_what_was_wrong() {
    for arguments in [&["serve", "--rtmp", "nowhere"][..], &["serve", "--no-such-flag"], &["dance"], &[]] {
        let output = onair(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_default_configuration_is_a_file_that_checks_out() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("onair.toml");
    fs::write(&file, onair(&["config", "default"]).stdout).expect("a file");
    let file = file.to_str().expect("a path");
    let with_file = onair(&["config", "check", "--config", file]);
    assert_eq!(with_file.status.code(), Some(0), "{}", text(&with_file.stderr));
    let shown = text(&with_file.stdout);
    assert!(shown.contains("idle_timeout = \"15s\"") && shown.contains(file), "{shown}");
}

#[test]
fn a_wrong_configuration_exits_78_and_names_the_place() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("o.toml");
    fs::write(&file, "[rtmp]\nlisten = \"0.0.0.0:1935\"\nspeed = 9\n").expect("a file");
    for verb in [&["config", "check"][..], &["serve"]] {
        let output = command(verb).arg("--config").arg(&file).output().expect("onair runs");
        assert_eq!(output.status.code(), Some(78));
        let expected = format!("onair: {}:3:1: unknown field `speed`", file.display());
        assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));
    }
    let output = command(&["serve"]).env("ONAIR__RTMP__SPEED", "9").output().expect("onair runs");
    assert_eq!(output.status.code(), Some(78));
    assert!(
        text(&output.stderr).contains("ONAIR__RTMP__SPEED: unknown field `speed`"),
        "{}",
        text(&output.stderr)
    );
}

/// `onair serve` that must fail: its exit code and last words.
fn failing_serve(data: &Path, rtmp: &str, http: &str) -> (Option<i32>, String) {
    let mut command = command(&["serve", "--rtmp", rtmp, "--http", http, "--data-dir"]);
    let output = command.arg(data).output().expect("onair runs");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_port_in_use_exits_69_and_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    let home = tempfile::tempdir().expect("a directory");
    for (rtmp, http) in [(taken.as_str(), "127.0.0.1:0"), ("127.0.0.1:0", taken.as_str())] {
        let (code, words) = failing_serve(&home.path().join("data"), rtmp, http);
        assert_eq!(code, Some(69), "{words}");
        assert!(words.contains(&format!("cannot listen on {taken}")), "{words}");
    }
}

#[test]
fn one_data_directory_serves_one_process_at_a_time() {
    let node = Node::start();
    let (code, words) = failing_serve(&node.data_dir(), "127.0.0.1:0", "127.0.0.1:0");
    assert_eq!(code, Some(69), "{words}");
    assert!(words.contains("in use by another onair"), "{words}");
}

#[test]
fn secrets_are_for_their_owner_alone_and_refused_otherwise() {
    let mut node = Node::start();
    for file in ["admin-token", "signing-key.pem"] {
        let mode = fs::metadata(node.data_dir().join(file)).expect("a file").mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    node.terminate();
    node.wait(LONG);
    let token = node.data_dir().join("admin-token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("our file");
    let (code, words) = failing_serve(&node.data_dir(), "127.0.0.1:0", "127.0.0.1:0");
    assert_eq!(code, Some(77), "{words}");
    assert!(words.contains("chmod 600"), "{words}");
}

#[test]
fn sigterm_and_ctrl_c_drain_and_exit_0() {
    for is_ctrl_c in [false, true] {
        let mut node = Node::start();
        if is_ctrl_c {
            node.interrupt();
        } else {
            node.terminate();
        }
        assert_eq!(node.wait(secs(15)).code(), Some(0), "{}", node.log());
    }
}

#[test]
fn a_restart_keeps_rooms_and_keys_and_the_demo_address() {
    let node = Node::start();
    let before = node.address("alice");
    assert!(node.stdout().contains("Stream Key"), "the first start prints an address");
    let node = node.restart();
    assert!(!node.stdout().contains("Stream Key"), "a later one does not, unless to a terminal");
    assert_eq!(node.address("alice").room, before.room);
    let publisher = Publisher::start(&node, &before);
    assert!(publisher.is_ok(), "a key from before the restart still opens its room: {:?}", publisher.err());
}

#[test]
fn an_address_is_printed_even_if_the_very_first_start_found_its_port_taken() {
    let home = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").to_string();
    let failed = std::process::Command::new(env!("CARGO_BIN_EXE_onair"))
        .args(["serve", "--http", "127.0.0.1:0", "--rtmp", &port, "--data-dir"])
        .arg(home.path().join("data"))
        .output()
        .expect("it runs");
    assert_eq!(failed.status.code(), Some(69), "{}", String::from_utf8_lossy(&failed.stderr));
    let node = Node::start_in(home);
    assert!(node.stdout().contains("Stream Key"), "nobody knows an address yet");
}

#[test]
fn a_good_key_is_never_refused_while_the_node_starts() {
    let mut node = Node::start();
    let address = node.address("alice");
    let rtmp = node.rtmp;
    node.kill();
    // An encoder that tries again and again through the whole restart.
    let encoder = std::thread::spawn(move || {
        let here = [127, 0, 0, 1].into();
        eventually("the node to be back", LONG, || {
            Publisher::start_at(here, rtmp, &address.room, &address.live_key).ok()
        })
        .map(|_| ())
    });
    let _node = node.restart();
    assert_eq!(encoder.join().expect("no panic"), Ok(()), "the first answer is yes");
}

#[test]
fn logs_are_json_without_a_terminal_and_hold_no_secret() {
    let mut node = Node::start();
    let address = node.address("alice");
    let token = fs::read_to_string(node.data_dir().join("admin-token")).expect("the token");
    let publisher = Publisher::start(&node, &address).expect("a good key");
    let refused = Publisher::start_from([127, 0, 0, 1].into(), &node, "otherroom", &address.live_key);
    assert!(refused.is_err());
    publisher.unpublish();
    let (status, made) = node.api().post("/v1/tokens", &json!({"name": "desk", "role": "viewer"}));
    assert_eq!(status, 201, "{made}");
    let api_token = made["token"].as_str().expect("shown once").to_owned();
    assert_eq!(support::Api::new(node.http, &api_token).status("/v1/sessions"), 200);
    assert_eq!(support::Api::new(node.http, &format!("{api_token}x")).status("/v1/sessions"), 401);
    assert_eq!(support::Api::new(node.http, &address.live_key).status("/v1/sessions"), 403);
    node.terminate();
    node.wait(LONG);

    let log = node.log();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    assert!(log.contains(&address.room), "the log does speak of the session");
    // The signature alone would be as good as the key to whoever knows the rest.
    let signature = address.live_key.rsplit('.').next().expect("three parts");
    let (_, half) = api_token.rsplit_once('_').expect("three parts");
    for secret in [address.live_key.as_str(), signature, token.trim(), half] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    let pem = fs::read_to_string(node.data_dir().join("signing-key.pem")).expect("the key");
    let body = pem.lines().nth(1).expect("a PEM body");
    assert!(!log.contains(body), "the signing key is in the log");
}

#[test]
fn health_metrics_and_description_are_open_and_the_rest_needs_the_token() {
    let node = Node::start();
    let open = support::Api::without_token(node.http);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json", "/.well-known/jwks.json"] {
        assert_eq!(open.status(path), 200, "{path}");
    }
    assert_eq!(open.status("/v1/sessions"), 401);
    assert!(open.text("/metrics").contains("onair_"), "{}", open.text("/metrics"));
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let mut node = Node::start();
    let address = node.address("alice");
    // It never closes its end, so that the drain waits for it for a while.
    let _publisher = Publisher::start(&node, &address).expect("a good key");
    node.terminate();
    eventually("the drain to begin", LONG, || node.log().contains("told to stop").then_some(()));
    node.terminate();
    assert_eq!(node.wait(LONG).code(), Some(130), "{}", node.log());
    assert!(node.log().contains("told again"), "{}", node.log());
}

#[test]
fn a_node_asks_for_the_file_descriptors_that_its_connections_need() {
    let home = tempfile::tempdir().expect("a directory");
    // As a login shell on most systems starts it.
    let script = "ulimit -Sn 1024; exec \"$0\" serve --rtmp 127.0.0.1:0 --http 127.0.0.1:0 --data-dir \"$1\" >/dev/null";
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_onair")).arg(home.path().join("data"));
    shell.env("ONAIR__RTMP__CONNECTIONS_MAX", "1500");
    let process = Process::spawn("onair", home.path(), &shell);
    eventually("a higher limit", LONG, || {
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.pid())).ok()?;
        let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
        let soft: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
        (soft > 1_500).then_some(())
    });
}

#[test]
fn the_ready_line_comes_only_when_both_ports_answer() {
    let node = Node::start();
    assert!(node.stdout().starts_with("onair "), "{}", node.stdout());
    eventually("readiness", LONG, || (node.api().get("/readyz").0 == 200).then_some(()));
    assert!(std::net::TcpStream::connect(node.rtmp).is_ok());
}
