//! Rotating a producer's live keys.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::ProducerId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::problem::{Problem, ProblemBody};
use super::producers::{AddressRequest, seconds};
use super::trail::Trail;
use super::views::{AddressView, TakeoverName};
use super::{body, params};
use crate::core::Core;
use crate::live_db::AuditAction;
use crate::rotation;

/// How to exchange the keys, and what the new one shall be like. All of it may be left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RotateRequest {
    /// How long the older keys may still start a broadcast. Unless given, or 0, they are revoked at once, and what is on air with
    /// one of them is cut. At most a week.
    #[schema(minimum = 0, maximum = 604_800)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    overlap_seconds: Option<u64>,
    /// As for `broadcast-url`.
    #[schema(minimum = 60)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    expires_in_seconds: Option<u64>,
    /// As for `broadcast-url`.
    takeover: TakeoverName,
    /// As for `broadcast-url`.
    #[schema(minimum = 1, maximum = 2_592_000)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    max_duration_seconds: Option<u64>,
    /// As for `broadcast-url`.
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    max_bitrate_kbps: Option<u64>,
}

/// The longest overlap: a week.
const OVERLAP_MAX: u64 = 7 * 86_400;

/// A new address, and what became of the older keys.
#[derive(Serialize, ToSchema)]
pub(super) struct RotationView {
    /// Not shown again.
    address: AddressView,
    /// The older keys, by id.
    ended: Vec<String>,
    /// When they open the room no longer.
    ended_at: String,
}

/// A new broadcast address for a producer, in place of all older ones.
#[utoipa::path(
    post,
    path = "/v1/producers/{producer}/live-keys/rotate",
    operation_id = "rotateLiveKeys",
    tag = "producers",
    params(("producer" = String, Path, description = "The producer", max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")),
    request_body(content = RotateRequest, description = "May be empty"),
    responses(
        (status = 201, description = "The new address", body = RotationView),
        (status = 400, description = "Bad producer id or body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB or registry away. The new key may be there already, and older ones may have ended; ask again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate(
    core: web::Data<Core>,
    producer: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let producer: ProducerId = params::path("producer", &producer)?;
    let RotateRequest {
        overlap_seconds,
        expires_in_seconds,
        takeover,
        max_duration_seconds,
        max_bitrate_kbps,
    } = body::json(&core, &http, payload).await?;
    let overlap: Duration = seconds("overlap_seconds", overlap_seconds, 0..=OVERLAP_MAX)?.unwrap_or_default();
    let wish = AddressRequest { expires_in_seconds, takeover, max_duration_seconds, max_bitrate_kbps };
    let wish = wish.wish(core.config.live_key_ttl_max)?;
    let rotation = body::carry_out(async move {
        let rotation = rotation::rotate(&core, &producer, &wish, overlap).await?;
        let details = json!({
            "room_id": rotation.address.room_id.as_str(),
            "live_key_id": rotation.address.live_key_id.as_str(),
            "ended": rotation.ended.len(),
            "overlap_seconds": overlap.as_secs(),
        });
        trail.note(&core, AuditAction::LiveKeysRotated, &producer, details);
        Ok(rotation)
    });
    let rotation = rotation.await?;
    let location = format!("/v1/live-keys/{}", rotation.address.live_key_id);
    let view = RotationView {
        address: AddressView::from(rotation.address),
        ended: rotation.ended.iter().map(ToString::to_string).collect(),
        ended_at: rotation.ended_at.to_rfc3339(),
    };
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, location))
        .json(view))
}
