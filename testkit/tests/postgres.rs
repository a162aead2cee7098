//! PostgreSQL comes up, survives faults, and comes down without leaving a process behind.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use onair_testkit::postgres::{Options, Postgres};
use onair_testkit::process;
use onair_testkit::wait::eventually;

const LONG: Duration = Duration::from_secs(60);

/// What a client with nothing but the URL gets.
fn ask(url: &str, sql: &str) -> Result<String, String> {
    let output = Command::new("psql").args(["-XAtqw", "-d", url, "-c", sql]).output().expect("psql");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The process ids of the server and its children, frozen ones too.
fn family(postgres: &Postgres) -> Vec<u32> {
    let pids = postgres.query("postgres", "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity");
    let pids = pids.split(' ').map(|pid| pid.parse().expect("a process id"));
    pids.chain([postgres.pid()]).collect()
}

fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[test]
fn what_was_committed_survives_a_kill_a_stop_and_a_freeze_on_one_port() {
    let postgres = Postgres::start();
    let database = postgres.create_database();
    let url = postgres.url(&database);
    ask(&url, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)").expect("the user owns the database");
    let all = family(&postgres);

    postgres.kill();
    assert!(!postgres.is_up());
    assert!(all.iter().all(|pid| !is_running(*pid)), "a backend is left");
    assert!(ask(&url, "SELECT 1").is_err());
    postgres.restart();
    assert_eq!(ask(&url, "INSERT INTO t VALUES (2) RETURNING n").as_deref(), Ok("2"));

    postgres.freeze();
    assert!(postgres.is_up());
    let mut asking = Command::new("psql")
        .args(["-XAtqw", "-d", &url, "-c", "SELECT 1"])
        .stdout(Stdio::null())
        .spawn()
        .expect("psql");
    std::thread::sleep(Duration::from_millis(300));
    assert!(asking.try_wait().expect("our child").is_none(), "a frozen server answers nothing");
    postgres.thaw();
    assert!(asking.wait().expect("our child").success());

    postgres.stop();
    assert!(!postgres.is_up());
    postgres.restart();
    assert_eq!(postgres.query(&database, "SELECT sum(n) FROM t"), "3");

    let all = family(&postgres);
    postgres.freeze();
    drop(postgres);
    eventually("the end of all", LONG, || all.iter().all(|pid| !is_running(*pid)).then_some(()));
}

#[test]
fn databases_of_one_server_are_apart() {
    let postgres = Postgres::start();
    let (a, b) = (postgres.create_database(), postgres.create_database());
    assert_ne!(a, b);
    ask(&postgres.url(&a), "CREATE TABLE t (n int)").expect("a table");
    assert!(ask(&postgres.url(&b), "SELECT * FROM t").is_err());
    assert_eq!(postgres.query(&a, "SHOW fsync; SHOW synchronous_commit"), "on\non");
    assert!(postgres.try_query(&a, "SELECT 1/0").expect_err("an error").contains("division by zero"));
}

#[test]
fn password_and_tls_are_asked_for() {
    let postgres = Postgres::with(&Options::new().tls().password("geheim").config("work_mem", "'5MB'"));
    let database = postgres.create_database();
    let url = postgres.url(&database);
    assert_eq!(ask(&url, "SHOW work_mem").as_deref(), Ok("5MB"));
    assert_eq!(ask(&url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").as_deref(), Ok("t"));
    assert!(ask(&url.replace("geheim", "falsch"), "SELECT 1").is_err());
    assert!(ask(&url.replace("verify-full", "disable"), "SELECT 1").is_err());
    assert!(!postgres.log().contains("geheim"));
}

/// Run by the test below, in a process of its own; by itself it does nothing.
#[test]
fn child_that_is_killed() {
    if std::env::var_os("ONAIR_TESTKIT_CHILD").is_some() {
        let postgres = Postgres::start();
        let pids: Vec<_> = family(&postgres).iter().map(u32::to_string).collect();
        postgres.freeze();
        println!("process ids {}.", pids.join(" "));
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn nothing_survives_a_killed_test_even_if_it_was_frozen() {
    let mut command = Command::new(std::env::current_exe().expect("this test program"));
    command.args(["--exact", "child_that_is_killed", "--nocapture"]).env("ONAIR_TESTKIT_CHILD", "1");
    let mut child = command.stdout(Stdio::piped()).spawn().expect("this test program");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let pids: Vec<u32> = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("process ids ")?.1.trim_end_matches('.').to_owned()))
        .map(|pids| pids.split(' ').map(|pid| pid.parse().expect("a process id")).collect())
        .expect("process ids");
    assert!(is_running(pids[0]));
    process::kill(child.id());
    child.wait().expect("our child");
    eventually("the end of PostgreSQL", LONG, || pids.iter().all(|pid| !is_running(*pid)).then_some(()));
}
