//! A panic in one connection, in its shipped message handler and in its pump, while fifty others stream on. Built with the
//! feature `fault-injection`, as `make test` does.

mod support;

use support::client::{Publisher, Steady, fault, tags};
use support::media::H264_AAC;
use support::{Address, LONG, Node, eventually};

const OTHERS: usize = 50;

/// Crashes one connection by a panic in `part` and checks that nobody else noticed.
fn crash_in(part: &str) {
    let node = Node::start();
    let sample = tags(&H264_AAC.file());
    let others: Vec<(Address, Steady)> = (0..OTHERS)
        .map(|n| {
            let address = node.address(&format!("other-{n}"));
            let publisher = Publisher::start(&node, &address).expect("a good key");
            (address, publisher.keep_sending(sample.clone()))
        })
        .collect();
    let address = node.address("victim");
    let mut victim = Publisher::start(&node, &address).expect("a good key");
    for tag in sample.iter().take(60) {
        victim.send(tag).expect("not cut yet");
    }
    node.api().live_session(&address.room);
    let before: Vec<_> = others.iter().map(|(other, _)| node.api().live_session(&other.room)).collect();

    victim.send(&fault(part)).expect("not cut yet");
    eventually("the cut", LONG, || victim.is_cut().then_some(()));
    node.api().assert_ended(&address.room, "crash");
    assert!(node.log().contains("injected fault"), "the panic is in the log");

    for ((other, steady), before) in others.iter().zip(&before) {
        assert!(steady.is_sending(), "{} was cut", other.room);
        let now = eventually("more media of the others", LONG, || {
            node.api().session(&other.room).filter(|s| s["bytes_in"].as_u64() > before["bytes_in"].as_u64())
        });
        assert_eq!(now["session_id"], before["session_id"], "the same session goes on");
    }
    let again = Publisher::start(&node, &address);
    assert!(again.is_ok(), "the room of the crashed one is free at once: {:?}", again.err());
    for (_, steady) in others {
        steady.stop().expect("never cut").unpublish();
    }
}

#[test]
fn a_panic_in_a_connections_message_handler_ends_that_connection_alone() {
    crash_in("handler");
}

#[test]
fn a_panic_in_a_connections_pump_ends_that_connection_alone() {
    crash_in("pump");
}
