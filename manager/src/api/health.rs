//! What orchestrators, scrapers and verifiers ask, without a token: alive, ready, metrics, public keys.

use std::sync::Arc;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use onair_cluster::{NodeId, UnixMs};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use crate::core::Core;
use crate::parts::NodeStatus;
use crate::reconciled::Counts;

/// What health and metrics are told from. The same in a process with a Manager and in one without.
pub(crate) struct Health {
    pub(crate) cluster: String,
    pub(crate) node_id: NodeId,
    pub(crate) status: Arc<dyn Fn() -> NodeStatus + Send + Sync>,
    /// Where there is a Manager: how it fares.
    pub(crate) manager: Option<Arc<dyn Fn() -> ManagerFacts + Send + Sync>>,
    pub(crate) prometheus: Arc<prometheus_client::registry::Registry>,
}

impl Health {
    /// The node's own health, and what the Manager knows beside it.
    pub(super) fn of(core: &Arc<Core>) -> Self {
        let all = Arc::clone(core);
        let status = move || {
            let mut node = (all.node_status)();
            node.ready &= !all.is_stopping();
            if !all.is_live_db_up() {
                node.degraded.push("live_db".to_owned());
            }
            if all.debts.len() > 0 || all.audit.is_owed() {
                node.degraded.push("records_owed".to_owned());
            }
            if all.are_shards_away() {
                node.degraded.push("registry".to_owned());
            }
            if all.ownership.figures().1 == 0 && !all.is_stopping() {
                node.degraded.push("shards".to_owned());
            }
            if all.shipping.as_ref().is_some_and(|shipping| shipping.is_degraded()) {
                node.degraded.push("kafka".to_owned());
            }
            if all.fell_lately() {
                node.degraded.push("manager".to_owned());
            }
            node
        };
        let manager = Arc::clone(core);
        Self {
            cluster: core.config.cluster_name.clone(),
            node_id: core.config.node_id.clone(),
            status: Arc::new(status),
            manager: Some(Arc::new(move || ManagerFacts::of(&manager))),
            prometheus: Arc::clone(&core.prometheus),
        }
    }
}

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveView {
    /// `ok`
    #[schema(value_type = String)]
    status: &'static str,
}

/// What the node can do now.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadyView {
    /// `ready` or `not_ready`
    #[schema(value_type = String)]
    status: &'static str,
    cluster: String,
    node_id: String,
    /// What the node does: `serving`, `draining`, …
    state: String,
    /// What does not work, by name. Readiness does not depend on it: what all nodes share would take all of them out.
    degraded: Vec<String>,
    /// Where there is a Manager: how it fares.
    manager: Option<ManagerFacts>,
}

/// How a Manager fares.
#[derive(Serialize, ToSchema)]
pub(crate) struct ManagerFacts {
    /// Managers that live, this one included, as far as this one knows.
    managers: usize,
    /// Shards that this one owns now, of 64.
    shards_owned: usize,
    /// For how long the oldest lifecycle event of its shards has waited that is not stored.
    oldest_unread_seconds: Option<f64>,
    /// Messages of all shards that have not been shipped.
    outbox_unshipped: u64,
    /// The age of the oldest of them.
    outbox_oldest_seconds: Option<f64>,
    /// When one of its shards was last compared with the registry.
    #[schema(format = DateTime)]
    reconciled_at: Option<String>,
    /// When such a comparison last had to repair something.
    #[schema(format = DateTime)]
    repaired_at: Option<String>,
    /// What was repaired since its start.
    repaired: RepairsView,
}

/// Sessions repaired, by what was wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct RepairsView {
    /// Open on record, and gone.
    lost: u64,
    /// On air, and not on record.
    granted: u64,
    /// Live, and not so on record.
    live: u64,
    /// On air after the recorded end.
    over: u64,
}

impl ManagerFacts {
    fn of(core: &Core) -> Self {
        let (managers, shards_owned) = core.ownership.figures();
        let now = UnixMs::now();
        let age = |since: Option<UnixMs>| since.map(|at| now.since(at) as f64 / 1e3);
        let outbox = *core.outbox.borrow();
        let Counts { at, repaired_at, lost, granted, live, over } = core.reconciled.counts();
        Self {
            managers,
            shards_owned,
            oldest_unread_seconds: age(core.desks.waiting_since()),
            outbox_unshipped: outbox.unshipped,
            outbox_oldest_seconds: age(outbox.oldest),
            reconciled_at: at.map(UnixMs::to_rfc3339),
            repaired_at: repaired_at.map(UnixMs::to_rfc3339),
            repaired: RepairsView { lost, granted, live, over },
        }
    }
}

/// Public keys, as a JSON Web Key Set (RFC 7517).
#[derive(Serialize, ToSchema)]
pub(super) struct JwksView {
    /// OKP keys of curve Ed25519 (RFC 8037), `use` = `sig`.
    #[schema(value_type = Vec<Object>)]
    keys: Value,
}

/// Whether the process answers.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "getLiveness",
    tag = "health",
    responses((status = 200, description = "It does", body = LiveView))
)]
pub(super) async fn livez() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(LiveView { status: "ok" })
}

/// Whether publishers may be sent here.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReadiness",
    tag = "health",
    responses(
        (status = 200, description = "They may", body = ReadyView),
        (status = 503, description = "This node starts or drains", body = ReadyView),
    )
)]
pub(super) async fn readyz(health: web::Data<Health>) -> HttpResponse {
    let node = (health.status)();
    let is_ready = node.ready;
    let view = ReadyView {
        status: if is_ready { "ready" } else { "not_ready" },
        cluster: health.cluster.clone(),
        node_id: health.node_id.to_string(),
        state: node.state,
        degraded: node.degraded,
        manager: health.manager.as_ref().map(|facts| facts()),
    };
    let mut response = if is_ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header((CACHE_CONTROL, "no-store")).json(view)
}

/// Metrics of the whole process, in the OpenMetrics text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "health",
    responses((status = 200, description = "Metrics", body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn metrics(health: web::Data<Health>) -> Result<HttpResponse, Problem> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &health.prometheus)
        .map_err(|_| Problem::new(Code::Internal, "the metrics could not be written"))?;
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(text))
}

/// The public keys that live keys of this cluster are verified with.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "getKeySet",
    tag = "health",
    responses((status = 200, description = "A JSON Web Key Set", body = JwksView))
)]
pub(super) async fn jwks(core: web::Data<Core>) -> HttpResponse {
    let mut set = core.signer.verifier().jwks();
    let keys = set.get_mut("keys").map(Value::take).unwrap_or_default();
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(JwksView { keys })
}
