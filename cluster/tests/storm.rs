//! A storm: publishers that come, go, give up half-way and throw each other out, on real threads. When it is over, every
//! session that was granted has ended exactly once, the events of every room tell of one session after the other, and
//! nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use onair_cluster::events::{EndReason, EventKind};
use onair_cluster::ids::{LiveKeyId, NodeId, RoomId, SessionId, Shard};
use onair_cluster::keeper::{Keeper, Policy, Refusal};
use onair_cluster::lease::Belief;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{LeaseTimes, Registry, Takeover};
use onair_cluster::time::{BootTime, UnixMs};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const NODES: usize = 3;
const ROOMS: usize = 8;
const PUBLISHERS: u64 = 24;
const VISITS: u32 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_after_a_storm() {
    // Takeovers without rest and short waits, so that much happens in little time.
    let times = LeaseTimes {
        want_for: Duration::from_millis(20),
        takeover_every: Duration::ZERO,
        ..LeaseTimes::default()
    };
    let registry = Arc::new(LocalRegistry::new(times));
    let mut rooms = Vec::new();
    for n in 0..ROOMS {
        let room = RoomId::parse(&format!("room-{n}")).unwrap();
        let takeover = if n % 2 == 0 { Takeover::Always } else { Takeover::Idle };
        rooms.push((room.clone(), support::put_key(&*registry, &room, takeover).await));
    }
    let nodes: Vec<_> = (0..NODES)
        .map(|n| {
            let id = NodeId::parse(&format!("node-{n}")).unwrap();
            let mut metrics = prometheus_client::registry::Registry::default();
            let keeper = Keeper::new(registry.clone(), id.clone(), Policy::default(), &mut metrics);
            let running = keeper.clone();
            tokio::spawn(async move { running.run().await });
            (keeper, id)
        })
        .collect();

    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|seed| {
            let (keeper, id) = nodes[usize::try_from(seed).unwrap() % NODES].clone();
            tokio::spawn(publish_and_go(seed, keeper, id, rooms.clone()))
        })
        .collect();
    let mut granted = 0;
    for publisher in publishers {
        granted += publisher.await.unwrap();
    }
    for (keeper, _) in &nodes {
        assert_eq!(keeper.idle(Duration::from_secs(10)).await, 0);
        assert_eq!(keeper.lease_count(), 0);
    }
    assert!(granted > 200, "{granted} grants are no storm");
    check_events(&registry).await;
}

/// Returns how many leases it had.
async fn publish_and_go(seed: u64, keeper: Keeper, node: NodeId, rooms: Vec<(RoomId, LiveKeyId)>) -> u32 {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut granted = 0;
    for _ in 0..VISITS {
        let (room, key) = &rooms[rng.random_range(0..rooms.len())];
        let claim = support::claim(SessionId(rng.random()), room, key, &node);
        let asking = keeper.claim(claim);
        if rng.random_ratio(1, 4) {
            // Gives up at once, or after a few turns of the others.
            let mut asking = std::pin::pin!(asking);
            for _ in 0..rng.random_range(0..4) {
                if asking.as_mut().now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            continue;
        }
        let lease = match asking.await {
            Ok(lease) => lease,
            Err(Refusal::Busy { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        granted += 1;
        let pass = lease.pass();
        if rng.random() {
            pass.live(UnixMs::now());
        }
        for _ in 0..rng.random_range(0..200) {
            if pass.check(BootTime::now()) == Belief::Over {
                break;
            }
            pass.media(BootTime::now(), 1_000);
            lease.set_facts(|facts| facts.players += 1);
            tokio::task::yield_now().await;
        }
        match rng.random_range(0..3) {
            0 => drop(lease),
            1 => lease.end_detached(EndReason::Disconnected),
            _ => {
                lease.end(EndReason::Unpublished).await;
            }
        }
        assert_eq!(pass.check(BootTime::now()), Belief::Over);
    }
    granted
}

async fn check_events(registry: &LocalRegistry) {
    for shard in Shard::all() {
        let mut on: HashMap<RoomId, (SessionId, bool)> = HashMap::new();
        for (at, event) in registry.events(shard, usize::MAX).await.unwrap().into_iter().enumerate() {
            assert_eq!(event.n, at as u64 + 1);
            let (room, session) = (event.session.room_id.clone(), event.session.session_id);
            match event.kind {
                EventKind::Granted => assert_eq!(on.insert(room, (session, false)), None),
                EventKind::Live => assert_eq!(on.insert(room, (session, true)), Some((session, false))),
                EventKind::Ended { reason, .. } => {
                    assert_eq!(on.remove(&room).map(|(on, _)| on), Some(session));
                    assert_ne!(reason, EndReason::Lost);
                }
            }
        }
        assert!(on.is_empty(), "never ended: {on:?}");
        assert_eq!(registry.leases(shard, None, 1).await.unwrap(), []);
    }
}
