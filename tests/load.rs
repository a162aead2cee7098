//! Five hundred publishers and five hundred players on one node for a minute: nothing is lost, nothing grows, nothing is
//! left over.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Parser as _;
use onair_loadtest::cli::Cli;
use support::{LONG, Node, eventually, secs};

const ROOMS: usize = 500;

#[test]
fn five_hundred_publishers_and_players_lose_nothing_and_leave_nothing_behind() {
    let node = Node::start();
    let token = node.data_dir().join("admin-token");
    let command = format!(
        "onair-loadtest publish --rooms {ROOMS} --players {ROOMS} --kbps 300 --ramp 100 --seconds 10m --api http://{} --token-file {}",
        node.http,
        token.display()
    );
    let cli = Cli::parse_from(command.split_whitespace());
    let stop = Arc::new(AtomicBool::new(false));
    let load = thread::spawn({
        let stop = stop.clone();
        move || onair_loadtest::run::run(&cli, &stop).expect("a run")
    });
    let all = |what: &str| {
        let nodes = node.api().get("/v1/nodes").1;
        (nodes["items"][0][what].as_u64() == Some(ROOMS as u64)).then_some(())
    };
    eventually("everybody in", secs(60), || all("publishers").and_then(|()| all("players")));

    // The measurement itself is a length of time: what is flat stays flat over it.
    thread::sleep(secs(20));
    let early = node.rss_kib();
    thread::sleep(secs(40));
    let late = node.rss_kib();
    println!("RSS after 20 s: {early} KiB, after 60 s: {late} KiB");
    assert_eq!(node.api().sessions().len(), ROOMS, "everybody is still on air");

    stop.store(true, Ordering::Relaxed);
    let report = load.join().expect("no panic");
    println!("{report}");
    assert!(report.verdict.holds(), "a promise was broken");
    assert!(late.abs_diff(early) * 20 <= early, "RSS moved by more than 5 %: {early} KiB, then {late} KiB");
    eventually("the last session to go", LONG, || node.api().sessions().is_empty().then_some(()));
}
