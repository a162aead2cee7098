//! Live keys, newest first: all of them, a room's, or a producer's.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::{LiveKeyId, UnixMs};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::params::{self, Params};
use super::problem::{Problem, ProblemBody};
use super::views::{LiveKeyState, LiveKeyView};
use crate::core::Core;
use crate::live_db::{KeyFilter, KeyPosition, KeyRow, KeyState};

/// A page of live keys.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveKeyList {
    items: Vec<LiveKeyView>,
    /// For `after`; null on the last page.
    next: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document is made from it; requests are read by Params")]
pub(super) struct KeyListParams {
    /// Only of this room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room: Option<String>,
    /// Only of this producer.
    #[param(max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")]
    producer: Option<String>,
    /// Only in this state.
    #[param(inline)]
    state: Option<LiveKeyState>,
    /// Items of a page; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the page before.
    #[param(pattern = "^[0-9]{1,15}\\.([0-5][0-9]|6[0-3])[A-Za-z0-9_-]{0,62}$")]
    after: Option<String>,
}

fn state(name: &str) -> Option<KeyState> {
    match name {
        "active" => Some(KeyState::Active),
        "revoked" => Some(KeyState::Revoked),
        "expired" => Some(KeyState::Expired),
        _ => None,
    }
}

/// `1700000000000.<live_key_id>`: the list is by when keys were made, then id.
fn position(text: &str) -> Option<KeyPosition> {
    let (created_at, id) = text.split_once('.')?;
    let created_at = params::digits(created_at)?;
    let live_key_id: LiveKeyId = id.parse().ok()?;
    live_key_id.shard()?;
    Some(KeyPosition { created_at: UnixMs(created_at), live_key_id })
}

fn cursor(row: &KeyRow) -> String {
    format!("{}.{}", row.key.created_at.0, row.key.live_key_id)
}

/// Live keys that were made here, newest first; without the keys themselves. Those of other issuers have no rows.
#[utoipa::path(
    get,
    path = "/v1/live-keys",
    operation_id = "listLiveKeys",
    tag = "live keys",
    params(KeyListParams),
    responses(
        (status = 200, description = "A page", body = LiveKeyList),
        (status = 400, description = "Unknown or bad parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(core: web::Data<Core>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request.query_string())?;
    let filter = KeyFilter {
        room: params.take("room")?,
        producer: params.take("producer")?,
        state: params.take_with("state", "active, revoked or expired", state)?,
        now: UnixMs::now(),
        after: params.take_with("after", "what the page before gave as next", position)?,
    };
    let limit = params.take_limit(&core.config.limits)?;
    params.finish()?;
    let rows = core.ask_db(core.live_db.key_list(&filter, limit + 1)).await?;
    let (rows, next) = params::page(rows, limit, cursor);
    let items = rows.into_iter().map(LiveKeyView::from).collect();
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(LiveKeyList { items, next }))
}
