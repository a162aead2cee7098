//! What needs no token.

use serde_json::json;

use crate::support::Api;

#[tokio::test]
async fn a_node_is_alive_and_ready() {
    let api = Api::start().await;
    assert_eq!(api.get("/livez").expect(200).json, json!({"status": "ok"}));
    let mut ready = api.get("/readyz").expect(200).json;
    let manager = ready.as_object_mut().unwrap().remove("manager").unwrap();
    assert_eq!((&manager["managers"], &manager["shards_owned"]), (&json!(1), &json!(64)));
    assert_eq!(manager["repaired"], json!({"lost": 0, "granted": 0, "live": 0, "over": 0}));
    let wanted = json!({
        "status": "ready", "cluster": "onair", "node_id": "node-1", "state": "serving", "degraded": []
    });
    assert_eq!(ready, wanted);
}

#[tokio::test]
async fn metrics_count_requests_by_pattern_and_events_by_kind() {
    let api = Api::start().await;
    api.on_air("anna").await;
    api.get("/v1/rooms/secret-room-name").expect(404);
    api.ask("PATCH", "/v1/rooms/r/end", Some("{}".to_owned())).expect(405);
    let text = api.get("/metrics").expect(200).text;
    for line in [
        r#"onair_http_requests_total{route="/v1/rooms/{room}",method="GET",status="404"} 1"#,
        r#"onair_http_requests_total{route="/v1/rooms/{room}/end",method="other",status="405"} 1"#,
        r#"onair_manager_events_total{kind="granted",fate="applied"} 1"#,
        r#"onair_manager_events_total{kind="live",fate="applied"} 1"#,
        "onair_manager_addresses_total 1",
        "onair_manager_live_db_up 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret-room-name"));
    assert!(text.ends_with("# EOF\n"));
}
