//! Several nodes around one registry, in one process: rooms are played from any of them, pulled once, followed when they move.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage fails there")]

mod cluster;
mod players;

use std::time::Duration;

use cluster::{Cluster, pictures};
use onair_cluster::{Epoch, RoomId, UnixMs};
#[cfg(feature = "fault-injection")]
use onair_codec::{Media, MediaKind};
use onair_ingest::{IngestConfig, Network, PlayAccess};
use onair_loadtest::client::{Client, ClientError, Want};
use players::{ending, media_of, pictures_of, refusal, watch_until};

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_one_publisher_one_pull_each_and_the_same_bytes_everywhere() {
    let cluster = Cluster::new();
    let origin = cluster.node("a").await;
    let others = [cluster.node("b").await, cluster.node("c").await, cluster.node("d").await];
    let (mut publisher, mut broadcast) = cluster.publish(&origin, "room").await;
    let mut here = origin.play("room").await;
    let mut first = watch_until(&mut here, 9).await;
    let mut players = Vec::new();
    for node in &others {
        for _ in 0..3 {
            let mut player = node.play("room").await;
            let seen = watch_until(&mut player, 9).await;
            assert_eq!(media_of(&seen), media_of(&first));
            players.push((player, seen));
        }
    }
    pictures(&mut publisher, &mut broadcast, 25).await;
    first.extend(watch_until(&mut here, 34).await);
    for (player, seen) in &mut players {
        seen.extend(watch_until(player, 34).await);
        assert_eq!(media_of(seen), media_of(&first));
    }
    for node in &others {
        assert_eq!((node.starts(), node.ingest.load().pulls, node.ingest.load().players), (1, 1, 3));
    }
    assert_eq!(origin.metric("onair_ingest_relay_serving"), 3);
    publisher.unpublish().await.unwrap();
    for (player, _) in &mut players {
        assert_eq!(ending(player).await, "NetStream.Play.Stop", "they need not wait");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_moves_takes_its_players_along_without_a_reconnect() {
    let cluster = Cluster::new();
    let (a, b, c) = (cluster.node("a").await, cluster.node("b").await, cluster.node("c").await);
    let (first, _) = cluster.publish(&a, "room").await;
    let mut on_a = a.play("room").await;
    let mut on_b = b.play("room").await;
    let mut on_c = c.play("room").await;
    for player in [&mut on_a, &mut on_b, &mut on_c] {
        watch_until(player, 9).await;
    }
    // To a node that pulled it until now.
    let (mut second, mut broadcast) = cluster.publish(&b, "room").await;
    for player in [&mut on_a, &mut on_b, &mut on_c] {
        let seen = watch_until(player, 9).await;
        assert_eq!(pictures_of(&seen), (0..10).collect::<Vec<_>>(), "from the keyframe on, once");
    }
    pictures(&mut second, &mut broadcast, 5).await;
    for player in [&mut on_a, &mut on_b, &mut on_c] {
        assert_eq!(pictures_of(&watch_until(player, 14).await), (10..15).collect::<Vec<_>>());
    }
    b.expect("onair_ingest_relay_pulls", 0).await;
    a.expect("onair_ingest_relay_pulls", 1).await;
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn players_that_came_first_see_the_broadcast_when_it_comes() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let mut player = b.play("room").await;
    let (_publisher, _) = cluster.publish(&a, "room").await;
    assert_eq!(pictures_of(&watch_until(&mut player, 9).await), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_player_to_leave_ends_the_pull() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let config = IngestConfig { relay_linger: Duration::from_millis(100), ..IngestConfig::default() };
    let b = cluster.node_with("b", config).await;
    let (_publisher, _) = cluster.publish(&a, "room").await;
    let (mut one, mut two) = (b.play("room").await, b.play("room").await);
    watch_until(&mut one, 9).await;
    watch_until(&mut two, 9).await;
    drop(one);
    assert_eq!(b.ingest.load().pulls, 1);
    drop(two);
    b.expect("onair_ingest_relay_pulls", 0).await;
    b.expect("onair_ingest_relay_pull_ends_total{cause=\"no_players\"}", 1).await;
    a.expect("onair_ingest_relay_serving", 0).await;
    let mut again = b.play("room").await;
    watch_until(&mut again, 9).await;
    assert_eq!(b.starts(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_nodes_show_a_token_for_the_room_at_its_epoch_or_get_nothing() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let (_publisher, _) = cluster.publish(&a, "room").await;
    let (epoch, now) = (cluster.epoch("room").await, UnixMs::now());
    let ask = |room: &str, token: &str| Cluster::relay_address(&a, room, token);
    let cases = [
        ("no token", ask("room", "")),
        ("nonsense", ask("room", "a.b.c")),
        ("expired", ask("room", &cluster.token("room", epoch, now.minus(Duration::from_secs(60))))),
        ("another room's", ask("room", &cluster.token("elsewhere", epoch, now))),
        ("a room not held", ask("elsewhere", &cluster.token("elsewhere", epoch, now))),
        ("an older epoch", ask("room", &cluster.token("room", Epoch(epoch.0 - 1), now))),
        ("a newer epoch", ask("room", &cluster.token("room", Epoch(epoch.0 + 1), now))),
    ];
    for (case, address) in cases {
        let (code, text) = refusal(&address).await;
        assert_eq!(text, "not here", "{case}: {code}");
    }
    let publish = Client::start(&ask("room", "x"), Want::Publish, None).await;
    assert!(matches!(publish, Err(ClientError::Refused { .. })));
    // No chains: a node that pulls the room does not pass it on.
    let mut player = b.play("room").await;
    watch_until(&mut player, 9).await;
    let good = cluster.token("room", epoch, now);
    let (code, _) = refusal(&Cluster::relay_address(&b, "room", &good)).await;
    assert_eq!(code, "NetStream.Play.StreamNotFound");
    let mut relay = Client::start(&ask("room", &good), Want::Play, None).await.unwrap();
    watch_until(&mut relay, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_outside_the_networks_is_not_connected_to() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let relay_networks: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
    let b = cluster.node_with("b", IngestConfig { relay_networks, ..IngestConfig::default() }).await;
    let (_publisher, _) = cluster.publish(&a, "room").await;
    let _player = b.play("room").await;
    let refused = "onair_ingest_relay_pull_ends_total{cause=\"foreign_address\"}";
    assert!(b.comes_to(|node| node.metric(refused) > 0).await);
    assert_eq!((b.starts(), a.metric("onair_ingest_relay_serving")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_only_those_who_have_one_for_the_room_play_and_all_others_are_told_the_same() {
    let cluster = Cluster::new();
    let config = IngestConfig { play: PlayAccess::Token, ..IngestConfig::default() };
    let (a, b) = (cluster.node("a").await, cluster.node_with("b", config).await);
    let (_publisher, _) = cluster.publish(&a, "room").await;
    let room = |name: &str| RoomId::parse(name).unwrap();
    let hour = UnixMs::now().plus(Duration::from_secs(3600));
    let mint = |name: &str, until| cluster.signer.mint_play(&room(name), until).unwrap();
    let past = UnixMs::now().minus(Duration::from_secs(60));
    let with = |name: &str, token: &str| b.address(name, &format!("live?token={token}"));
    let cases = [
        b.address("room", "live"),
        b.address("unknown", "live"),
        with("room", "nonsense"),
        with("room", mint("room", past).expose()),
        with("room", mint("elsewhere", hour).expose()),
    ];
    let mut told = Vec::new();
    for address in &cases {
        told.push(refusal(address).await);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(b.metric("onair_directory_lookups_total{outcome=\"asked\"}"), 0, "refused before any lookup");
    let good = with("room", mint("room", hour).expose());
    let mut player = Client::start(&good, Want::Play, None).await.unwrap();
    watch_until(&mut player, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_off_air_and_one_that_never_was_are_told_alike() {
    let cluster = Cluster::new();
    let config = IngestConfig { play_wait: Duration::from_millis(300), ..IngestConfig::default() };
    let (a, b) = (cluster.node("a").await, cluster.node_with("b", config).await);
    let (publisher, _) = cluster.publish(&a, "was").await;
    let mut before = b.play("was").await;
    watch_until(&mut before, 9).await;
    publisher.unpublish().await.unwrap();
    ending(&mut before).await;
    let (mut was, mut never) = (b.play("was").await, b.play("never").await);
    let told = (ending(&mut was).await, ending(&mut never).await);
    assert_eq!(told.0, "NetStream.Play.StreamNotFound");
    assert_eq!(told.0, told.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_killed_leaves_its_players_elsewhere_waiting_for_the_next() {
    let cluster = Cluster::new();
    let (a, b, c) = (cluster.node("a").await, cluster.node("b").await, cluster.node("c").await);
    let (first, _) = cluster.publish(&a, "room").await;
    let mut player = c.play("room").await;
    watch_until(&mut player, 9).await;
    let before = cluster.epoch("room").await;
    // A socket that dies without a goodbye: the room falls off air, and nobody meant it.
    drop(first);
    c.expect("onair_ingest_relay_pulls", 0).await;
    let (_second, _) = cluster.publish(&b, "room").await;
    assert!(cluster.epoch("room").await > before);
    assert_eq!(pictures_of(&watch_until(&mut player, 9).await), (0..10).collect::<Vec<_>>());
    assert_eq!(c.starts(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_lets_its_players_elsewhere_stay() {
    let cluster = Cluster::new();
    let (a, b, c) = (cluster.node("a").await, cluster.node("b").await, cluster.node("c").await);
    let (_first, _) = cluster.publish(&a, "room").await;
    let mut player = c.play("room").await;
    watch_until(&mut player, 9).await;
    a.ingest.drain(Duration::from_secs(5)).await;
    let (_second, _) = cluster.publish(&b, "room").await;
    assert_eq!(pictures_of(&watch_until(&mut player, 9).await), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_looked_into_and_costs_no_player_a_frame() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let config = IngestConfig { relay_silence: Duration::from_millis(200), ..IngestConfig::default() };
    let b = cluster.node_with("b", config).await;
    let (mut publisher, mut broadcast) = cluster.publish(&a, "room").await;
    let mut player = b.play("room").await;
    watch_until(&mut player, 9).await;
    // The publisher says nothing for so long that the pull is made anew.
    assert!(b.comes_to(|node| node.starts() >= 3).await);
    pictures(&mut publisher, &mut broadcast, 5).await;
    let seen = pictures_of(&watch_until(&mut player, 14).await);
    assert_eq!(seen, (10..15).collect::<Vec<_>>(), "nothing twice, nothing left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_guess_cost_the_registry_a_bounded_number_of_lookups() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let (_publisher, _) = cluster.publish(&a, "room").await;
    let mut player = b.play("room").await;
    watch_until(&mut player, 9).await;
    let began = std::time::Instant::now();
    let mut guesses = Vec::new();
    for guess in 0..600 {
        guesses.push(b.play(&format!("guess-{guess}")).await);
    }
    let asked = || b.metric("onair_directory_lookups_total{outcome=\"asked\"}");
    b.expect("onair_ingest_players", 601).await;
    let seconds = began.elapsed().as_secs() + 1;
    let (asked, bound) = (asked(), 200 + 200 * seconds + 2 * seconds + 2);
    println!("600 guesses within {seconds} s: {asked} lookups");
    assert!(asked <= bound, "{asked} of at most {bound}");
}

#[cfg(feature = "fault-injection")]
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_pull_ends_that_pull_alone_and_its_players_go_on() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let (mut publisher, mut broadcast) = cluster.publish(&a, "room").await;
    let (_other, _) = cluster.publish(&a, "other").await;
    let (mut player, mut beside) = (b.play("room").await, b.play("other").await);
    watch_until(&mut player, 9).await;
    watch_until(&mut beside, 9).await;
    let payload = bytes::Bytes::from_static(b"\x02\x00\x0aonairFault\x02\x00\x0fonairFault:pull");
    let fault = Media { kind: MediaKind::Data, timestamp: onair_codec::Timestamp(300), payload };
    publisher.send(&[fault]).await.unwrap();
    b.expect("onair_ingest_relay_pull_ends_total{cause=\"crash\"}", 1).await;
    assert_eq!(b.ingest.load().pulls, 1, "the other room's");
    pictures(&mut publisher, &mut broadcast, 10).await;
    assert_eq!(pictures_of(&watch_until(&mut player, 19).await), (10..20).collect::<Vec<_>>());
}
