//! Redis loses everything while broadcasts are on air: who comes back goes on, who does not is ended on record, once.

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::Shard;
use onair_cluster::events::EndReason;
use onair_cluster::registry::Registry;
use onair_cluster::registry::redis::{RedisRegistry, RedisSettings};
use onair_manager::live_db::{Ledger, Outbox};
use onair_testkit::redis::Redis;

use crate::load::Stage;
use crate::world::{World, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_redis_lost_everything_the_record_is_put_right() {
    let world = World::new().await;
    let redis = Redis::start();
    let connect = async || {
        let settings = RedisSettings::new(redis.url().parse().unwrap(), "test".parse().unwrap());
        let metrics = &mut prometheus_client::registry::Registry::default();
        RedisRegistry::connect(&settings, metrics).await.unwrap()
    };
    // Nodes and Manager each have their own connections, as in life.
    let nodes = connect().await as Arc<dyn Registry>;
    let manager = world.manager_on("a", connect().await).await;
    eventually("a registry that is complete", async || {
        for shard in Shard::all() {
            if nodes.tick(shard, 0).await.is_ok_and(|tick| !tick.is_loaded || tick.floor.is_some()) {
                return false;
            }
        }
        true
    })
    .await;
    let back = Stage::new(Arc::clone(&nodes), "room-back").await;
    let gone = Stage::new(Arc::clone(&nodes), "room-gone").await;
    let (back_card, gone_card) = (back.go_on_air().await, gone.go_on_air().await);
    let open = async |stage: &Stage| world.live_db.open_sessions(stage.room.shard()).await.unwrap().len();
    eventually("both on record", async || open(&back).await + open(&gone).await == 2).await;

    redis.command(&["FLUSHALL"]);
    // One holder renews, as it always does; the other's node died with Redis.
    eventually("the lost one to be ended", async || {
        back.go_live(&back_card).await;
        open(&gone).await == 0
    })
    .await;
    let end = world.live_db.session(&gone_card.session_id).await.unwrap().unwrap().end.unwrap();
    assert_eq!(end.reason, EndReason::Lost);
    assert_eq!(open(&back).await, 1, "who came back is on air");
    assert_eq!(
        manager.fares()["repaired"],
        serde_json::json!({"lost": 1, "granted": 0, "live": 0, "over": 0})
    );

    back.go_off_air(&back_card).await;
    eventually("the other's end", async || open(&back).await == 0).await;
    for (stage, card) in [(&back, &back_card), (&gone, &gone_card)] {
        let rows = world.live_db.feed(stage.room.shard(), 0, 100).await.unwrap();
        let told: Vec<_> =
            rows.into_iter().filter(|row| row.room_id == stage.room).map(|row| row.event_id).collect();
        let id = |kind: &str| format!("{}/{kind}", card.session_id);
        assert_eq!(told, [id("live"), id("ended")]);
    }
    tokio::time::timeout(Duration::from_secs(20), manager.stop()).await.unwrap();
}
