//! History.

use onair_cluster::UnixMs;
use onair_cluster::events::EndReason;
use serde_json::{Value, json};

use crate::support::{Api, Session};

#[tokio::test]
async fn a_broadcast_has_its_start_and_then_its_end() {
    let api = Api::start().await;
    let session = api.on_air("anna").await;
    let row = api.get("/v1/broadcasts").expect(200).json["items"][0].clone();
    assert_eq!(row["session_id"], session.id());
    assert_eq!(row["started_at"], session.facts.live_at.unwrap().to_rfc3339());
    assert_eq!((&row["ended_at"], &row["end_reason"]), (&Value::Null, &Value::Null));
    session.end(&api.registry, EndReason::Unpublished).await;
    api.stored().await;
    let ended = api.get("/v1/broadcasts?state=ended").expect(200).json["items"][0].clone();
    assert_eq!(ended["broadcast_id"], row["broadcast_id"]);
    assert_eq!(ended["end_reason"], "unpublished");
    assert!(ended["ended_at"].as_str().unwrap() >= ended["started_at"].as_str().unwrap());
    assert_eq!(api.get("/v1/broadcasts?state=live").expect(200).json["items"], json!([]));
}

#[tokio::test]
async fn a_session_that_never_went_live_is_not_in_history() {
    let api = Api::start().await;
    let session = Session::of_room(&api.registry, "r", "node-1").await;
    session.end(&api.registry, EndReason::Timeout).await;
    api.stored().await;
    assert_eq!(api.get("/v1/broadcasts").expect(200).json["items"], json!([]));
}

#[tokio::test]
async fn a_thousand_broadcasts_are_listed_page_by_page_newest_first() {
    let api = Api::start().await;
    let start = UnixMs::now();
    for n in 0..1_000_u64 {
        let session = Session::of_room(&api.registry, &format!("room-{}", n % 10), "node-1").await;
        // Pairs start in the same millisecond.
        let session = session.live(&api.registry, UnixMs(start.0 + n / 2)).await;
        session.end(&api.registry, EndReason::Unpublished).await;
        if n % 250 == 0 {
            api.stored().await;
        }
    }
    api.stored().await;
    let walk = |filter: &str, limit: usize| {
        let mut all: Vec<(String, String)> = Vec::new();
        let mut after = String::new();
        loop {
            let list = api.get(&format!("/v1/broadcasts?limit={limit}{filter}{after}")).expect(200).json;
            for item in list["items"].as_array().unwrap() {
                let text = |name: &str| item[name].as_str().unwrap().to_owned();
                all.push((text("started_at"), text("broadcast_id")));
            }
            let Some(next) = list["next"].as_str() else { return all };
            assert_eq!(list["items"].as_array().unwrap().len(), limit);
            after = format!("&after={next}");
        }
    };
    let all = walk("", 300);
    assert_eq!(all.len(), 1_000);
    assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "newest first, and each once");
    assert_eq!(walk("&room=room-3", 7).len(), 100);
    assert_eq!(walk("&producer=p-room-3&node=node-1&state=ended", 100).len(), 100);
    assert_eq!(walk("&node=node-2", 100).len(), 0);
}
