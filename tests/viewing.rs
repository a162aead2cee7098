//! Who may watch: with `play = "token"` only who shows one for the room, and what is not there looks like what is not on air.

mod support;

use std::time::Instant;

use onair_loadtest::address::Address as RtmpAddress;
use onair_loadtest::client::{Client, ClientError, Want};
use onair_testkit::redis::Redis;
use serde_json::json;
use support::{Crowd, Fleet, LONG, Store, eventually, secs};

/// A token for `room`, by the API.
fn token(fleet: &Fleet, room: &str) -> String {
    let (status, body) = fleet.api().post(&format!("/v1/rooms/{room}/play-url"), &json!({}));
    assert_eq!(status, 201, "{body}");
    body["token"].as_str().unwrap_or_else(|| panic!("no token in {body}")).to_owned()
}

/// What a player who asks for `name` in `room` is told, if it is not let in.
fn refusal(crowd: &Crowd, node: std::net::SocketAddr, room: &str, name: &str) -> String {
    let address = RtmpAddress { host: node.to_string(), app: room.to_owned(), name: name.to_owned() };
    let outcome = crowd.runtime().block_on(async {
        let mut client = Client::start(&address, Want::Play, None).await?;
        // Let in to wait is not a refusal; then it is cut when its patience, or ours, is over.
        loop {
            client.step(|_| {}).await?;
        }
        #[allow(unreachable_code, reason = "names the type")]
        Ok::<(), ClientError>(())
    });
    outcome.expect_err("not let in").to_string()
}

#[test]
fn with_tokens_a_room_is_seen_with_its_own_token_only_on_every_node() {
    let fleet =
        Fleet::with(Store::Single(Redis::start()), 2, &[("RTMP__PLAY", "token"), ("RTMP__PLAY_WAIT", "1s")]);
    let crowd = Crowd::new();
    let [alice, bob] = ["alice", "bob"].map(|producer| fleet.address(producer));
    let nodes = fleet.rtmp();
    let encoder = crowd.encoder(&alice, &[nodes[0]]);
    fleet.api().live_session(&alice.room);

    let good = format!("live?token={}", token(&fleet, &alice.room));
    let players: Vec<_> = nodes.iter().map(|node| crowd.player_with(&alice.room, &good, *node)).collect();
    eventually("media with a token, wherever the room is", LONG, || {
        players.iter().all(|player| player.watches().is_some()).then_some(())
    });
    let of_another = format!("live?token={}", token(&fleet, &bob.room));
    for node in &nodes {
        let told: Vec<_> = ["live", "live?token=", "live?token=nonsense", &of_another]
            .iter()
            .map(|name| refusal(&crowd, *node, &alice.room, name))
            .collect();
        println!("{told:?}");
        // Nobody without a token learns what is on air.
        let off_air = refusal(&crowd, *node, &bob.room, "live");
        let unknown = refusal(&crowd, *node, "no-such-room", "live");
        assert_eq!(off_air, unknown);
        assert_eq!(told[0], off_air, "a room on air looks like one that is not");
    }
    for player in players {
        player.stop(&crowd);
    }
    encoder.stop(&crowd);
}

#[test]
fn an_unknown_room_and_one_off_air_are_told_alike() {
    let fleet = Fleet::with(Store::Single(Redis::start()), 1, &[("RTMP__PLAY_WAIT", "1s")]);
    let crowd = Crowd::new();
    let alice = fleet.address("alice");
    let node = fleet.nodes[0].rtmp;
    let off_air = refusal(&crowd, node, &alice.room, "live");
    let unknown = refusal(&crowd, node, "no-such-room", "live");
    println!("{off_air}");
    assert_eq!(off_air, unknown);
}

/// What one guess costs Redis is told by how many commands it answered meanwhile.
#[test]
fn guesses_cost_redis_next_to_nothing() {
    const GUESSES: usize = 10_000;
    let fleet = Fleet::with(Store::Single(Redis::start()), 1, &[("RTMP__PLAY_WAIT", "0s")]);
    let crowd = Crowd::new();
    let node = fleet.nodes[0].rtmp;
    let redis = fleet.store.single();
    let commands =
        || redis.info("total_commands_processed").and_then(|n| n.parse::<u64>().ok()).expect("a number");
    let (before, began) = (commands(), Instant::now());
    crowd.runtime().block_on(async {
        let guess = |n: usize| async move {
            let address =
                RtmpAddress { host: node.to_string(), app: format!("guess-{n}"), name: "live".to_owned() };
            let outcome = tokio::time::timeout(secs(20), Client::start(&address, Want::Play, None)).await;
            if let Ok(Ok(mut client)) = outcome {
                while client.step(|_| {}).await.is_ok() {}
            }
        };
        let mut running = tokio::task::JoinSet::new();
        for n in 0..GUESSES {
            running.spawn(guess(n));
            if running.len() >= 50 {
                running.join_next().await;
            }
        }
        while running.join_next().await.is_some() {}
    });
    let (asked, took) = (commands() - before, began.elapsed());
    // Beats, ticks and looks of an idle fleet are in it, too.
    println!(
        "{GUESSES} guesses in {took:.1?}, {:.0} a second: {asked} commands of Redis",
        GUESSES as f64 / took.as_secs_f64()
    );
}
