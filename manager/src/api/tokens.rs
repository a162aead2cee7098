//! API tokens: making one, which is shown once, listing them without their secrets, and revoking one.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use onair_cluster::UnixMs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::body;
use super::params::{self, Params};
use super::problem::{Code, Problem, ProblemBody};
use super::producers::seconds;
use super::trail::Trail;
use crate::core::Core;
use crate::live_db::{AuditAction, TokenId, TokenRow};
use crate::role::Role;
use crate::tokens;

/// Characters of a name.
const NAME_MAX: usize = 64;
/// The shortest and the longest lifetime: a minute, ten years.
const LIFETIMES: std::ops::RangeInclusive<u64> = 60..=3_650 * 86_400;

/// Which token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// What people call it: who or what will bear it. No control characters.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")]
    name: String,
    /// What its bearer may do.
    role: Role,
    /// How long it is good; unless given, until it is revoked.
    #[schema(minimum = 60, maximum = 315_360_000)]
    #[serde(default, deserialize_with = "body::whole_or_null")]
    expires_in_seconds: Option<u64>,
}

/// A token. Secret: it is not shown again.
#[derive(Serialize, ToSchema)]
pub(super) struct NewTokenView {
    token_id: String,
    name: String,
    role: Role,
    /// What to bear: `Authorization: Bearer …`.
    token: String,
    created_at: String,
    /// Null: when it is revoked.
    expires_at: Option<String>,
}

/// A token, without the token.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenView {
    token_id: String,
    name: String,
    role: Role,
    state: TokenState,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// When it was last borne, to within a minute.
    last_used_at: Option<String>,
}

/// Whether a token is good.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TokenState {
    Active,
    Revoked,
    Expired,
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenList {
    items: Vec<TokenView>,
    /// For `after`; null on the last page.
    next: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document is made from it; requests are read by Params")]
pub(super) struct TokenListParams {
    /// Items of a page; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the page before.
    #[param(pattern = "^[0-9a-f]{16}$")]
    after: Option<String>,
}

impl From<&TokenRow> for TokenView {
    fn from(TokenRow { token, revoked_at, last_used_at }: &TokenRow) -> Self {
        let is_over = token.expires_at.is_some_and(|at| at <= UnixMs::now());
        Self {
            token_id: token.token_id.to_string(),
            name: token.name.clone(),
            role: token.role,
            state: match (revoked_at, is_over) {
                (Some(_), _) => TokenState::Revoked,
                (None, true) => TokenState::Expired,
                (None, false) => TokenState::Active,
            },
            created_at: token.created_at.to_rfc3339(),
            expires_at: token.expires_at.map(UnixMs::to_rfc3339),
            revoked_at: revoked_at.map(UnixMs::to_rfc3339),
            last_used_at: last_used_at.map(UnixMs::to_rfc3339),
        }
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    if (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let detail = format!("name must have 1 to {NAME_MAX} characters, none of them a control character");
    Err(Problem::new(Code::BadBody, detail).with("parameter", "name"))
}

/// Makes an API token. Good on this Manager at once, and on all others within two seconds.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    operation_id = "createToken",
    tag = "tokens",
    request_body = TokenRequest,
    responses(
        (status = 201, description = "The token. Not shown again.", body = NewTokenView),
        (status = 400, description = "Bad body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "There are 1 000 valid tokens; revoke some", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    core: web::Data<Core>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let TokenRequest { name, role, expires_in_seconds } = body::json(&core, &http, payload).await?;
    check_name(&name)?;
    let lifetime: Option<Duration> = seconds("expires_in_seconds", expires_in_seconds, LIFETIMES)?;
    let made = body::carry_out(async move {
        let made = tokens::make(&core, name, role, lifetime).await?;
        if let Some(made) = &made {
            let details = json!({"name": made.token.name, "role": role});
            trail.note(&core, AuditAction::TokenCreated, &made.token.token_id, details);
        }
        Ok(made)
    });
    let made = made.await?.ok_or_else(|| {
        let max = tokens::VALID_MAX;
        Problem::new(Code::TooManyTokens, format!("there are {max} valid tokens already; revoke some first"))
    })?;
    let view = NewTokenView {
        token_id: made.token.token_id.to_string(),
        name: made.token.name,
        role,
        token: made.secret,
        created_at: made.token.created_at.to_rfc3339(),
        expires_at: made.token.expires_at.map(UnixMs::to_rfc3339),
    };
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, "/v1/tokens"))
        .json(view))
}

/// All tokens, by id; revoked and expired ones too, for as long as history is kept.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    operation_id = "listTokens",
    tag = "tokens",
    params(TokenListParams),
    responses(
        (status = 200, description = "A page", body = TokenList),
        (status = 400, description = "Unknown or bad parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(core: web::Data<Core>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request.query_string())?;
    let after: Option<TokenId> = params.take("after")?;
    let limit = params.take_limit(&core.config.limits)?;
    params.finish()?;
    let rows = core.ask_db(core.live_db.tokens(after.as_ref(), limit + 1)).await?;
    let (rows, next) = params::page(rows, limit, |row| row.token.token_id.to_string());
    let items = rows.iter().map(TokenView::from).collect();
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(TokenList { items, next }))
}

/// Revokes a token. It is good no longer on this Manager, and within two seconds on all others.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{token}",
    operation_id = "revokeToken",
    tag = "tokens",
    params(("token" = String, Path, description = "The token's id, not the token", pattern = "^[0-9a-f]{16}$")),
    responses(
        (status = 204, description = "Revoked, now or before"),
        (status = 400, description = "Not a token id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such token", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Live DB away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    core: web::Data<Core>,
    id: web::Path<String>,
    http: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let trail = Trail::of(&http)?;
    let id: TokenId = params::path("token", &id)?;
    let revoked = body::carry_out(async move {
        let row = tokens::revoke(&core, &id).await?;
        if let Some(row) = &row {
            trail.note(&core, AuditAction::TokenRevoked, &id, json!({"name": row.token.name}));
        }
        Ok(row)
    });
    match revoked.await? {
        Some(_) => Ok(HttpResponse::NoContent().finish()),
        None => Err(Problem::new(Code::TokenUnknown, "there is no token of this id; see /v1/tokens")),
    }
}
