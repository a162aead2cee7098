//! How soon a publisher hears `NetStream.Publish.Start`: from before its TCP connection, one at a time, on loopback, with
//! its key verified and its lease taken. A measurement, not a test: run it on a quiet machine with `make bench`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use support::client::Publisher;
use support::{LONG, Node, eventually};

const PUBLISHES: usize = 1_000;

fn main() {
    let node = Node::start();
    let address = node.address("alice");
    let mut took: Vec<Duration> = (0..PUBLISHES)
        .map(|_| {
            // The goodbye of the one before may still be under way.
            let publisher =
                eventually("the room to be free again", LONG, || Publisher::start(&node, &address).ok());
            let took = publisher.start_took;
            publisher.unpublish();
            took
        })
        .collect();
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    println!(
        "connect to Publish.Start, {PUBLISHES} times: p50 {:?}, p90 {:?}, p99 {:?}, max {:?}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}
