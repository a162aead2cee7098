//! Managers that come, go, die and freeze while sessions come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_cluster::registry::Registry;

use crate::load::Load;
use crate::world::{Running, World, eventually};

const PAUSE: Duration = Duration::from_millis(150);

async fn load(world: &World) -> Load {
    Load::start(Arc::clone(&world.registry) as Arc<dyn Registry>, 96, PAUSE).await
}

async fn owns(what: &str, managers: &[&Running], shards: impl Fn(u64) -> bool) {
    let began = Instant::now();
    eventually(what, async || {
        let owned: Vec<u64> = managers.iter().map(|manager| manager.owned()).collect();
        owned.iter().all(|owned| shards(*owned)) && owned.iter().sum::<u64>() == 64
    })
    .await;
    println!("{what}: {:.1} s", began.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managers_share_the_shards_evenly_and_hand_them_over_in_order() {
    let world = World::new().await;
    let load = load(&world).await;
    let a = world.manager("a").await;
    owns("one Manager has all", &[&a], |owned| owned == 64).await;
    let b = world.manager("b").await;
    owns("two share", &[&a, &b], |owned| owned == 32).await;
    let c = world.manager("c").await;
    owns("three share", &[&a, &b, &c], |owned| owned <= 22).await;
    assert_eq!(a.fares()["managers"], 3);
    b.stop().await;
    owns("two have what the third gave up", &[&a, &c], |owned| owned == 32).await;
    let rooms = load.finish().await;
    world.check(&rooms).await;
    for manager in [&a, &c] {
        assert_eq!(manager.metric("terms_fenced_total"), 0.0, "a hand-over in order fences nobody");
        assert!(manager.metric("ownership_changes_total") > 0.0);
        assert_eq!(manager.fares()["repaired_at"], serde_json::Value::Null);
    }
    a.stop().await;
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_of_a_killed_manager_are_taken_and_nothing_is_lost() {
    let world = World::new().await;
    let load = load(&world).await;
    let a = world.manager("a").await;
    let b = world.manager("b").await;
    owns("two share", &[&a, &b], |owned| owned == 32).await;
    a.kill();
    owns("the one that is left has all", &[&b], |owned| owned == 64).await;
    let rooms = load.finish().await;
    world.check(&rooms).await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_manager_that_thaws_writes_nothing_under_its_old_terms() {
    let world = World::new().await;
    let load = load(&world).await;
    let mut a = world.manager("a").await;
    let b = world.manager("b").await;
    owns("two share", &[&a, &b], |owned| owned == 32).await;
    a.ice.freeze_live_db();
    // What it has read by now waits to be stored.
    eventually("events that wait", async || world.lag().await > Duration::from_secs(1)).await;
    a.ice.freeze_registry();
    owns("the one that is awake has all", &[&b], |owned| owned == 64).await;
    eventually("nothing that waits", async || world.lag().await < Duration::from_secs(1)).await;
    assert_eq!(a.owned(), 0, "it knows by its own clock that it owns nothing");
    assert!(a.get("/readyz").1["degraded"].to_string().contains("shards"));
    a.ice.thaw();
    eventually("the old terms to be refused", async || a.metric("terms_fenced_total") > 0.0).await;
    owns("two share again", &[&a, &b], |owned| owned == 32).await;
    let rooms = load.finish().await;
    world.check(&rooms).await;
    assert_eq!(b.metric("terms_fenced_total"), 0.0);
    a.stop().await;
    b.stop().await;
}
