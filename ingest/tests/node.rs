//! One node, driven over real sockets by our own client: what streamers and viewers live through.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage fails there")]

mod support;

use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::{Order, Registry, Takeover};
use onair_cluster::{RoomId, UnixMs};
use onair_codec::ClientEvent;
use onair_ingest::IngestConfig;
use onair_loadtest::client::{Client, ClientError, Want};
use onair_loadtest::media::{Broadcast, Shape, read_stamp};

use support::{PATIENCE, TestNode, names};

const SHAPE: Shape = Shape { kbps: 300, fps: 30, gop: 10 };

/// A publisher that has begun: headers and one GOP are sent.
async fn on_air(node: &TestNode, room: &str) -> (Client, Broadcast) {
    let (address, _) = node.key(room).await;
    let mut client = Client::start(&address, Want::Publish, None).await.unwrap();
    let mut broadcast = Broadcast::new(SHAPE);
    client.send(&broadcast.headers()).await.unwrap();
    pictures(&mut client, &mut broadcast, 10).await;
    node.expect(room, "granted live").await;
    (client, broadcast)
}

async fn pictures(client: &mut Client, broadcast: &mut Broadcast, count: u32) {
    for _ in 0..count {
        client.send(&broadcast.next_picture()).await.unwrap();
    }
}

/// Steps a client until it is refused, or closed.
async fn ending(client: &mut Client) -> ClientError {
    let mut refused = None;
    let wait = async {
        loop {
            let step = client.step(|event| {
                if let ClientEvent::Refused { code, description } = event {
                    refused = Some(ClientError::Refused { code, description });
                }
            });
            if let Err(error) = step.await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, wait).await.unwrap();
    refused.unwrap_or(error)
}

/// Steps a player until it has seen picture `number`; returns the numbers it saw.
async fn watch_until(player: &mut Client, number: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    let wait = async {
        while seen.last().is_none_or(|last| *last < number) {
            let step = player.step(|event| {
                if let ClientEvent::Media(media) = event {
                    seen.extend(read_stamp(&media).map(|stamp| stamp.number));
                }
            });
            step.await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    seen
}

fn refusal(outcome: Result<Client, ClientError>) -> (String, String) {
    match outcome {
        Err(ClientError::Refused { code, description }) => (code, description),
        Err(other) => panic!("not refused, but {other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_granted_goes_live_and_ends_by_its_own_word() {
    let node = TestNode::start().await;
    let (publisher, _) = on_air(&node, "room").await;
    publisher.unpublish().await.unwrap();
    node.expect("room", "granted live ended:unpublished").await;
    let ended = node.events("room").await.pop().unwrap();
    assert_eq!(
        ended.facts.video.map(|v| (v.codec, v.width, v.height)),
        Some(("h264".into(), Some(640), Some(360)))
    );
    assert_eq!(
        ended.facts.audio.map(|a| (a.codec, a.sample_rate, a.channels)),
        Some(("aac".into(), Some(48_000), Some(2)))
    );
    assert!(ended.facts.bytes_in > 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn players_get_every_picture_from_a_keyframe_on() {
    let node = TestNode::start().await;
    let (mut publisher, mut broadcast) = on_air(&node, "room").await;
    let address = node.address("room", "live");
    let mut player = Client::start(&address, Want::Play, None).await.unwrap();
    assert_eq!(watch_until(&mut player, 9).await, (0..10).collect::<Vec<_>>());
    pictures(&mut publisher, &mut broadcast, 25).await;
    assert_eq!(watch_until(&mut player, 34).await, (10..35).collect::<Vec<_>>());
    let load = node.node.load();
    assert_eq!((load.connections, load.publishers, load.players), (2, 1, 1));
    let mut late = Client::start(&address, Want::Play, None).await.unwrap();
    assert_eq!(watch_until(&mut late, 34).await, (30..35).collect::<Vec<_>>());
    publisher.unpublish().await.unwrap();
    let mut code = String::new();
    while player
        .step(|event| {
            if let ClientEvent::Ended { code: c } = event {
                code = c;
            }
        })
        .await
        .is_ok()
    {}
    assert_eq!(code, "NetStream.Play.Stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_came_first_gets_the_broadcast_when_it_comes() {
    let node = TestNode::start().await;
    let mut player = Client::start(&node.address("room", "live"), Want::Play, None).await.unwrap();
    let (_publisher, _) = on_air(&node, "room").await;
    assert_eq!(watch_until(&mut player, 9).await.first(), Some(&0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_of_a_room_that_never_comes_is_told_so() {
    let config = IngestConfig { play_wait: Duration::from_millis(200), ..IngestConfig::default() };
    let node = TestNode::with(config).await;
    let mut player = Client::start(&node.address("nowhere", "live"), Want::Play, None).await.unwrap();
    match ending(&mut player).await {
        ClientError::Refused { code, .. } => assert_eq!(code, "NetStream.Play.StreamNotFound"),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_key_has_its_own_reason() {
    let node = TestNode::start().await;
    let other = TestNode::start().await;
    let (good, _) = node.key("room").await;
    let (foreign, _) = other.key("room").await;
    let room = RoomId::parse("room").unwrap();
    let now = UnixMs::now();
    let producer = onair_cluster::ProducerId::parse("p").unwrap();
    let expired = node
        .signer
        .mint(
            &room,
            &producer,
            &onair_cluster::LiveKeyId::random(&room),
            UnixMs(1_000),
            UnixMs(now.0 - 60_000),
        )
        .unwrap();
    let (revoked, revoked_id) = node.key("room").await;
    node.registry.revoke(&revoked_id).await.unwrap();
    let cases = [
        ("empty", node.address("room", "")),
        ("4000 bytes", node.address("room", &"k".repeat(4000))),
        ("no token", node.address("room", "hunter2")),
        ("foreign signature", node.address("room", &foreign.name)),
        ("expired", node.address("room", expired.expose())),
        ("other room", node.address("elsewhere", &good.name)),
        ("revoked", node.address("room", &revoked.name)),
    ];
    let mut texts = Vec::new();
    for (case, address) in cases {
        let (code, text) = refusal(Client::start(&address, Want::Publish, None).await);
        assert!(
            matches!(code.as_str(), "NetStream.Publish.Denied" | "NetStream.Publish.BadName"),
            "{case}: OBS would retry for ever on {code}"
        );
        println!("{case}: {text}");
        texts.push(text);
    }
    texts.sort();
    texts.dedup();
    assert!(texts.len() >= 6, "{texts:#?}");
    assert!(node.events("room").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_is_refused_while_the_first_sends() {
    let node = TestNode::start().await;
    let (mut publisher, mut broadcast) = on_air(&node, "room").await;
    let (second, _) = node.key("room").await;
    let sending = async {
        loop {
            pictures(&mut publisher, &mut broadcast, 1).await;
            // The pace of a real encoder, not a wait for anything.
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let refused = tokio::select! {
        () = sending => unreachable!(),
        refused = Client::start(&second, Want::Publish, None) => refusal(refused),
    };
    assert_eq!(refused.0, "NetStream.Publish.BadName");
    assert_eq!(names(&node.events("room").await), "granted live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_publisher_yields_to_its_own_reconnect_and_the_player_goes_on() {
    let node = TestNode::start().await;
    let (address, _) = node.key("room").await;
    let mut first = Client::start(&address, Want::Publish, None).await.unwrap();
    first.send(&Broadcast::new(SHAPE).headers()).await.unwrap();
    pictures(&mut first, &mut Broadcast::new(SHAPE), 10).await;
    node.expect("room", "granted live").await;
    let mut player = Client::start(&node.address("room", "live"), Want::Play, None).await.unwrap();
    watch_until(&mut player, 9).await;
    // The first stays silent; the newcomer's claim is held until the ghost has been silent for long enough.
    let mut second = Client::start(&address, Want::Publish, None).await.unwrap();
    second.send(&Broadcast::new(SHAPE).headers()).await.unwrap();
    pictures(&mut second, &mut Broadcast::new(SHAPE), 3).await;
    assert_eq!(watch_until(&mut player, 2).await, [0, 1, 2]);
    node.expect("room", "granted live ended:superseded granted live").await;
    assert!(matches!(ending(&mut first).await, ClientError::Refused { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_always_takes_over_does_so_at_once() {
    let node = TestNode::start().await;
    let (_first, _) = on_air(&node, "room").await;
    let (address, _) = node.key_with("room", Takeover::Always).await;
    let _second = Client::start(&address, Want::Publish, None).await.unwrap();
    node.expect("room", "granted live ended:superseded granted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_ends_the_session_and_the_encoder_is_told() {
    let node = TestNode::start().await;
    let (mut publisher, _) = on_air(&node, "room").await;
    let order = Order { reason: EndReason::EndedByApi, note: "goodbye".into() };
    node.registry.order(&RoomId::parse("room").unwrap(), &order).await.unwrap();
    match ending(&mut publisher).await {
        ClientError::Refused { description, .. } => assert!(description.contains("goodbye"), "{description}"),
        other => panic!("{other}"),
    }
    node.expect("room", "granted live ended:ended_by_api").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_more_than_the_key_allows_is_told_so_and_a_burst_is_not_more() {
    const BITS: u64 = 1_000_000;
    let node = TestNode::start().await;
    let (address, _) = node.key_like("room", |record| record.max_bitrate = Some(BITS)).await;
    let mut publisher = Client::start(&address, Want::Publish, None).await.unwrap();
    let mut broadcast = Broadcast::new(SHAPE);
    publisher.send(&Broadcast::new(SHAPE).headers()).await.unwrap();
    // Twenty seconds of media at once, which at the allowed rate are six.
    pictures(&mut publisher, &mut broadcast, 600).await;
    let mut player = Client::start(&node.address("room", "live"), Want::Play, None).await.unwrap();
    watch_until(&mut player, 599).await;
    node.expect("room", "granted live").await;
    let mut refused = None;
    let too_much = async {
        while refused.is_none() {
            pictures(&mut publisher, &mut broadcast, 20).await;
            let heard = publisher.step(|event| {
                if let ClientEvent::Refused { code, description } = event {
                    refused = Some((code, description));
                }
            });
            let _nothing_yet = tokio::time::timeout(Duration::from_millis(1), heard).await;
        }
    };
    tokio::time::timeout(PATIENCE, too_much).await.unwrap();
    let (code, description) = refused.unwrap();
    assert_eq!(code, "NetStream.Publish.Denied");
    assert!(description.contains("1000 kbit/s") && description.contains("lower"), "{description}");
    node.expect("room", "granted live ended:policy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_the_key_ends_the_session() {
    let node = TestNode::start().await;
    let (address, id) = node.key("room").await;
    let mut publisher = Client::start(&address, Want::Publish, None).await.unwrap();
    node.registry.revoke(&id).await.unwrap();
    ending(&mut publisher).await;
    node.expect("room", "granted ended:revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_socket_is_a_disconnect() {
    let node = TestNode::start().await;
    let (publisher, _) = on_air(&node, "room").await;
    drop(publisher);
    node.expect("room", "granted live ended:disconnected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_comes_with_the_last_pictures_is_read_with_them() {
    // Always watched: of data and end together there is one event.
    let node = TestNode::with(IngestConfig { gather_reads: Duration::ZERO, ..IngestConfig::default() }).await;
    for n in 0..40 {
        let room = format!("room{n}");
        let (mut publisher, mut broadcast) = on_air(&node, &room).await;
        pictures(&mut publisher, &mut broadcast, 3).await;
        drop(publisher);
        node.expect(&room, "granted live ended:disconnected").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_by_timeout_before_and_after_the_first_media() {
    let short = Duration::from_millis(300);
    let config = IngestConfig { first_media_timeout: short, idle_timeout: short, ..IngestConfig::default() };
    let node = TestNode::with(config).await;
    let (address, _) = node.key("mute").await;
    let mut mute = Client::start(&address, Want::Publish, None).await.unwrap();
    let (mut frozen, _) = on_air(&node, "frozen").await;
    ending(&mut mute).await;
    ending(&mut frozen).await;
    node.expect("mute", "granted ended:timeout").await;
    node.expect("frozen", "granted live ended:timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_gives_leases_back_before_it_closes_sockets() {
    let node = TestNode::start().await;
    let (mut publisher, _) = on_air(&node, "room").await;
    let mut player = Client::start(&node.address("room", "live"), Want::Play, None).await.unwrap();
    watch_until(&mut player, 9).await;
    let registry = node.registry.clone();
    let told = tokio::spawn(async move {
        let end = ending(&mut publisher).await;
        let events = registry.events(RoomId::parse("room").unwrap().shard(), 100).await.unwrap();
        (end, names(&events))
    });
    assert_eq!(node.node.drain(PATIENCE).await, 0);
    let (end, events) = told.await.unwrap();
    assert!(matches!(end, ClientError::Refused { .. }), "{end}");
    assert_eq!(events, "granted live ended:drain");
    assert!(matches!(ending(&mut player).await, ClientError::Closed | ClientError::Io(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_breaks_the_protocol_ends_as_that() {
    let node = TestNode::start().await;
    let (mut publisher, _) = on_air(&node, "room").await;
    publisher.send_raw(&[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
    node.expect("room", "granted live ended:protocol_error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_never_reads_costs_only_itself() {
    let config = IngestConfig { write_timeout: Duration::from_secs(1), ..IngestConfig::default() };
    let node = TestNode::with(config).await;
    let (mut publisher, _) = on_air(&node, "room").await;
    let address = node.address("room", "live");
    let lazy = Client::start(&address, Want::Play, None).await.unwrap();
    let mut keen = Client::start(&address, Want::Play, None).await.unwrap();
    watch_until(&mut keen, 9).await;
    let mut broadcast = Broadcast::new(Shape { kbps: 60_000, fps: 30, gop: 10 });
    let connections = node.node.connections();
    let mut sent = 0;
    // Until the node lets go of the one who does not read.
    while node.node.connections() == connections {
        pictures(&mut publisher, &mut broadcast, 1).await;
        assert_eq!(watch_until(&mut keen, sent).await.last(), Some(&sent));
        sent += 1;
        // A pace, so that the one who reads keeps up.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(lazy);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_may_publish_again_on_the_same_connection_after_another() {
    let node = TestNode::start().await;
    for _ in 0..3 {
        let (publisher, _) = {
            let (address, _) = node.key("room").await;
            let mut client = Client::start(&address, Want::Publish, None).await.unwrap();
            let mut broadcast = Broadcast::new(SHAPE);
            client.send(&broadcast.headers()).await.unwrap();
            pictures(&mut client, &mut broadcast, 2).await;
            (client, broadcast)
        };
        publisher.unpublish().await.unwrap();
    }
    let cycle = "granted live ended:unpublished";
    node.expect("room", &[cycle; 3].join(" ")).await;
    let epochs: Vec<_> = node.events("room").await.iter().map(|event| event.session.epoch).collect();
    assert!(epochs.is_sorted());
}

#[cfg(feature = "fault-injection")]
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_handler_or_pump_ends_one_session_as_a_crash_and_no_other() {
    let node = TestNode::start().await;
    let (mut others, mut casts) = (Vec::new(), Vec::new());
    for n in 0..50 {
        let (publisher, broadcast) = on_air(&node, &format!("room-{n}")).await;
        others.push(publisher);
        casts.push(broadcast);
    }
    for (room, fault) in [("handler", "onairFault:handler"), ("pump", "onairFault:pump")] {
        let (mut victim, _) = on_air(&node, room).await;
        let media = onair_codec::Media {
            kind: onair_codec::MediaKind::Data,
            timestamp: onair_codec::Timestamp(0),
            payload: [&[2, 0, fault.len() as u8], fault.as_bytes()].concat().into(),
        };
        victim.send(&[media]).await.unwrap();
        node.expect(room, "granted live ended:crash").await;
        assert!(matches!(ending(&mut victim).await, ClientError::Closed | ClientError::Io(_)));
    }
    for (n, (publisher, broadcast)) in others.iter_mut().zip(&mut casts).enumerate() {
        pictures(publisher, broadcast, 3).await;
        node.expect(&format!("room-{n}"), "granted live").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn players_that_wait_for_a_room_are_bounded_per_address_and_those_that_watch_are_not() {
    let config = IngestConfig { pending_per_address_max: 3, ..IngestConfig::default() };
    let node = TestNode::with(config).await;
    let (_publisher, _) = on_air(&node, "room").await;
    let mut watching = Vec::new();
    for _ in 0..5 {
        let mut player = Client::start(&node.address("room", "live"), Want::Play, None).await.unwrap();
        watch_until(&mut player, 9).await;
        watching.push(player);
    }
    let mut waiting = Vec::new();
    let turned_away = loop {
        match Client::start(&node.address("nowhere", "live"), Want::Play, None).await {
            Ok(player) => waiting.push(player),
            Err(error) => break error,
        }
    };
    assert!(matches!(turned_away, ClientError::Closed | ClientError::Io(_)), "{turned_away}");
    assert_eq!(waiting.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_in_the_last_moment_is_in_the_end() {
    let node = TestNode::start().await;
    let (address, _) = node.key("room").await;
    let mut publisher = Client::start(&address, Want::Publish, None).await.unwrap();
    let [audio, video] = Broadcast::new(SHAPE).headers();
    // Two writes, and so most likely two reads: the second one's facts must not wait for a second that never comes.
    publisher.send(&[video]).await.unwrap();
    tokio::task::yield_now().await;
    publisher.send(&[audio]).await.unwrap();
    pictures(&mut publisher, &mut Broadcast::new(SHAPE), 1).await;
    publisher.unpublish().await.unwrap();
    node.expect("room", "granted live ended:unpublished").await;
    let ended = node.events("room").await.pop().unwrap();
    assert!(ended.facts.video.is_some() && ended.facts.audio.is_some(), "{:?}", ended.facts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_accepts_nobody() {
    let node = TestNode::start().await;
    let address = node.address("room", "live");
    assert_eq!(node.node.drain(PATIENCE).await, 0);
    assert!(Client::start(&address, Want::Play, None).await.is_err());
}
