//! Totals: what everybody, a producer or a room has broadcast in all. Kept as counters, so they outlive the history.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::{ProducerId, RoomId};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::params::Params;
use super::problem::{Problem, ProblemBody};
use crate::core::Core;
use crate::live_db::{Totals, TotalsOf};

/// What was broadcast.
#[derive(Serialize, ToSchema)]
pub(super) struct TotalsView {
    /// Broadcasts that went on air.
    broadcasts: u64,
    /// How long those that are over were on air.
    live_seconds: u64,
    /// Payload bytes received for those that are over.
    bytes_in: u64,
}

impl From<Totals> for TotalsView {
    fn from(totals: Totals) -> Self {
        let Totals { broadcasts, live_ms, bytes_in } = totals;
        Self { broadcasts, live_seconds: live_ms / 1_000, bytes_in }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document is made from it; requests are read by Params")]
pub(super) struct TotalsParams {
    /// Only of this producer. One that is not on record has broadcast nothing.
    #[param(max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")]
    producer: Option<String>,
    /// Only of this room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room: Option<String>,
}

/// What was broadcast in all, or by one producer, or in one room.
#[utoipa::path(
    get,
    path = "/v1/totals",
    operation_id = "getTotals",
    tag = "broadcasts",
    params(TotalsParams),
    responses(
        (status = 200, description = "The totals", body = TotalsView),
        (status = 400, description = "Unknown or bad parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn totals(core: web::Data<Core>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request.query_string())?;
    let producer: Option<ProducerId> = params.take("producer")?;
    let room: Option<RoomId> = params.take("room")?;
    params.finish()?;
    let totals = match (producer, room) {
        // Somebody else's room: nothing is both.
        (Some(producer), Some(room)) if !is_of(&core, &room, &producer).await? => Totals::default(),
        (_, Some(room)) => core.ask_db(core.live_db.totals(&TotalsOf::Room(room))).await?,
        (Some(producer), None) => core.ask_db(core.live_db.totals(&TotalsOf::Producer(producer))).await?,
        (None, None) => core.ask_db(core.live_db.totals(&TotalsOf::Everyone)).await?,
    };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(TotalsView::from(totals)))
}

async fn is_of(core: &Core, room: &RoomId, producer: &ProducerId) -> Result<bool, Problem> {
    let row = core.ask_db(core.live_db.room(room)).await?;
    Ok(row.is_some_and(|row| row.producer_id == *producer))
}
