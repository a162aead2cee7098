//! Looking at the nodes of a cluster, and draining one.

use onair_cluster::nodes::{Beat, Incarnation, NodeCard, NodeLoad, Nodes};
use onair_cluster::{NodeId, UnixMs};
use serde_json::json;

use crate::support::Api;

pub(crate) fn card(name: &str) -> NodeCard {
    NodeCard {
        node_id: NodeId::parse(name).unwrap(),
        incarnation: Incarnation::random(),
        version: "1.2.3".to_owned(),
        started_at: UnixMs::now(),
        rtmp: Some("192.0.2.7:1935".to_owned()),
        relay: None,
    }
}

#[tokio::test]
async fn nodes_are_shown_with_their_load_and_managers_are_not_among_them() {
    let api = Api::start().await;
    let load = NodeLoad { connections: 7, publishers: 2, players: 5, pulls: 1 };
    let (a, b) = (card("a"), card("b"));
    api.nodes.beat(&b, &NodeLoad::default(), true).await.unwrap();
    api.nodes.beat(&a, &load, false).await.unwrap();
    api.nodes.beat(&card(onair_manager::SEAT), &NodeLoad::default(), false).await.unwrap();
    let items = api.get("/v1/nodes").expect(200).json["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 2, "{items}");
    assert_eq!((&items[0]["node_id"], &items[1]["node_id"]), (&json!("a"), &json!("b")));
    assert_eq!((&items[0]["state"], &items[1]["state"]), (&json!("ready"), &json!("draining")));
    assert_eq!((&items[0]["publishers"], &items[0]["players"]), (&json!(2), &json!(5)));
    assert_eq!(items[0]["incarnation"], a.incarnation.to_string());
}

#[tokio::test]
async fn a_node_that_is_asked_to_drain_hears_of_it_with_its_next_beat() {
    let api = Api::start().await;
    let a = card("a");
    api.nodes.beat(&a, &NodeLoad::default(), false).await.unwrap();
    api.ask("POST", "/v1/nodes/a/drain", None).expect(202);
    let beat = api.nodes.beat(&a, &NodeLoad::default(), false).await.unwrap();
    assert_eq!(beat, Beat::Alive { is_new: false, is_drain_asked: true });
    assert_eq!(api.get("/v1/nodes").json["items"][0]["drain_asked"], json!(true));
    for unknown in ["b", onair_manager::SEAT] {
        assert_eq!(
            api.ask("POST", &format!("/v1/nodes/{unknown}/drain"), None).expect(404).code(),
            "node_unknown"
        );
    }
}
