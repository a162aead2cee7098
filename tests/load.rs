//! Five hundred publishers and five hundred players on one node for a minute: nothing is lost, nothing grows, nothing is
//! left over.

mod support;

use std::time::Duration;

use onair_loadtest::address::Address;
use onair_loadtest::media::Shape;
use onair_loadtest::report::Report;
use onair_loadtest::{player, publisher};
use support::{LONG, Node, eventually, secs};
use tokio::sync::watch;
use tokio::task::JoinSet;

const ROOMS: usize = 500;
const SHAPE: Shape = Shape { kbps: 300, fps: 30, gop: 60 };

#[test]
fn five_hundred_publishers_and_players_lose_nothing_and_leave_nothing_behind() {
    let node = Node::start();
    let rooms: Vec<_> = (0..ROOMS).map(|n| node.address(&format!("producer-{n}"))).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (stop, stopped) = watch::channel(false);
    let (mut publishers, mut players) = (JoinSet::new(), JoinSet::new());
    for room in &rooms {
        let publish = Address::parse(&room.url).expect("an address");
        let play = Address::parse(&node.play_url(&room.room)).expect("an address");
        let (to_publisher, to_player) = (stopped.clone(), stopped.clone());
        publishers.spawn_on(
            async move { publisher::publish(&publish, SHAPE, to_publisher).await },
            runtime.handle(),
        );
        players.spawn_on(async move { player::play(&play, to_player).await }, runtime.handle());
        std::thread::sleep(Duration::from_millis(5));
    }
    eventually("everybody on air", secs(60), || (node.api().sessions().len() == ROOMS).then_some(()));

    // The measurement itself is a length of time: what is flat stays flat over it.
    std::thread::sleep(secs(20));
    let early = node.rss_kib();
    std::thread::sleep(secs(40));
    let late = node.rss_kib();
    println!("RSS after 20 s: {early} KiB, after 60 s: {late} KiB");
    assert_eq!(node.api().sessions().len(), ROOMS, "everybody is still on air");

    stop.send_replace(true);
    let report = runtime.block_on(async {
        let mut report = Report::default();
        while let Some(outcome) = publishers.join_next().await {
            report.publisher(outcome.expect("no panic"));
        }
        while let Some(outcome) = players.join_next().await {
            report.player(outcome.expect("no panic"));
        }
        report
    });
    println!("{report}");
    assert!(report.holds(), "{report}");
    assert!(late.abs_diff(early) * 20 <= early, "RSS moved by more than 5 %: {early} KiB, then {late} KiB");
    eventually("the last session to go", LONG, || node.api().sessions().is_empty().then_some(()));
    for room in &rooms {
        node.api().assert_ended(&room.room, "unpublished");
    }
}
