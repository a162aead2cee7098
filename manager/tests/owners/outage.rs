//! PostgreSQL goes away for a while: events wait in the registry, and nobody waits for an answer that will not come.

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::registry::Registry;
use onair_testkit::postgres::Postgres;

use crate::load::Load;
use crate::world::{World, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_away_events_wait_and_requests_fail_at_once() {
    let world = World::on(Arc::new(Postgres::start())).await;
    let registry = Arc::clone(&world.registry) as Arc<dyn Registry>;
    let load = Load::start(registry, 64, Duration::from_millis(300)).await;
    let a = world.manager("a").await;
    let b = world.manager("b").await;
    eventually("two share", async || a.owned() == 32 && b.owned() == 32).await;
    world.server.kill();
    eventually("it to be known", async || a.get("/v1/broadcasts").0 == 503).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let (status, problem, took) = a.get("/v1/broadcasts");
        assert_eq!((status, &problem["code"]), (503, &"live_db_away".into()));
        slowest = slowest.max(took);
        assert_eq!(a.get("/v1/sessions").0, 200, "the live view needs no Live DB");
    }
    println!("history is refused within {slowest:?} while PostgreSQL is away");
    // Longer than what is believed lasts.
    eventually("nothing to be believed", async || a.owned() == 0 && b.owned() == 0).await;
    let (status, ready, _) = a.get("/readyz");
    assert_eq!(status, 200, "what all share takes no node out");
    assert!(ready["degraded"].to_string().contains("live_db"));
    assert!(world.unread().await > 0);
    world.server.restart();
    eventually("two share again", async || a.owned() == 32 && b.owned() == 32).await;
    let rooms = load.finish().await;
    world.check(&rooms).await;
    assert_eq!(a.get("/v1/broadcasts").0, 200);
    a.stop().await;
    b.stop().await;
}
