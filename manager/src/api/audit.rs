//! The audit log: who did what through the API.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::params::{self, Params};
use super::problem::{Problem, ProblemBody};
use crate::caller::CallerKind;
use crate::core::Core;
use crate::live_db::{AuditAction, AuditFilter, AuditRow};
use crate::role::Role;

/// Something that was done.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditView {
    audit_id: String,
    at: String,
    action: AuditAction,
    /// The room, live key, node, token or producer that it was done to.
    subject: String,
    /// What belongs to the action.
    #[schema(value_type = Object)]
    details: Value,
    caller: CallerView,
    request_id: String,
    /// The address that the request came from.
    peer: Option<String>,
}

/// Who did it.
#[derive(Serialize, ToSchema)]
pub(super) struct CallerView {
    kind: CallerKind,
    /// A token's id, a platform and whom it sent, or a live key's id; empty for the admin token.
    id: String,
    name: Option<String>,
    /// Null for a live key.
    role: Option<Role>,
}

/// A page of the log.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditList {
    items: Vec<AuditView>,
    /// For `after`; null on the last page.
    next: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document is made from it; requests are read by Params")]
pub(super) struct AuditListParams {
    /// Only of this kind.
    #[param(inline)]
    action: Option<AuditAction>,
    /// Only by this one: the `id` of a caller.
    #[param(min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")]
    caller: Option<String>,
    /// Only about this room, live key, node, token or producer.
    #[param(min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")]
    subject: Option<String>,
    /// Not before.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Before.
    #[param(format = DateTime)]
    until: Option<String>,
    /// Items of a page; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the page before.
    #[param(pattern = "^[0-9a-f]{32}$")]
    after: Option<String>,
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self {
            at: row.at.to_rfc3339(),
            audit_id: row.audit_id,
            action: row.action,
            subject: row.subject,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
            caller: CallerView { kind: row.caller, id: row.caller_id, name: row.caller_name, role: row.role },
            request_id: row.request_id,
            peer: row.peer.map(|peer| peer.to_string()),
        }
    }
}

fn word(text: &str) -> Option<String> {
    let is_fit = (1..=256).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    is_fit.then(|| text.to_owned())
}

fn place(text: &str) -> Option<String> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (text.len() == 32 && text.bytes().all(is_hex)).then(|| text.to_owned())
}

/// Who ended, held, revoked, rotated, drained and made what, newest first. An entry may be here some milliseconds after what it
/// tells of, and while the Live DB is away when it is back.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "listAudit",
    tag = "audit",
    params(AuditListParams),
    responses(
        (status = 200, description = "A page", body = AuditList),
        (status = 400, description = "Unknown or bad parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(core: web::Data<Core>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request.query_string())?;
    let filter = AuditFilter {
        action: params.take_with("action", "an action of the log", AuditAction::parse)?,
        caller_id: params.take_with(
            "caller",
            "1 to 256 characters, none of them a control character",
            word,
        )?,
        subject: params.take_with(
            "subject",
            "1 to 256 characters, none of them a control character",
            word,
        )?,
        since: params.take_time("since")?,
        until: params.take_time("until")?,
        after: params.take_with("after", "what the page before gave as next", place)?,
    };
    let limit = params.take_limit(&core.config.limits)?;
    params.finish()?;
    let rows = core.ask_db(core.live_db.audit(&filter, limit + 1)).await?;
    let (rows, next) = params::page(rows, limit, |row| row.audit_id.clone());
    let items = rows.into_iter().map(AuditView::from).collect();
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(AuditList { items, next }))
}
