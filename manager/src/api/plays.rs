//! Play addresses: where viewers find a room, with the token that they need if the cluster asks for one.

use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::{RoomId, UnixMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{Problem, ProblemBody};
use super::producers::seconds;
use super::{body, params};
use crate::ManagerError;
use crate::core::Core;

/// A token gates the start of playing, so it need not outlive the moment by much. One hour.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// The shortest and the longest: ten seconds, 30 days.
const LIFETIMES: std::ops::RangeInclusive<u64> = 10..=30 * 86_400;

/// What the address shall be like. All of it may be left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PlayRequest {
    /// How long playing may be started with it; one hour unless given. 10 seconds to 30 days. Who plays stays when it is over.
    #[schema(minimum = 10, maximum = 2_592_000)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    expires_in_seconds: Option<u64>,
}

/// An address to play.
#[derive(Serialize, ToSchema)]
pub(super) struct PlayView {
    room_id: String,
    /// `rtmp://host/room/live`, with `?token=...` where players need one: as secret as what it shows.
    url: String,
    /// The token alone; null where everyone may play.
    token: Option<String>,
    /// Null where everyone may play.
    expires_at: Option<String>,
}

/// An address by which a room can be played. The room need not be on air, nor on record: players are told of neither.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/play-url",
    operation_id = "createPlayUrl",
    tag = "rooms",
    params(("room" = String, Path, description = "The room", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body(content = PlayRequest, description = "May be empty"),
    responses(
        (status = 201, description = "The address", body = PlayView),
        (status = 400, description = "Bad room id or body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn play_url(
    core: web::Data<Core>,
    room: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let room: RoomId = params::path("room", &room)?;
    let PlayRequest { expires_in_seconds } = body::json(&core, &http, payload).await?;
    let lifetime = seconds("expires_in_seconds", expires_in_seconds, LIFETIMES)?.unwrap_or(LIFETIME);
    let mut view = PlayView {
        room_id: room.to_string(),
        url: format!("rtmp://{}/{room}/live", core.config.media_domain),
        token: None,
        expires_at: None,
    };
    if core.config.play_needs_token {
        // Cut to seconds, as the token itself is.
        let expires = UnixMs(UnixMs::now().plus(lifetime).0 / 1_000 * 1_000);
        let token = core.signer.mint_play(&room, expires).map_err(ManagerError::from)?;
        view.url = format!("{}?token={}", view.url, token.expose());
        view.token = Some(token.expose().to_owned());
        view.expires_at = Some(expires.to_rfc3339());
    }
    Ok(HttpResponse::Created().insert_header((CACHE_CONTROL, "no-store")).json(view))
}
