//! Live keys: looking at one, and revoking it. The key itself is never shown.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::registry::KeyRecord;
use onair_cluster::{LiveKeyId, UnixMs};
use serde_json::json;

use super::problem::{Code, Problem, ProblemBody};
use super::trail::Trail;
use super::views::{LiveKeyState, LiveKeyView};
use super::{body, params};
use crate::core::Core;
use crate::live_db::{AuditAction, KeyRow, LiveDbError};
use crate::live_keys::{self, Revocation};

impl From<KeyRow> for LiveKeyView {
    fn from(KeyRow { key, revoked, last_used_at }: KeyRow) -> Self {
        Self {
            live_key_id: key.live_key_id.to_string(),
            room_id: key.room_id.to_string(),
            producer_id: key.producer_id.to_string(),
            state: LiveKeyState::of(revoked.is_some(), key.expires_at),
            takeover: key.takeover.into(),
            max_duration_seconds: key.max_duration.map(|d| d.as_secs()),
            max_bitrate_kbps: key.max_bitrate.map(|bits| bits.div_ceil(1_000)),
            created_at: Some(key.created_at.to_rfc3339()),
            expires_at: key.expires_at.to_rfc3339(),
            revoked_at: revoked.map(|(at, _)| at.to_rfc3339()),
            revoked_why: revoked.map(|(_, why)| why.into()),
            last_used_at: last_used_at.map(UnixMs::to_rfc3339),
        }
    }
}

impl From<KeyRecord> for LiveKeyView {
    fn from(record: KeyRecord) -> Self {
        Self {
            live_key_id: record.live_key_id.to_string(),
            room_id: record.room_id.to_string(),
            producer_id: record.producer_id.to_string(),
            state: LiveKeyState::of(record.revoked, record.expires_at),
            takeover: record.takeover.into(),
            max_duration_seconds: record.max_duration.map(|d| d.as_secs()),
            max_bitrate_kbps: record.max_bitrate.map(|bits| bits.div_ceil(1_000)),
            created_at: None,
            expires_at: record.expires_at.to_rfc3339(),
            revoked_at: None,
            revoked_why: None,
            last_used_at: None,
        }
    }
}

/// A live key by its id.
#[utoipa::path(
    get,
    path = "/v1/live-keys/{live_key}",
    operation_id = "getLiveKey",
    tag = "live keys",
    params(("live_key" = String, Path, description = "The key's id, not the key", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses(
        (status = 200, description = "The key's record", body = LiveKeyView),
        (status = 400, description = "Not a live key id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Neither Live DB nor registry can tell", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(core: web::Data<Core>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let id: LiveKeyId = params::path("live_key", &id)?;
    let view: Option<LiveKeyView> = match core.ask_db(core.live_db.key(&id)).await {
        Ok(Some(row)) => Some(row.into()),
        // Not one of ours; another issuer's are on record where they are used.
        Ok(None) => core.note_registry(core.registry.key(&id).await)?.map(LiveKeyView::from),
        Err(e @ LiveDbError::Away(_)) => {
            // Whether a key is revoked is known without history.
            let record = core.note_registry(core.registry.key(&id).await)?.ok_or(e)?;
            Some(record.into())
        }
        Err(e) => return Err(e.into()),
    };
    match view {
        Some(view) => Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(view)),
        None => Err(unknown()),
    }
}

/// Revokes a live key and cuts what is on air with it.
#[utoipa::path(
    delete,
    path = "/v1/live-keys/{live_key}",
    operation_id = "revokeLiveKey",
    tag = "live keys",
    params(("live_key" = String, Path, description = "The key's id, not the key", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses(
        (status = 202, description = "Revoked; one of Live DB and registry hears of it when it is back"),
        (status = 204, description = "Revoked, now or before"),
        (status = 400, description = "Not a live key id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Neither Live DB nor registry takes it", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    core: web::Data<Core>,
    id: web::Path<String>,
    http: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let id: LiveKeyId = params::path("live_key", &id)?;
    let revoke = async move {
        let revocation = live_keys::revoke(&core, &id).await?;
        if revocation != Revocation::Unknown {
            trail.note(&core, AuditAction::LiveKeyRevoked, &id, json!({}));
        }
        Ok(revocation)
    };
    match body::carry_out(revoke).await? {
        Revocation::Recorded => Ok(HttpResponse::NoContent().finish()),
        Revocation::Owed => Ok(HttpResponse::Accepted().finish()),
        Revocation::Unknown => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::new(Code::LiveKeyUnknown, "there is no live key of this id; it may have expired long ago")
}
