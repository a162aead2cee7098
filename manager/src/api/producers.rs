//! Producers: putting them on record with their rooms, looking at them, and handing out broadcast addresses.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::{ProducerId, RoomId, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::body;
use super::params::{self, Params};
use super::problem::{Code, Problem, ProblemBody};
use super::totals::TotalsView;
use super::trail::Trail;
use super::views::{AddressView, RoomState, TakeoverName};
use crate::address::{self, AddressWish};
use crate::core::Core;
use crate::live_db::{AuditAction, RoomRow, TotalsOf};

/// What the new key shall be like. All of it may be left out.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(super) struct AddressRequest {
    /// How long the key opens its room; 30 days unless configured otherwise. At least 60.
    #[schema(minimum = 60)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    pub(super) expires_in_seconds: Option<u64>,
    /// When a publisher with this key may take the room over from another.
    pub(super) takeover: TakeoverName,
    /// The longest a session with this key may last. At least 1.
    #[schema(minimum = 1, maximum = 2_592_000)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    pub(super) max_duration_seconds: Option<u64>,
    /// The most that a session with this key may send, in kilobits per second; one that sends more for longer ends as `policy`.
    /// At least 1.
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    pub(super) max_bitrate_kbps: Option<u64>,
}

/// A key that lives shorter may expire while its address is being pasted.
const LIFETIME_MIN: u64 = 60;
/// Longer than any session: 30 days.
const DURATION_MAX: u64 = 30 * 86_400;
/// More than any encoder sends: a gigabit per second.
const KBPS_MAX: u64 = 1_000_000;

impl AddressRequest {
    pub(super) fn wish(&self, lifetime_max: Duration) -> Result<AddressWish, Problem> {
        let lifetime = LIFETIME_MIN..=lifetime_max.as_secs();
        Ok(AddressWish {
            lifetime: seconds("expires_in_seconds", self.expires_in_seconds, lifetime)?,
            takeover: self.takeover.into(),
            max_duration: seconds("max_duration_seconds", self.max_duration_seconds, 1..=DURATION_MAX)?,
            max_bitrate: self.max_bitrate()?,
        })
    }
}

impl AddressRequest {
    /// In bits per second.
    fn max_bitrate(&self) -> Result<Option<u64>, Problem> {
        match self.max_bitrate_kbps {
            Some(kbps) if !(1..=KBPS_MAX).contains(&kbps) => {
                let detail = format!("max_bitrate_kbps must be from 1 to {KBPS_MAX}");
                Err(Problem::new(Code::BadBody, detail).with("parameter", "max_bitrate_kbps"))
            }
            kbps => Ok(kbps.map(|kbps| kbps * 1_000)),
        }
    }
}

/// A number of seconds from a body, within bounds.
pub(super) fn seconds(
    name: &str,
    value: Option<u64>,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<Option<Duration>, Problem> {
    match value {
        Some(n) if !bounds.contains(&n) => {
            let detail = format!("{name} must be from {} to {}", bounds.start(), bounds.end());
            Err(Problem::new(Code::BadBody, detail).with("parameter", name))
        }
        other => Ok(other.map(Duration::from_secs)),
    }
}

/// A new broadcast address for a producer. Makes their room the first time; older addresses stay valid, up to eight.
#[utoipa::path(
    post,
    path = "/v1/producers/{producer}/broadcast-url",
    operation_id = "createBroadcastUrl",
    tag = "producers",
    params(("producer" = String, Path, description = "1 to 128 characters of A-Z a-z 0-9 _ - . : @ +", max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")),
    request_body(content = AddressRequest, description = "May be empty"),
    responses(
        (status = 201, description = "The address. Not shown again.", body = AddressView),
        (status = 400, description = "Bad producer id or body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB or registry away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn broadcast_url(
    core: web::Data<Core>,
    producer: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let producer: ProducerId = params::path("producer", &producer)?;
    let request: AddressRequest = body::json(&core, &http, payload).await?;
    let wish = request.wish(core.config.live_key_ttl_max)?;
    let issue = async move { address::issue(&core, &producer, &wish).await };
    let address = body::carry_out(issue).await?;
    let view = AddressView::from(address);
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, format!("/v1/live-keys/{}", view.live_key_id)))
        .json(view))
}

/// A producer's room. All of it may be left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProducerRequest {
    /// The room that it shall be; unless given, a producer without one gets one with a random id. Viewers address it.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room_id: Option<String>,
}

/// A producer and their room.
#[derive(Serialize, ToSchema)]
pub(super) struct ProducerItem {
    producer_id: String,
    room_id: String,
    created_at: String,
}

/// A producer, and what they broadcast.
#[derive(Serialize, ToSchema)]
pub(super) struct ProducerView {
    producer_id: String,
    room_id: String,
    created_at: String,
    /// What happens in the room now; null while the registry does not answer.
    state: Option<RoomState>,
    totals: TotalsView,
}

/// A page of producers.
#[derive(Serialize, ToSchema)]
pub(super) struct ProducerList {
    items: Vec<ProducerItem>,
    /// For `after`; null on the last page.
    next: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document is made from it; requests are read by Params")]
pub(super) struct ProducerListParams {
    /// Items of a page; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the page before.
    #[param(max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")]
    after: Option<String>,
}

async fn view(core: &Core, room: &RoomRow) -> Result<ProducerView, Problem> {
    let totals = core.ask_db(core.live_db.totals(&TotalsOf::Room(room.room_id.clone()))).await?;
    let lease = core.note_registry(core.registry.lease(&room.room_id).await);
    Ok(ProducerView {
        producer_id: room.producer_id.to_string(),
        room_id: room.room_id.to_string(),
        created_at: room.created_at.to_rfc3339(),
        state: lease.ok().map(|lease| RoomState::of(lease.as_ref())),
        totals: totals.into(),
    })
}

/// Puts a producer on record, with the room that the platform names or a new one. Asked again, it changes nothing.
#[utoipa::path(
    put,
    path = "/v1/producers/{producer}",
    operation_id = "putProducer",
    tag = "producers",
    params(("producer" = String, Path, description = "1 to 128 characters of A-Z a-z 0-9 _ - . : @ +", max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")),
    request_body(content = ProducerRequest, description = "May be empty"),
    responses(
        (status = 200, description = "They were on record, with this room", body = ProducerView),
        (status = 201, description = "They are now", body = ProducerView),
        (status = 400, description = "Bad producer id or body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`room_taken`: it is another producer's. `other_room`: the producer has another one, shown as `room_id`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    core: web::Data<Core>,
    producer: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let producer: ProducerId = params::path("producer", &producer)?;
    let ProducerRequest { room_id } = body::json(&core, &http, payload).await?;
    let wanted: Option<RoomId> = room_id
        .as_deref()
        .map(RoomId::parse)
        .transpose()
        .map_err(|e| Problem::new(Code::BadBody, format!("room_id: {e}")).with("parameter", "room_id"))?;
    let ours = core.clone();
    let (room, is_new) = body::carry_out(async move {
        if let Some(room) = ours.ask_db(ours.live_db.room_of(&producer)).await? {
            return Ok((room, false));
        }
        let now = UnixMs::now();
        let candidate = wanted.unwrap_or_else(RoomId::random);
        let room = ours.ask_db(ours.live_db.ensure_room(&producer, &candidate, now)).await?;
        // Else somebody else has just done so.
        let is_new = room.room_id == candidate;
        if is_new {
            let details = json!({"room_id": room.room_id.as_str()});
            trail.note(&ours, AuditAction::ProducerCreated, &producer, details);
        }
        Ok((room, is_new))
    })
    .await?;
    if room_id.is_some_and(|wanted| wanted != room.room_id.as_str()) {
        let detail = "the producer has another room, and rooms are for good";
        return Err(Problem::new(Code::OtherRoom, detail).with("room_id", room.room_id.as_str()));
    }
    let view = view(&core, &room).await?;
    let mut response = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.insert_header((CACHE_CONTROL, "no-store")).json(view))
}

/// A producer, their room, what happens there now, and what they have broadcast in all.
#[utoipa::path(
    get,
    path = "/v1/producers/{producer}",
    operation_id = "getProducer",
    tag = "producers",
    params(("producer" = String, Path, description = "The producer", max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")),
    responses(
        (status = 200, description = "The producer", body = ProducerView),
        (status = 400, description = "Not a producer id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Not on record", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(core: web::Data<Core>, producer: web::Path<String>) -> Result<HttpResponse, Problem> {
    let producer: ProducerId = params::path("producer", &producer)?;
    let room = core.ask_db(core.live_db.room_of(&producer)).await?;
    let room = room.ok_or_else(|| Problem::new(Code::ProducerUnknown, "this producer is not on record"))?;
    let view = view(&core, &room).await?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(view))
}

/// Producers on record and their rooms, by producer.
#[utoipa::path(
    get,
    path = "/v1/producers",
    operation_id = "listProducers",
    tag = "producers",
    params(ProducerListParams),
    responses(
        (status = 200, description = "A page", body = ProducerList),
        (status = 400, description = "Unknown or bad parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(core: web::Data<Core>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request.query_string())?;
    let after: Option<ProducerId> = params.take("after")?;
    let limit = params.take_limit(&core.config.limits)?;
    params.finish()?;
    let rows = core.ask_db(core.live_db.producers(after.as_ref(), limit + 1)).await?;
    let (rows, next) = params::page(rows, limit, |row| row.producer_id.to_string());
    let item = |row: RoomRow| ProducerItem {
        producer_id: row.producer_id.to_string(),
        room_id: row.room_id.to_string(),
        created_at: row.created_at.to_rfc3339(),
    };
    let items = rows.into_iter().map(item).collect();
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(ProducerList { items, next }))
}
