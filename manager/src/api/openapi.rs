//! The API's own description, made from the code of the routes.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{broadcasts, health, issuers, live_keys, nodes, plays, producers, rooms, sessions};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Onair",
        description = "Broadcast addresses, what is live now, and what was. Everything under /v1 needs the admin token; \
                       errors are problems (RFC 9457)."
    ),
    paths(
        producers::broadcast_url,
        sessions::list,
        sessions::one,
        rooms::one,
        rooms::end,
        plays::play_url,
        rooms::put_hold,
        rooms::lift_hold,
        broadcasts::list,
        live_keys::one,
        live_keys::revoke,
        issuers::revoke,
        nodes::list,
        nodes::drain,
        health::livez,
        health::readyz,
        health::metrics,
        health::jwks,
        document,
    ),
    modifiers(&Tokens)
)]
pub(super) struct Description;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The admin token")).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("admin_token", SecurityScheme::Http(scheme));
    }
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| Description::openapi().to_json().unwrap_or_default());

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getDescription",
    tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn document() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .body(DOCUMENT.as_str())
}
