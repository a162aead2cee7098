//! A room is played from any node: pulled once wherever it is wanted, byte for byte what was sent, and followed to another node
//! when its publisher moves.

mod support;

use onair_cluster::time::BootTime;
use onair_testkit::redis::Redis;
use support::encoders::{play_from, publish_from};
use support::media::{H264_AAC, Sample};
use support::{Crowd, Fleet, LONG, Store, eventually, secs};

/// Long enough for the players to join in the middle, short enough to wait for its end.
const SHORT: Sample = Sample { seconds: 15, ..H264_AAC };

const PULLS: &str = "onair_ingest_relay_pulls";

#[test]
fn players_on_four_nodes_get_byte_for_byte_what_was_sent_by_one_pull_per_node() {
    let fleet = Fleet::start(Store::Single(Redis::start()), 4);
    let address = fleet.address("alice");
    let mut publisher = publish_from(fleet.home(), &SHORT, &fleet.nodes[0].publish_url(&address));
    fleet.api().live_session(&address.room);
    let mut players: Vec<_> = fleet
        .nodes
        .iter()
        .flat_map(|node| [(node, 1), (node, 2)])
        .map(|(node, n)| {
            let name = format!("player-{}{n}", node.id);
            play_from(fleet.home(), &SHORT, &node.play_url(&address.room), &name)
        })
        .collect();
    eventually("media at every player", LONG, || {
        players.iter().all(|p| p.packets().has(10, 10)).then_some(())
    });
    let pulls: Vec<_> = fleet.nodes.iter().map(|node| node.metric(PULLS)).collect();
    assert_eq!(pulls, [0.0, 1.0, 1.0, 1.0], "one pull for the two players of each node that lacks the room");
    assert_eq!(fleet.nodes[0].metric("onair_ingest_relay_serving"), 3.0);

    assert!(publisher.wait(secs(60)).success());
    let sent = SHORT.packets();
    for player in &mut players {
        assert!(player.process.wait(LONG).success(), "{}", player.process.stderr());
        player.packets().assert_part_of(&sent, true);
    }
    eventually("every pull to be let go", LONG, || {
        fleet.nodes.iter().all(|node| node.metric(PULLS) == 0.0).then_some(())
    });
}

#[test]
fn a_pull_is_let_go_when_its_last_player_leaves() {
    let fleet = Fleet::start(Store::Single(Redis::start()), 2);
    let crowd = Crowd::new();
    let address = fleet.address("alice");
    let encoder = crowd.encoder(&address, &[fleet.nodes[0].rtmp]);
    let players: Vec<_> = (0..3).map(|_| crowd.player(&address.room, fleet.nodes[1].rtmp)).collect();
    eventually("media at every player", LONG, || players.iter().all(|p| p.watches().is_some()).then_some(()));
    assert_eq!(fleet.nodes[1].metric(PULLS), 1.0);
    for player in players {
        player.stop(&crowd);
    }
    eventually("the pull to be let go", LONG, || (fleet.nodes[1].metric(PULLS) == 0.0).then_some(()));
    encoder.stop(&crowd);
}

#[test]
fn when_a_publisher_moves_by_kill_players_elsewhere_go_on_without_reconnecting_from_a_keyframe() {
    let mut fleet = Fleet::start(Store::Single(Redis::start()), 4);
    let crowd = Crowd::new();
    let address = fleet.address("alice");
    let [a, b, c, d] = [0, 1, 2, 3].map(|n| fleet.nodes[n].rtmp);
    let encoder = crowd.encoder(&address, &[a, b, b, b, b, b, b, b, b, b]);
    let players: Vec<_> = [b, c, d, b, c, d].iter().map(|node| crowd.player(&address.room, *node)).collect();
    eventually("media at every player", LONG, || players.iter().all(|p| p.watches().is_some()).then_some(()));
    let first = crowd.last_attempt(&address.room).expect("an attempt").id;

    let killed_at = BootTime::now();
    fleet.nodes[0].kill();
    eventually("the publisher on another node", secs(60), || {
        crowd.on_air().iter().any(|attempt| attempt.id != first).then_some(())
    });
    println!("on air again {:.1?} after the kill", BootTime::now().since(killed_at));
    let second = crowd.on_air().iter().map(|attempt| attempt.id).find(|id| *id != first).expect("on air");
    eventually("its media at every player", LONG, || {
        players.iter().all(|player| player.watches() == Some(second)).then_some(())
    });
    println!("and seen everywhere {:.1?} after it", BootTime::now().since(killed_at));
    encoder.stop(&crowd);
    for player in players {
        let seen = player.stop(&crowd);
        assert_eq!(seen.attempts(), [first, second], "{seen:?}");
        assert_eq!(seen.connections, 1, "no player reconnected: {seen:?}");
        for run in &seen.runs {
            assert!(run.began_with_keyframe && run.gaps == 0, "{run:?}");
        }
    }
}
