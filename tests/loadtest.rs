//! The load test against a real node: each scenario for a few seconds, and the promises that it found held. What it sends is played by
//! a decoder that forgives nothing.

mod support;

use std::sync::atomic::AtomicBool;
use std::thread;

use clap::Parser as _;
use onair_loadtest::cli::Cli;
use onair_loadtest::report::Report;
use support::encoders::ffmpeg;
use support::{LONG, Node, Process, eventually};

fn load(arguments: &str) -> Report {
    let line = format!("onair-loadtest {arguments}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{line}: {e}"));
    let report =
        onair_loadtest::run::run(&cli, &AtomicBool::new(false)).unwrap_or_else(|e| panic!("{line}: {e:#}"));
    println!("{report}\n");
    report
}

/// Where the node's API is, as arguments.
fn api(node: &Node) -> String {
    format!("--api http://{} --token-file {}", node.http, node.data_dir().join("admin-token").display())
}

fn assert_held(report: &Report) {
    assert!(report.verdict.holds(), "{:?}\n{:?}", report.verdict, report.problems);
    assert!(!report.verdict.unreachable);
}

#[test]
fn publishers_and_fan_out_keep_their_promises() {
    let node = Node::start();
    let report = load(&format!("publish --rooms 5 --players 10 --seconds 3s --warm-up 500ms {}", api(&node)));
    assert_held(&report);
    assert_eq!((report.counts["publishes"], report.counts["plays"]), (5, 10));
    assert!(report.times["latency"].count > 0 && report.times["first picture"].count == 10);
    let report =
        load(&format!("fanout --players 20 --kbps 2000 --seconds 3s --warm-up 500ms {}", api(&node)));
    assert_held(&report);
    assert!(report.received_mbps > report.sent_mbps * 10.0);
}

#[test]
fn players_with_tokens_are_let_in_where_none_else_is() {
    let node = Node::with_config("[rtmp]\nplay = \"token\"\n");
    let fanout = "fanout --rooms 2 --players 6 --seconds 1s --warm-up 500ms";
    let report = load(&format!("{fanout} --play-tokens {}", api(&node)));
    assert_held(&report);
    assert_eq!(report.counts["plays"], 6);
    let report = load(&format!("{fanout} --producer other-{{n}} {}", api(&node)));
    assert!(!report.verdict.holds(), "{report}");
    assert_eq!(report.counts["pictures received"], 0, "{report}");
}

#[test]
fn a_storm_and_quiet_connections_keep_their_promises() {
    let node = Node::start();
    for (acks, leave) in [("kernel", "goodbye"), ("at-once", "close"), ("delayed", "goodbye")] {
        let how = format!("--acks {acks} --leave {leave} --connect-from 127.0.0.2-127.0.0.5");
        let report = load(&format!("storm --in-flight 8 --seconds 2s --warm-up 500ms {how} {}", api(&node)));
        assert_held(&report);
        assert!(report.counts["publishes"] > 8, "they come again");
    }
    assert_held(&load(&format!("idle --connections 50 --seconds 2s --warm-up 500ms {}", api(&node))));
    let report =
        load(&format!("idle --connections 50 --want play --seconds 2s --warm-up 500ms {}", api(&node)));
    assert_held(&report);
    assert_eq!(report.counts["plays"], 50);
}

#[test]
fn encoders_that_come_and_go_keep_the_record_straight() {
    let node = Node::start();
    let who = "--rooms 6 --players 6 --rivals 2 --life 2s";
    let report = load(&format!("mixed {who} --kbps 200 --seconds 12s --warm-up 500ms {}", api(&node)));
    assert_held(&report);
    assert!(report.counts["publishes"] > 6, "they come back");
    let nodes = format!("--nodes {}", node.rtmp);
    let report =
        load(&format!("cluster {who} --kbps 200 --seconds 5s --warm-up 500ms {nodes} {}", api(&node)));
    assert_held(&report);
}

#[test]
fn a_decoder_that_forgives_nothing_accepts_what_is_published() {
    let node = Node::start();
    let room = node.address("alice");
    let addresses = node.home().join("addresses");
    std::fs::write(&addresses, format!("{} {}\n", room.url, node.play_url(&room.room))).expect("a file");
    let load = thread::spawn({
        let arguments = format!("publish --rooms 1 --seconds 8s --addresses {}", addresses.display());
        move || load(&arguments)
    });
    node.api().live_session(&room.room);
    let mut command = ffmpeg();
    command
        .args(["-loglevel", "warning", "-xerror", "-err_detect", "explode", "-i"])
        .arg(node.play_url(&room.room));
    command.args(["-t", "4", "-f", "null", "-"]);
    let mut decoder = Process::spawn("decoder", node.home(), &command);
    let status = decoder.wait(LONG);
    assert!(status.success() && decoder.stderr().is_empty(), "{status}: {}", decoder.stderr());
    let session = eventually("its facts", LONG, || {
        node.api().broadcasts(&room.room).into_iter().next().filter(|b| b["started_at"].is_string())
    });
    println!("{session}");
    assert_held(&load.join().expect("no panic"));
}

#[test]
fn who_cannot_be_reached_is_said_to_be_out_of_reach() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let report =
        load(&format!("publish --rooms 2 --seconds 1s --warm-up 0s --publish rtmp://{free}/live/{{n}}"));
    assert!(report.verdict.unreachable);
    assert_eq!(report.exit_code, 3);
}
