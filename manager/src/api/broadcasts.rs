//! Broadcasts: the history of what went live, from the Live DB.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::UnixMs;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::params::{self, Params};
use super::problem::{Problem, ProblemBody};
use super::views::{BroadcastList, BroadcastView};
use crate::core::Core;
use crate::live_db::{BroadcastFilter, BroadcastRow, BroadcastState, Position};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document is made from it; requests are read by Params")]
pub(super) struct BroadcastListParams {
    /// Only of this room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room: Option<String>,
    /// Only of this producer.
    #[param(max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")]
    producer: Option<String>,
    /// Only on this node.
    #[param(max_length = 128, pattern = "^[.]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
    node: Option<String>,
    /// Only in this state.
    #[param(inline)]
    state: Option<StateName>,
    /// Only those that went on air then or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only those that went on air before.
    #[param(format = DateTime)]
    until: Option<String>,
    /// Items of a page; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the page before.
    #[param(pattern = "^[0-9]{1,15}\\.[A-Za-z0-9]{1,64}$")]
    after: Option<String>,
}

/// Whether a broadcast is on air.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StateName {
    Live,
    Ended,
}

fn state(name: &str) -> Option<BroadcastState> {
    match name {
        "live" => Some(BroadcastState::Live),
        "ended" => Some(BroadcastState::Ended),
        _ => None,
    }
}

/// `1700000000000.<broadcast_id>`: the list is by start, then id.
fn position(text: &str) -> Option<Position> {
    let (started_at, id) = text.split_once('.')?;
    let is_id = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let started_at = params::digits(started_at)?;
    is_id.then(|| Position { started_at: UnixMs(started_at), broadcast_id: id.to_owned() })
}

fn cursor(row: &BroadcastRow) -> String {
    format!("{}.{}", row.started_at.0, row.broadcast_id)
}

/// What went live, newest first. One still on air has no end.
#[utoipa::path(
    get,
    path = "/v1/broadcasts",
    operation_id = "listBroadcasts",
    tag = "broadcasts",
    params(BroadcastListParams),
    responses(
        (status = 200, description = "A page", body = BroadcastList),
        (status = 400, description = "Unknown or bad parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(core: web::Data<Core>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request.query_string())?;
    let filter = BroadcastFilter {
        room: params.take("room")?,
        producer: params.take("producer")?,
        node: params.take("node")?,
        state: params.take_with("state", "live or ended", state)?,
        since: params.take_time("since")?,
        until: params.take_time("until")?,
        after: params.take_with("after", "what the page before gave as next", position)?,
    };
    let limit = params.take_limit(&core.config.limits)?;
    params.finish()?;
    let rows = core.ask_db(core.live_db.broadcasts(&filter, limit + 1)).await?;
    let (rows, next) = params::page(rows, limit, cursor);
    let items = rows.iter().map(BroadcastView::from).collect();
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(BroadcastList { items, next }))
}
