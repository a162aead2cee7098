//! The HTTP face: the table of its routes, and what holds for all of them.
//!
//! Everything under `/v1` needs a token as `Authorization: Bearer`, whose role is at least the one in the table. Health, metrics, the key set and the API's own
//! description need none: they hold no secret, orchestrators and scrapers cannot log in, and the default bind is loopback.
//! Every error is a problem (RFC 9457); every answer carries `X-Request-Id`.

mod admit;
mod audit;
mod body;
mod broadcasts;
mod events;
mod frame;
pub(crate) mod health;
mod issuers;
mod key_list;
mod live_keys;
mod nodes;
mod openapi;
mod params;
mod plays;
mod problem;
mod producers;
mod rooms;
mod rotate;
pub(crate) mod server;
mod sessions;
mod tokens;
mod totals;
mod trail;
mod views;

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::{HttpResponse, Route, guard, web};

pub(crate) use self::admit::Access;
use self::problem::{Code, Problem};
use crate::role::Role;

/// One row of the table.
pub(crate) struct Entry {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    route: Route,
}

/// All routes. What stands here is served, and nothing else; a test holds the OpenAPI document to it.
#[rustfmt::skip]
pub(crate) fn table() -> Vec<Entry> {
    let row = |access, method: Method, path, route| Entry { method, path, access, route };
    let (viewer, issuer, admin) = (Access::Role(Role::Viewer), Access::Role(Role::Issuer), Access::Role(Role::Admin));
    let issuer_or_live_key = Access::RoleOrLiveKey(Role::Issuer);
    let (open, probe) = (Access::Open, Access::Probe);
    use web::to;
    vec![
        row(issuer,             Method::POST,   "/v1/producers/{producer}/broadcast-url", to(producers::broadcast_url)),
        row(issuer,             Method::PUT,    "/v1/producers/{producer}",               to(producers::put)),
        row(viewer,             Method::GET,    "/v1/producers/{producer}",               to(producers::one)),
        row(viewer,             Method::GET,    "/v1/producers",                          to(producers::list)),
        row(issuer,             Method::POST,   "/v1/producers/{producer}/live-keys/rotate", to(rotate::rotate)),
        row(viewer,             Method::GET,    "/v1/sessions",                           to(sessions::list)),
        row(viewer,             Method::GET,    "/v1/sessions/{session}",                 to(sessions::one)),
        row(viewer,             Method::GET,    "/v1/rooms/{room}",                       to(rooms::one)),
        row(issuer_or_live_key, Method::POST,   "/v1/rooms/{room}/end",                   to(rooms::end)),
        row(issuer,             Method::POST,   "/v1/rooms/{room}/play-url",              to(plays::play_url)),
        row(issuer,             Method::PUT,    "/v1/rooms/{room}/hold",                  to(rooms::put_hold)),
        row(issuer,             Method::DELETE, "/v1/rooms/{room}/hold",                  to(rooms::lift_hold)),
        row(viewer,             Method::GET,    "/v1/broadcasts",                         to(broadcasts::list)),
        row(viewer,             Method::GET,    "/v1/totals",                             to(totals::totals)),
        row(viewer,             Method::GET,    "/v1/events",                             to(events::listen)),
        row(viewer,             Method::GET,    "/v1/live-keys",                          to(key_list::list)),
        row(viewer,             Method::GET,    "/v1/live-keys/{live_key}",               to(live_keys::one)),
        row(issuer,             Method::DELETE, "/v1/live-keys/{live_key}",               to(live_keys::revoke)),
        row(admin,              Method::POST,   "/v1/issuers/{issuer}/revocations",       to(issuers::revoke)),
        row(viewer,             Method::GET,    "/v1/nodes",                              to(nodes::list)),
        row(admin,              Method::POST,   "/v1/nodes/{node}/drain",                 to(nodes::drain)),
        row(admin,              Method::POST,   "/v1/tokens",                             to(tokens::create)),
        row(admin,              Method::GET,    "/v1/tokens",                             to(tokens::list)),
        row(admin,              Method::DELETE, "/v1/tokens/{token}",                     to(tokens::revoke)),
        row(admin,              Method::GET,    "/v1/audit",                              to(audit::list)),
        row(probe,              Method::GET,    "/livez",                                 to(health::livez)),
        row(probe,              Method::GET,    "/readyz",                                to(health::readyz)),
        row(probe,              Method::GET,    "/metrics",                               to(health::metrics)),
        row(open,               Method::GET,    "/openapi.json",                          to(openapi::document)),
        row(open,               Method::GET,    "/.well-known/jwks.json",                 to(health::jwks)),
    ]
}

/// What a process without a Manager serves: whether it is alive and ready, and its metrics. None needs a token.
pub(crate) fn configure_health(config: &mut web::ServiceConfig) {
    for (path, route) in [
        ("/livez", web::get().to(health::livez)),
        ("/readyz", web::get().to(health::readyz)),
        ("/metrics", web::get().to(health::metrics)),
    ] {
        config.route(path, route);
    }
}

/// Serves the table. A known path with another method answers 405 and says which it takes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let mut paths: BTreeMap<&str, Vec<(Method, Route)>> = BTreeMap::new();
    for Entry { method, path, route, .. } in table() {
        paths.entry(path).or_default().push((method, route));
    }
    for (path, routes) in paths {
        let mut allowed = Vec::new();
        let mut resource = web::resource(path);
        for (method, route) in routes {
            allowed.push(method.as_str().to_owned());
            // HEAD is GET without the body, which the encoder leaves out.
            let route = if method == Method::GET {
                allowed.push("HEAD".to_owned());
                route.guard(guard::Any(guard::Get()).or(guard::Head()))
            } else {
                route.method(method)
            };
            resource = resource.route(route);
        }
        let allowed = allowed.join(", ");
        config.service(resource.default_service(web::to(move || {
            let problem = Problem::new(Code::MethodNotAllowed, format!("this path takes {allowed}"));
            std::future::ready(Err::<HttpResponse, _>(problem.allow(&allowed)))
        })));
    }
    config.default_service(web::to(|| {
        std::future::ready(Err::<HttpResponse, _>(Problem::new(
            Code::NotFound,
            "there is nothing at this path",
        )))
    }));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::OpenApi;

    use super::*;

    #[test]
    fn the_document_describes_the_table_and_nothing_else() {
        let document = serde_json::to_value(openapi::Description::openapi()).unwrap();
        let mut described = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let needs_token = operation["security"][0]["token"].is_array();
                assert_eq!(needs_token, path.starts_with("/v1/"), "{method} {path}");
                assert_eq!(operation["responses"]["403"].is_object(), needs_token, "{method} {path}");
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name.clone()), "{name} is two operations");
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let served: BTreeSet<_> =
            table().iter().map(|entry| format!("{} {}", entry.method, entry.path)).collect();
        assert_eq!(described, served);
    }

    #[test]
    fn a_route_asks_for_a_role_or_is_meant_to_be_open() {
        let open: Vec<_> =
            table().iter().filter(|entry| entry.access.role().is_none()).map(|entry| entry.path).collect();
        assert_eq!(open, ["/livez", "/readyz", "/metrics", "/openapi.json", "/.well-known/jwks.json"]);
    }

    #[test]
    fn whoever_may_only_look_changes_nothing() {
        for Entry { method, path, access, .. } in table() {
            assert!(access.role() != Some(Role::Viewer) || method == Method::GET, "{method} {path}");
        }
    }
}
