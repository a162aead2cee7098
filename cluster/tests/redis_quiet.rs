//! A shard in which nobody has business while no reader of its events is up: its dead are found all the same, by whoever comes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::Duration;

use onair_cluster::registry::{Acquired, LeaseTimes, Registry};
use onair_testkit::redis::Redis;
use support::redis::{acquire, claim, granted, open_all, put_key, room, settings, try_connect};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_holder_is_found_in_a_shard_that_nobody_called_for_longer_than_the_gap() {
    let redis = Redis::start();
    let times = LeaseTimes {
        ttl: Duration::from_secs(1),
        grace: Duration::from_millis(200),
        ..LeaseTimes::default()
    };
    let mut settings = settings(&redis.url());
    settings.times = times;
    let registry = try_connect(&settings).await.unwrap();
    open_all(&registry).await;
    let room = room("quiet");
    let key = put_key(&registry, &room).await;
    granted(&registry, &claim(&room, &key, "a")).await;

    // Longer than the gap of 3 s; what passes here is the test.
    tokio::time::sleep(Duration::from_millis(4_500)).await;

    let second = acquire(&registry, &claim(&room, &key, "b")).await.unwrap().answer;
    assert!(matches!(second, Acquired::Granted(_)), "{second:?}");
    assert_eq!(registry.events(room.shard(), 10).await.unwrap().len(), 3, "granted, ended, granted");
}
