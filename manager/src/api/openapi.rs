//! The API's own description, made from the code of the routes.

use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use serde_json::Value;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::problem::Code;
use super::{Access, Entry, table};
use super::{
    audit, broadcasts, events, health, issuers, key_list, live_keys, nodes, plays, producers, rooms, rotate,
    sessions, tokens, totals,
};
use crate::core::Core;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Onair",
        description = "Broadcast addresses, what is live now, and what was. Everything under /v1 needs a token; each operation \
                       says which role it needs. Errors are problems (RFC 9457)."
    ),
    paths(
        producers::broadcast_url,
        producers::put,
        producers::one,
        producers::list,
        rotate::rotate,
        sessions::list,
        sessions::one,
        rooms::one,
        rooms::end,
        plays::play_url,
        rooms::put_hold,
        rooms::lift_hold,
        broadcasts::list,
        totals::totals,
        events::listen,
        key_list::list,
        live_keys::one,
        live_keys::revoke,
        issuers::revoke,
        nodes::list,
        nodes::drain,
        tokens::create,
        tokens::list,
        tokens::revoke,
        audit::list,
        health::livez,
        health::readyz,
        health::metrics,
        health::jwks,
        document,
    ),
    modifiers(&Admission)
)]
pub(super) struct Description;

/// What the table of routes says, for each operation: which role it needs, and the refusals that come before its handler.
struct Admission;

impl Modify for Admission {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, text) in [
            (TOKEN, "The admin token, an API token, or a JWT of a platform's own issuer: each has a role"),
            (LIVE_KEY, "A live key: it may end the broadcast in its own room"),
        ] {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
        for Entry { method, path, access, .. } in table() {
            let Some(item) = document.paths.paths.get_mut(path) else { continue };
            let operation = match method {
                Method::GET => &mut item.get,
                Method::POST => &mut item.post,
                Method::PUT => &mut item.put,
                Method::DELETE => &mut item.delete,
                _ => continue,
            };
            if let Some(operation) = operation {
                describe(operation, access);
            }
        }
    }
}

fn describe(operation: &mut Operation, access: Access) {
    // The macro takes every body for required.
    if let Some(body) = &mut operation.request_body
        && body.description.as_deref() == Some(MAY_BE_EMPTY)
    {
        body.required = Some(Required::False);
    }
    let responses = &mut operation.responses.responses;
    let mut may = |status: &str, text: String| {
        let response = ResponseBuilder::new().description(text);
        let problem = Content::new(Some(Ref::from_schema_name("ProblemBody")));
        let response = response.content("application/problem+json", problem).build();
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(response));
    };
    if access != Access::Probe {
        may("429", "Too many requests; `Retry-After` says when to try again".to_owned());
    }
    let Some(role) = access.role() else { return };
    may("401", "No good token".to_owned());
    let or_key = if matches!(access, Access::RoleOrLiveKey(_)) { ", or a live key of the room" } else { "" };
    may("403", format!("The token is not enough: this needs the role `{role}`{or_key}"));
    let description = operation.description.take().unwrap_or_default();
    let text = format!("{description}\n\nNeeds the role `{role}`{or_key}.");
    operation.description = Some(text.trim_start().to_owned());
    let scheme = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    let mut security = vec![scheme(TOKEN)];
    if matches!(access, Access::RoleOrLiveKey(_)) {
        security.push(scheme(LIVE_KEY));
    }
    operation.security = Some(security);
}

/// What routes say of a body that may be left out.
const MAY_BE_EMPTY: &str = "May be empty";
/// The schemes, by name.
const TOKEN: &str = "token";
const LIVE_KEY: &str = "live_key";

/// The document as it is served: a few bounds are the operator's.
pub(super) struct Document(String);

impl Document {
    pub(super) fn of(core: &Core) -> Self {
        let mut document = serde_json::to_value(Description::openapi()).unwrap_or_default();
        for body in ["AddressRequest", "RotateRequest"] {
            let lifetime =
                document.pointer_mut(&format!("/components/schemas/{body}/properties/expires_in_seconds"));
            if let Some(Value::Object(lifetime)) = lifetime {
                lifetime.insert("maximum".to_owned(), core.config.live_key_ttl_max.as_secs().into());
            }
        }
        let codes = document.pointer_mut("/components/schemas/ProblemBody/properties/code");
        if let Some(Value::Object(codes)) = codes {
            codes.insert("enum".to_owned(), Code::ALL.map(Code::name).to_vec().into());
        }
        Self(document.to_string())
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getDescription",
    tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn document(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .body(document.0.clone())
}
