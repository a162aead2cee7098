//! Stops, kills and second processes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::Registry;
use onair_cluster::{Epoch, UnixMs};
use onair_manager::ManagerError;
use onair_manager::config::HttpLimits;
use onair_manager::live_db::{LiveDb, LiveDbError, SqliteLiveDb};
use serde_json::json;

use crate::support::{Api, Setup, eventually, outbox};

async fn reopen(dir: tempfile::TempDir) -> Api {
    Setup { dir, ..Setup::new() }.start().await
}

#[tokio::test]
async fn an_orderly_stop_stores_every_end_first() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let died = api.handle.died();
    session.end(&api.registry, EndReason::Drain).await;
    assert_eq!(api.handle.stop(Duration::from_secs(20)).await, 0);
    died.await;
    assert!(matches!(api.live_db.check().await, Err(LiveDbError::Away(_))), "it is closed");
    let api = reopen(api.dir).await;
    let row = api.get("/v1/broadcasts").expect(200).json["items"][0].clone();
    assert_eq!(row["end_reason"], "drain");
}

#[tokio::test]
async fn sessions_left_open_by_a_kill_are_lost_and_keys_and_holds_are_known_again() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let revoked = api.address("ben")["live_key_id"].as_str().unwrap().to_owned();
    api.delete(&format!("/v1/live-keys/{revoked}")).expect(204);
    api.put("/v1/rooms/held/hold", json!({"hold_seconds": 600, "reason": "why"})).expect(200);
    // Nobody releases the lease: that is what a kill is.
    api.handle.stop(Duration::from_secs(20)).await;
    let before = UnixMs::now();
    let api = reopen(api.dir).await;

    let row = api.get("/v1/broadcasts").expect(200).json["items"][0].clone();
    assert_eq!(row["end_reason"], "lost");
    assert_eq!(row["ended_at"], session.facts.last_media_at.unwrap().to_rfc3339(), "its last known media");
    assert!(row["detected_at"].as_str().unwrap() >= before.to_rfc3339().as_str());
    let told = outbox(&*api.live_db).await;
    let ids: Vec<_> = told.iter().map(|row| row.event_id.clone()).collect();
    assert_eq!(ids, [format!("{}/live", session.id()), format!("{}/ended", session.id())]);
    assert!(api.get("/metrics").text.contains("onair_manager_sessions_closed_lost_total 1"));

    let key = api.registry.key(&session.card.live_key_id).await.unwrap().unwrap();
    assert_eq!((key.revoked, key.room_id.as_str()), (false, session.room()));
    assert!(api.registry.key(&revoked.parse().unwrap()).await.unwrap().unwrap().revoked);
    let hold = api.registry.hold(&"held".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(hold.reason, "why");
    let newest = api.handle.newest_epochs().await.unwrap();
    assert_eq!(newest, [(session.card.room_id.clone(), Epoch(session.card.epoch.0))]);
}

#[tokio::test]
async fn a_second_manager_on_the_same_directory_is_refused() {
    let api = Api::start().await;
    let second = SqliteLiveDb::open(api.dir.path()).await;
    assert!(matches!(second, Err(LiveDbError::InUse(_))));
    drop(api.handle);
}

#[tokio::test]
async fn an_address_in_use_is_named_and_leaves_nothing_open() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let live_db: Arc<dyn LiveDb> = Arc::new(SqliteLiveDb::open(dir.path()).await.unwrap());
    let mut setup = Setup { dir, ..Setup::new() };
    setup.http = taken.local_addr().unwrap();
    let Err(error) = setup.start_on(Arc::clone(&live_db)).await else { panic!("two listeners on one port") };
    assert!(
        matches!(error, ManagerError::Bind { addr, .. } if addr == taken.local_addr().unwrap()),
        "{error}"
    );
    assert!(matches!(live_db.check().await, Err(LiveDbError::Away(_))), "it is closed");
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_refuses_new_connections() {
    let limits = HttpLimits { live_db_timeout: Duration::from_secs(20), ..HttpLimits::default() };
    let (api, live_db) = crate::away::start_with(Setup { limits, ..Setup::new() }).await;
    let closed = live_db.broadcasts_gate.write().await;
    let url = format!("{}/v1/broadcasts", api.base);
    let slow = std::thread::spawn(move || {
        let bearer = format!("Bearer {}", crate::support::TOKEN);
        let answer = ureq::get(&url).header("authorization", &bearer).call().unwrap();
        (answer.status().as_u16(), answer.headers().get("connection").cloned())
    });
    let is_waiting = async || live_db.broadcasts_waiting.load(Ordering::SeqCst) > 0;
    eventually("the request waits for the Live DB", is_waiting).await;
    let addr = api.handle.http_addr();
    let stop = tokio::spawn(api.handle.stop(Duration::from_secs(20)));
    // Its listener is gone, though it still answers.
    eventually("new connections to be refused", async || tokio::net::TcpStream::connect(addr).await.is_err())
        .await;
    assert!(!slow.is_finished());
    drop(closed);
    let (status, connection) = slow.join().unwrap();
    assert_eq!((status, connection.unwrap().to_str().unwrap()), (200, "close"));
    assert_eq!(stop.await.unwrap(), 0);
}
