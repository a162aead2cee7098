//! A second publisher is a request, never a theft: refused while the first is live, granted when the first is a ghost.

mod support;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use support::client::{Publisher, tags};
use support::encoders::{play, publish};
use support::media::H264_AAC;
use support::{Address, LONG, Node, eventually, holds, secs};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

#[test]
fn a_second_publisher_is_refused_while_the_first_is_live_and_the_api_says_who_holds_the_room() {
    let node = Node::start();
    let address = node.address("alice");
    let _first = publish(&node, &H264_AAC, &address.url);
    let holder = node.api().live_session(&address.room);

    let refusal = Publisher::start(&node, &address).err().expect("the room is taken");
    assert_eq!(refusal.code, "NetStream.Publish.BadName");
    assert!(!refusal.description.is_empty(), "the refused one is told why");

    let (status, room) = node.api().get(&format!("/v1/rooms/{}", address.room));
    assert_eq!(status, 200, "{room}");
    assert_eq!(room["session"]["session_id"], holder["session_id"], "{room}");
    assert_eq!(room["session"]["client_addr"], "127.0.0.1", "{room}");
}

/// Tries every 200 ms, as the newcomer does, until let in. Gives the publisher and how long it took since `since`.
fn insist(node: &Node, address: &Address, from: IpAddr, since: Instant) -> (Publisher, Duration) {
    eventually("the newcomer to be let in", LONG, || {
        match Publisher::start_from(from, node, &address.room, &address.live_key) {
            Ok(publisher) => Some((publisher, since.elapsed())),
            Err(_) => {
                std::thread::sleep(Duration::from_millis(200));
                None
            }
        }
    })
}

/// Freezes a publisher that has a player, lets a newcomer insist from `from`, and gives how long it took.
fn replace_a_frozen_publisher(from: IpAddr) -> Duration {
    let node = Node::start();
    let address = node.address("alice");
    let first = publish(&node, &H264_AAC, &address.url);
    let old = node.api().live_session(&address.room);
    let mut player = play(&node, &H264_AAC, &address.room, "player");
    eventually("media at the player", LONG, || player.packets().has(30, 30).then_some(()));

    first.freeze();
    let (newcomer, took) = insist(&node, &address, from, Instant::now());
    let before = player.packets().video.len();
    let _steady = newcomer.keep_sending(tags(&H264_AAC.file()));

    let new = eventually("the newcomer's session", LONG, || {
        node.api().session(&address.room).filter(|s| s["state"] == "live")
    });
    assert_ne!(new["session_id"], old["session_id"]);
    assert!(new["epoch"].as_u64() > old["epoch"].as_u64(), "epochs rise");
    eventually("the newcomer's media at the player that stayed", LONG, || {
        player.packets().has(before + 60, 1).then_some(())
    });
    assert!(player.process.is_running(), "the player did not reconnect");
    let ended = node.api().ended_broadcasts(&address.room, 1);
    assert_eq!(ended[0]["end_reason"], "superseded", "{ended:?}");
    assert_eq!(ended[0]["session_id"], old["session_id"]);
    took
}

// How long it took is printed, not asserted: a busy machine is no defect. The bounds themselves (1 s of silence for one's own
// address, 5 s for another) are tested on a clock of the test's own, in the cluster crate.

#[test]
fn a_frozen_publisher_is_replaced_from_its_own_address() {
    println!("replaced from its own address after {:?}", replace_a_frozen_publisher(HERE));
}

#[test]
fn a_frozen_publisher_is_replaced_from_another_address_but_not_at_once() {
    let took = replace_a_frozen_publisher(ELSEWHERE);
    println!("replaced from another address after {took:?}");
    assert!(took > secs(4), "another address has to wait for five silent seconds: {took:?}");
}

#[test]
fn a_publisher_with_a_frame_every_30_ms_is_never_replaced_however_often_newcomers_try() {
    let node = Node::start();
    let address = node.address("alice");
    let first = Publisher::start(&node, &address).expect("a free room");
    let steady = first.keep_sending(tags(&H264_AAC.file()));
    let holder = node.api().live_session(&address.room);

    holds("the first publisher keeps its room", secs(8), || {
        for from in [HERE, ELSEWHERE] {
            let outcome = Publisher::start_from(from, &node, &address.room, &address.live_key);
            assert_eq!(outcome.err().map(|r| r.code).as_deref(), Some("NetStream.Publish.BadName"));
        }
        steady.is_sending()
    });
    let session = node.api().live_session(&address.room);
    assert_eq!(session["session_id"], holder["session_id"]);
    steady.stop().expect("never cut").unpublish();
    node.api().assert_ended(&address.room, "unpublished");
}
