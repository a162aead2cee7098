//! Other issuers of live keys: refusing a key of theirs, also one that was never shown here.

use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::live_key::LEEWAY;
use onair_cluster::registry::{KeyRecord, Takeover};
use onair_cluster::{ProducerId, RoomId, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::body;
use super::problem::{Code, Problem, ProblemBody};
use super::producers::seconds;
use super::trail::Trail;
use crate::core::Core;
use crate::live_db::AuditAction;
use crate::live_keys::{self, Revocation};

/// Denials are kept for ten years at most.
const KEEP_MAX: u64 = 3_650 * 86_400;
/// Whose a key is that nobody has shown yet does not matter to its refusal.
const NOBODY: &str = "unknown";

/// Which key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationRequest {
    /// The claim `jti` of the key.
    #[schema(min_length = 1, max_length = 256)]
    jti: String,
    /// The claim `room`.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room_id: String,
    /// Refuse it for so long: at least until the key expires. Unless given, for as long as a key of this issuer may live.
    #[schema(minimum = 1, maximum = 315_360_000)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    keep_seconds: Option<u64>,
}

/// A key that is refused from now on.
#[derive(Serialize, ToSchema)]
pub(super) struct RevocationView {
    /// The id that the key has here.
    live_key_id: String,
    /// When the refusal may be forgotten.
    kept_until: String,
}

/// Revokes a key of another issuer, whether or not it was ever used, and cuts what is on air with it.
#[utoipa::path(
    post,
    path = "/v1/issuers/{issuer}/revocations",
    operation_id = "revokeForeignKey",
    tag = "live keys",
    params(("issuer" = String, Path, description = "The issuer's name in the configuration", pattern = "^[a-z0-9]{1,16}$")),
    request_body = RevocationRequest,
    responses(
        (status = 200, description = "Revoked, now or before", body = RevocationView),
        (status = 202, description = "Revoked; one of Live DB and registry hears of it when it is back", body = RevocationView),
        (status = 400, description = "Bad body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such issuer", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Neither Live DB nor registry takes it", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    core: web::Data<Core>,
    name: web::Path<String>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let RevocationRequest { jti, room_id, keep_seconds } = body::json(&core, &http, payload).await?;
    let issuer = core.issuers.iter().find(|issuer| issuer.terms().name == *name);
    let issuer = issuer.ok_or_else(|| Problem::new(Code::IssuerUnknown, "no such issuer is configured"))?;
    let room_id = RoomId::parse(&room_id).map_err(|e| wrong("room_id", &e.to_string()))?;
    let live_key_id =
        issuer.live_key_id(&room_id, &jti).ok_or_else(|| wrong("jti", "a jti is 1 to 256 bytes"))?;
    let keep = seconds("keep_seconds", keep_seconds, 1..=KEEP_MAX)?;
    let keep: Duration = keep.unwrap_or_else(|| issuer.terms().lifetime_max) + LEEWAY;
    let producer_id = ProducerId::parse(NOBODY).map_err(|_| Problem::new(Code::Internal, "no producer"))?;
    let record = KeyRecord {
        live_key_id,
        room_id,
        producer_id,
        takeover: Takeover::Never,
        max_duration: None,
        max_bitrate: None,
        revoked: true,
        expires_at: UnixMs::now().plus(keep),
    };
    let view = RevocationView {
        live_key_id: record.live_key_id.to_string(),
        kept_until: record.expires_at.to_rfc3339(),
    };
    let deny = async move {
        let revocation = live_keys::deny(&core, &record).await?;
        let details = json!({"issuer": *name, "room_id": record.room_id.as_str()});
        trail.note(&core, AuditAction::ForeignKeyRevoked, &record.live_key_id, details);
        Ok(revocation)
    };
    let revocation = body::carry_out(deny).await?;
    let mut response = match revocation {
        Revocation::Recorded => HttpResponse::Ok(),
        Revocation::Owed | Revocation::Unknown => HttpResponse::Accepted(),
    };
    Ok(response.insert_header((CACHE_CONTROL, "no-store")).json(view))
}

fn wrong(parameter: &str, why: &str) -> Problem {
    Problem::new(Code::BadBody, format!("{parameter}: {why}")).with("parameter", parameter)
}
