//! How soon a publisher hears `NetStream.Publish.Start`: from before its TCP connection, one at a time, on loopback.

mod support;

use std::time::Duration;

use support::client::Publisher;
use support::{Node, eventually};

#[test]
fn publish_start_comes_within_5_ms_at_the_median_and_20_ms_at_the_99th_percentile() {
    let node = Node::start();
    let address = node.address("alice");
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            let publisher = eventually("the room to be free again", support::LONG, || {
                Publisher::start(&node, &address).ok()
            });
            let took = publisher.start_took;
            publisher.unpublish();
            took
        })
        .collect();
    took.sort();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("connect to Publish.Start: p50 {median:?}, p99 {p99:?}, max {:?}", took[took.len() - 1]);
    assert!(median < Duration::from_millis(5), "{median:?}");
    assert!(p99 < Duration::from_millis(20), "{p99:?}");
}
