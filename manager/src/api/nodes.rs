//! Nodes: which processes of the cluster take publishers and players, how they fare, and draining one.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::NodeId;
use onair_cluster::nodes::{NodeState, NodeView};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::params;
use super::problem::{Code, Problem, ProblemBody};
use super::trail::Trail;
use crate::core::Core;
use crate::live_db::AuditAction;
use crate::parts::is_managers_name;
use crate::reports::DrainAsked;

/// A process that takes publishers and players.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeItem {
    node_id: String,
    state: NodeStateName,
    /// Random at each start of the process.
    incarnation: String,
    version: String,
    started_at: String,
    /// When it was last heard of.
    seen_at: String,
    /// Where encoders and players reach it, if it says so.
    rtmp: Option<String>,
    /// Where other nodes pull rooms from it, if they can.
    relay: Option<String>,
    /// Sockets of encoders and players.
    connections: u32,
    publishers: u32,
    players: u32,
    /// Rooms that it pulls from other nodes.
    pulls: u32,
    /// Somebody asked it to drain.
    drain_asked: bool,
}

/// Whether a node takes publishers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum NodeStateName {
    /// It serves.
    Ready,
    /// It gives its sessions back and ends.
    Draining,
    /// Not heard of for five seconds. Listed for an hour.
    Gone,
}

/// All nodes, by id.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    items: Vec<NodeItem>,
}

impl From<NodeView> for NodeItem {
    fn from(view: NodeView) -> Self {
        let NodeView { card, load, state, seen_at, is_drain_asked } = view;
        Self {
            node_id: card.node_id.to_string(),
            state: match state {
                NodeState::Ready => NodeStateName::Ready,
                NodeState::Draining => NodeStateName::Draining,
                NodeState::Gone => NodeStateName::Gone,
            },
            incarnation: card.incarnation.to_string(),
            version: card.version,
            started_at: card.started_at.to_rfc3339(),
            seen_at: seen_at.to_rfc3339(),
            rtmp: card.rtmp,
            relay: card.relay,
            connections: load.connections,
            publishers: load.publishers,
            players: load.players,
            pulls: load.pulls,
            drain_asked: is_drain_asked,
        }
    }
}

/// The nodes of the cluster, by id: those that serve, those that drain, and those that went silent within the last hour.
#[utoipa::path(
    get,
    path = "/v1/nodes",
    operation_id = "listNodes",
    tag = "nodes",
    responses(
        (status = 200, description = "All of them", body = NodeList),
        (status = 503, description = "Registry away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(core: web::Data<Core>) -> Result<HttpResponse, Problem> {
    let nodes = core.note_registry(core.nodes.nodes().await)?;
    let items = nodes.into_iter().filter(|node| !is_managers_name(&node.card.node_id)).map(NodeItem::from);
    let list = NodeList { items: items.collect() };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(list))
}

/// Asks a node to drain: it takes nobody new, gives its sessions back so that their encoders reconnect elsewhere, and ends.
#[utoipa::path(
    post,
    path = "/v1/nodes/{node}/drain",
    operation_id = "drainNode",
    tag = "nodes",
    params(("node" = String, Path, description = "The node's id", max_length = 128, pattern = "^[.]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$")),
    responses(
        (status = 202, description = "It is told with its next beat, within a second"),
        (status = 400, description = "Not a node id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such node, or it is gone", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Registry away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn drain(
    core: web::Data<Core>,
    node: web::Path<String>,
    http: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let node: NodeId = params::path("node", &node)?;
    if is_managers_name(&node) || !core.note_registry(core.nodes.ask_drain(&node).await)? {
        return Err(Problem::new(Code::NodeUnknown, "no such node is there; see /v1/nodes"));
    }
    DrainAsked { node: &node }.emit();
    trail.note(&core, AuditAction::NodeDrained, &node, json!({}));
    Ok(HttpResponse::Accepted().insert_header((CACHE_CONTROL, "no-store")).finish())
}
