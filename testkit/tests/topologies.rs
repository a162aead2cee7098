//! Each topology comes up, survives faults, and comes down without leaving a process or a port behind.

use std::time::Duration;

use onair_testkit::process;
use onair_testkit::redis::{Cluster, Options, Redis, Replicated, Server};
use onair_testkit::wait::eventually;

const LONG: Duration = Duration::from_secs(60);

fn assert_gone(pids: &[u32]) {
    for pid in pids {
        assert!(!process::exists(*pid), "process {pid} is left");
    }
}

fn pids<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Vec<u32> {
    servers.into_iter().map(Server::pid).collect()
}

#[test]
fn a_single_redis_is_killed_restarted_frozen_and_thawed_on_one_port() {
    let redis = Redis::with(&Options::new().appendonly());
    redis.command(&["SET", "a", "1"]);
    let (port, pid) = (redis.port(), redis.pid());
    redis.kill();
    assert!(!redis.is_up());
    assert!(redis.try_command(&["PING"]).is_err());
    assert_gone(&[pid]);
    redis.restart();
    assert_eq!(redis.port(), port);
    assert_eq!(redis.command(&["GET", "a"]).text(), "1", "what was on disk is back");

    redis.freeze();
    assert!(redis.is_up());
    assert!(redis.try_command(&["PING"]).is_err(), "a frozen server answers nothing");
    redis.thaw();
    redis.wait_until("an answer", LONG, |r| r.try_command(&["PING"]).is_ok());

    redis.stop();
    assert!(!redis.is_up());
    redis.restart();
    let pid = redis.pid();
    redis.freeze();
    drop(redis);
    assert_gone(&[pid]);
}

#[test]
fn nothing_on_disk_means_empty_after_a_restart() {
    let redis = Redis::start();
    redis.command(&["SET", "a", "1"]);
    redis.stop();
    redis.restart();
    assert_eq!(redis.command(&["DBSIZE"]).int(), 0);
}

#[test]
fn passwords_users_and_tls_are_asked_for() {
    let redis = Redis::with(&Options::new().password("geheim"));
    redis.command(&["SET", "a", "1"]);
    assert!(redis.url().contains(":geheim@"));

    let redis = Redis::with(&Options::new().user("user onair on >geheim ~* &* +@all"));
    assert_eq!(redis.command(&["ACL", "WHOAMI"]).text(), "testkit");
    assert_eq!(redis.command(&["ACL", "LIST"]).items().len(), 3);
    assert!(redis.url_as("onair", "geheim").starts_with("redis://onair:geheim@127.0.0.1:"));

    let redis = Redis::with(&Options::new().tls());
    assert_eq!(redis.command(&["PING"]).text(), "PONG");
    assert!(redis.url().starts_with("rediss://"));
    assert!(redis.ca_file().exists());
}

#[test]
fn maxmemory_refuses_writes() {
    let redis = Redis::with(&Options::new().maxmemory(100_000));
    let refusal = redis.try_command(&["SET", "a", "1"]).expect_err("no room");
    assert!(refusal.to_string().starts_with("OOM"), "{refusal}");
}

#[test]
fn a_killed_primary_is_replaced_under_sentinel_and_comes_back_as_a_replica() {
    let redis = Replicated::start(2, 3);
    redis.command(&["SET", "a", "1"]);
    let old = redis.primary();
    eventually("both replicas to have it", LONG, || {
        redis.replicas().iter().all(|r| r.command(&["GET", "a"]).text() == "1").then_some(())
    });
    old.kill();
    redis.wait_until("a failover", LONG, |r| r.try_primary().is_some_and(|p| p.port() != old.port()));
    assert_eq!(redis.command(&["GET", "a"]).text(), "1");
    old.restart();
    redis.wait_whole();
    assert_eq!(old.info("role").as_deref(), Some("slave"));

    let all = [pids(redis.servers()), pids(redis.sentinels())].concat();
    drop(redis);
    assert_gone(&all);
}

#[test]
fn a_frozen_primary_is_replaced_under_sentinel_and_steps_down_when_thawed() {
    let redis = Replicated::start(2, 3);
    let old = redis.primary();
    old.freeze();
    redis.wait_until("a failover", LONG, |r| r.try_primary().is_some_and(|p| p.port() != old.port()));
    old.thaw();
    redis.wait_whole();
    assert_eq!(old.info("role").as_deref(), Some("slave"));
}

#[test]
fn a_killed_primary_is_replaced_in_a_cluster_and_comes_back_as_a_replica() {
    let redis = Cluster::start(3, 3);
    assert_eq!(redis.primaries().len(), 3);
    let old = redis.primary_of("{s00}:meta");
    old.command(&["HSET", "{s00}:meta", "a", "1"]);
    old.kill();
    redis.wait_until("a failover", LONG, |r| r.primaries().len() == 3);
    let new = redis.primary_of("{s00}:meta");
    assert_ne!(new.port(), old.port());
    old.restart();
    redis.wait_whole();
    assert_eq!(old.info("role").as_deref(), Some("slave"));

    let all = pids(redis.servers());
    drop(redis);
    assert_gone(&all);
}

#[test]
fn nothing_survives_a_panic() {
    let outcome = std::panic::catch_unwind(|| {
        let redis = Redis::start();
        std::panic::panic_any(redis.pid());
    });
    let pid = *outcome.expect_err("it panics").downcast::<u32>().expect("a process id");
    assert_gone(&[pid]);
}

/// Run by the test below, in a process of its own; by itself it does nothing.
#[test]
fn child_that_is_killed() {
    if std::env::var_os("ONAIR_TESTKIT_CHILD").is_some() {
        let redis = Redis::start();
        println!("redis has process id {}", redis.pid());
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn nothing_survives_a_killed_test() {
    use std::io::{BufRead, BufReader};
    let mut command = std::process::Command::new(std::env::current_exe().expect("this test program"));
    command.args(["--exact", "child_that_is_killed", "--nocapture"]).env("ONAIR_TESTKIT_CHILD", "1");
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("this test program");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let pid: u32 = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("process id ").map(|(_, pid)| pid.to_owned()))
        .and_then(|pid| pid.trim().parse().ok())
        .expect("a process id");
    assert!(process::exists(pid));
    process::kill(child.id());
    child.wait().expect("our child");
    eventually("the end of Redis", LONG, || (!is_running(pid)).then_some(()));
}

/// An orphan is reaped by whoever adopts it, or stays a zombie where nobody does.
fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
