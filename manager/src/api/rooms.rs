//! Rooms: who holds one, ending what is on air in it, and holding it.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::registry::Hold;
use onair_cluster::{RoomId, UnixMs};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::problem::{Code, Problem, ProblemBody};
use super::producers::seconds;
use super::trail::Trail;
use super::views::{EndingView, HoldView, RoomState, RoomView, SessionView};
use super::{body, params};
use crate::caller::Caller;
use crate::core::Core;
use crate::live_db::{AuditAction, LiveDbError};
use crate::role::Role;
use crate::{ends, holds};

/// The longest hold: 30 days. Longer is a matter for the platform's own accounts.
const HOLD_MAX: u64 = 30 * 86_400;
/// Characters of a reason: it ends up in the streamer's log.
const REASON_MAX: usize = 200;

/// How to end.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EndRequest {
    /// For the streamer and for our log; at most 200 characters, none of them a control character.
    #[schema(max_length = 200, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: String,
    /// Refuse all publishers of the room for so long, so that an encoder that reconnects does not undo the end. At most 30
    /// days; 0 for no hold.
    #[schema(minimum = 0, maximum = 2_592_000)]
    #[serde(deserialize_with = "body::whole")]
    hold_seconds: u64,
}

/// How to hold.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldRequest {
    /// For so long from now: 1 second to 30 days.
    #[schema(minimum = 1, maximum = 2_592_000)]
    #[serde(deserialize_with = "body::whole")]
    hold_seconds: u64,
    /// For the streamer and for our log; at most 200 characters, none of them a control character.
    #[serde(default)]
    #[schema(max_length = 200, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: String,
}

fn check_reason(reason: &str) -> Result<(), Problem> {
    if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        let detail =
            format!("reason must have at most {REASON_MAX} characters, none of them a control character");
        return Err(Problem::new(Code::BadBody, detail).with("parameter", "reason"));
    }
    Ok(())
}

/// What the audit log is told of a hold.
fn held(hold: &Hold) -> Value {
    json!({"until": hold.until.to_rfc3339(), "reason": hold.reason})
}

/// Who holds a room, since when, with what media age, and whether it is held.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}",
    operation_id = "getRoom",
    tag = "rooms",
    params(("room" = String, Path, description = "1 to 64 characters of A-Z a-z 0-9 _ -", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses(
        (status = 200, description = "The room", body = RoomView),
        (status = 400, description = "Not a room id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Not on record, not held, and nobody is live in it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Registry away; or Live DB away and nobody is live", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(core: web::Data<Core>, room: web::Path<String>) -> Result<HttpResponse, Problem> {
    let room: RoomId = params::path("room", &room)?;
    let lease = core.note_registry(core.registry.lease(&room).await)?;
    let hold = core.note_registry(core.registry.hold(&room).await)?;
    let row = match core.ask_db(core.live_db.room(&room)).await {
        Ok(row) => row,
        // What happens in the room now is worth an answer without it.
        Err(LiveDbError::Away(_)) if lease.is_some() || hold.is_some() => None,
        Err(e) => return Err(e.into()),
    };
    if lease.is_none() && hold.is_none() && row.is_none() {
        return Err(Problem::new(Code::RoomUnknown, "no producer has this room"));
    }
    let producer = lease.as_ref().map(|lease| &lease.card.producer_id);
    let producer = producer.or_else(|| row.as_ref().map(|row| &row.producer_id));
    let view = RoomView {
        room_id: room.to_string(),
        producer_id: producer.map(ToString::to_string),
        created_at: row.as_ref().map(|row| row.created_at.to_rfc3339()),
        state: RoomState::of(lease.as_ref()),
        session: lease.as_ref().map(|lease| SessionView::of(lease, UnixMs::now())),
        hold: hold.as_ref().map(|hold| HoldView::of(&room, hold)),
    };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(view))
}

/// Ends what is on air in a room, and may hold it. Accepted: the node cuts it at once, and the order stands until it has.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/end",
    operation_id = "endRoom",
    tag = "rooms",
    params(("room" = String, Path, description = "The room", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body(content = EndRequest, description = "May be empty"),
    responses(
        (status = 202, description = "The session is told to end", body = EndingView),
        (status = 400, description = "Bad room id or body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such room. A hold that was asked for is in force all the same, and shown as `hold`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Nobody is live in it. A hold that was asked for is in force all the same, and shown as `hold`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Registry away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn end(
    core: web::Data<Core>,
    room: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let room: RoomId = params::path("room", &room)?;
    let request: EndRequest = body::json(&core, &http, payload).await?;
    check_reason(&request.reason)?;
    let hold_for = seconds("hold_seconds", Some(request.hold_seconds), 0..=HOLD_MAX)?;
    let hold_for = hold_for.filter(|d| !d.is_zero());
    if hold_for.is_some() && matches!(trail.caller, Caller::LiveKey { .. }) {
        let detail = "a live key may end its broadcast, not hold its room: that needs the role issuer";
        return Err(Problem::new(Code::Forbidden, detail).with("role_needed", Role::Issuer.name()));
    }
    let hold = hold_for.map(|d| Hold { until: UnixMs::now().plus(d), reason: request.reason.clone() });
    let (ours, this_room) = (core.clone(), room.clone());
    let end = async move {
        let ending = ends::end(&ours, &this_room, &request.reason, hold).await?;
        let session = ending.told.as_ref().map(|lease| lease.card.session_id.to_string());
        if session.is_some() {
            let details = json!({"session_id": session, "reason": request.reason});
            trail.note(&ours, AuditAction::RoomEnded, &this_room, details);
        }
        if let Some(hold) = &ending.hold {
            trail.note(&ours, AuditAction::RoomHeld, &this_room, held(hold));
        }
        Ok(ending)
    };
    let ending = body::carry_out(end).await?;
    let hold = ending.hold.as_ref().map(|hold| HoldView::of(&room, hold));
    if let Some(lease) = ending.told {
        let (session_id, epoch) = (lease.card.session_id.to_string(), lease.card.epoch.0);
        let view = EndingView { room_id: room.to_string(), session_id, epoch, hold };
        return Ok(HttpResponse::Accepted().insert_header((CACHE_CONTROL, "no-store")).json(view));
    }
    let problem = match core.ask_db(core.live_db.room(&room)).await {
        Ok(None) => Problem::new(Code::RoomUnknown, "no producer has this room"),
        _ => Problem::new(Code::NotOnAir, "nobody is live in this room"),
    };
    Err(problem.with("hold", serde_json::to_value(hold).unwrap_or_default()))
}

/// Refuses all publishers of a room for a while, in place of an earlier hold. Does not end a live session.
#[utoipa::path(
    put,
    path = "/v1/rooms/{room}/hold",
    operation_id = "putHold",
    tag = "rooms",
    params(("room" = String, Path, description = "The room; it need not be on record", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body = HoldRequest,
    responses(
        (status = 200, description = "The hold is in force and on record", body = HoldView),
        (status = 202, description = "The hold is in force; the Live DB hears of it when it is back", body = HoldView),
        (status = 400, description = "Bad room id or body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Registry away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put_hold(
    core: web::Data<Core>,
    room: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let room: RoomId = params::path("room", &room)?;
    let HoldRequest { hold_seconds, reason } = body::json(&core, &http, payload).await?;
    check_reason(&reason)?;
    let hold_for = seconds("hold_seconds", Some(hold_seconds), 1..=HOLD_MAX)?.unwrap_or_default();
    let hold = Hold { until: UnixMs::now().plus(hold_for), reason };
    let view = HoldView::of(&room, &hold);
    let put = async move {
        let is_recorded = holds::put(&core, &room, &hold).await?;
        trail.note(&core, AuditAction::RoomHeld, &room, held(&hold));
        Ok(is_recorded)
    };
    let is_recorded = body::carry_out(put).await?;
    let mut response = if is_recorded { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    Ok(response.insert_header((CACHE_CONTROL, "no-store")).json(view))
}

/// Lifts a hold.
#[utoipa::path(
    delete,
    path = "/v1/rooms/{room}/hold",
    operation_id = "liftHold",
    tag = "rooms",
    params(("room" = String, Path, description = "The room", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses(
        (status = 202, description = "Lifted; the Live DB hears of it when it is back"),
        (status = 204, description = "Lifted"),
        (status = 400, description = "Not a room id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "It was not held", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Registry away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn lift_hold(
    core: web::Data<Core>,
    room: web::Path<String>,
    http: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let room: RoomId = params::path("room", &room)?;
    let lift = async move {
        let lifted = holds::lift(&core, &room).await?;
        if lifted.is_some() {
            trail.note(&core, AuditAction::HoldLifted, &room, json!({}));
        }
        Ok(lifted)
    };
    match body::carry_out(lift).await? {
        Some(true) => Ok(HttpResponse::NoContent().finish()),
        Some(false) => Ok(HttpResponse::Accepted().finish()),
        None => Err(Problem::new(Code::NotHeld, "there is no hold to lift")),
    }
}
