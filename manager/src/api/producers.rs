//! Producers: handing out broadcast addresses.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::ProducerId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem, ProblemBody};
use super::views::{AddressView, TakeoverName};
use super::{body, params};
use crate::address::{self, AddressWish};
use crate::core::Core;

/// What the new key shall be like. All of it may be left out.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(super) struct AddressRequest {
    /// How long the key opens its room; 30 days unless configured otherwise. At least 60.
    expires_in_seconds: Option<u64>,
    /// When a publisher with this key may take the room over from another.
    takeover: TakeoverName,
    /// The longest a session with this key may last. At least 1.
    max_duration_seconds: Option<u64>,
}

/// A key that lives shorter may expire while its address is being pasted.
const LIFETIME_MIN: u64 = 60;
/// Longer than any session: 30 days.
const DURATION_MAX: u64 = 30 * 86_400;

impl AddressRequest {
    fn wish(&self, lifetime_max: Duration) -> Result<AddressWish, Problem> {
        let lifetime = LIFETIME_MIN..=lifetime_max.as_secs();
        Ok(AddressWish {
            lifetime: seconds("expires_in_seconds", self.expires_in_seconds, lifetime)?,
            takeover: self.takeover.into(),
            max_duration: seconds("max_duration_seconds", self.max_duration_seconds, 1..=DURATION_MAX)?,
        })
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
    params(("producer" = String, Path, description = "1 to 128 characters of A-Z a-z 0-9 _ - . : @ +")),
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
    let key = address.live_key.expose().to_owned();
    let view = AddressView {
        url: address.url(),
        room_id: address.room_id.to_string(),
        live_key_id: address.live_key_id.to_string(),
        live_key: key.clone(),
        server: address.server,
        stream_key: key,
        expires_at: address.expires_at.to_rfc3339(),
    };
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, format!("/v1/live-keys/{}", view.live_key_id)))
        .json(view))
}
