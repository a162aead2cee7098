//! The HTTP face: the table of its routes, and what holds for all of them.
//!
//! Everything under `/v1` needs the admin token as `Authorization: Bearer`. Health, metrics, the key set and the API's own
//! description need none: they hold no secret, orchestrators and scrapers cannot log in, and the default bind is loopback.
//! Every error is a problem (RFC 9457); every answer carries `X-Request-Id`.

mod body;
mod broadcasts;
mod frame;
pub(crate) mod health;
mod issuers;
mod live_keys;
mod nodes;
mod openapi;
mod params;
mod plays;
mod problem;
mod producers;
mod rooms;
pub(crate) mod server;
mod sessions;
mod views;

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::{HttpResponse, Route, guard, web};

use self::problem::{Code, Problem};

/// One row of the table.
pub(crate) struct Entry {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    route: Route,
}

/// All routes. What stands here is served, and nothing else; a test holds the OpenAPI document to it.
#[rustfmt::skip]
pub(crate) fn table() -> Vec<Entry> {
    let row = |method: Method, path, route| Entry { method, path, route };
    use web::to;
    vec![
        row(Method::POST,   "/v1/producers/{producer}/broadcast-url", to(producers::broadcast_url)),
        row(Method::GET,    "/v1/sessions",                           to(sessions::list)),
        row(Method::GET,    "/v1/sessions/{session}",                 to(sessions::one)),
        row(Method::GET,    "/v1/rooms/{room}",                       to(rooms::one)),
        row(Method::POST,   "/v1/rooms/{room}/end",                   to(rooms::end)),
        row(Method::POST,   "/v1/rooms/{room}/play-url",              to(plays::play_url)),
        row(Method::PUT,    "/v1/rooms/{room}/hold",                  to(rooms::put_hold)),
        row(Method::DELETE, "/v1/rooms/{room}/hold",                  to(rooms::lift_hold)),
        row(Method::GET,    "/v1/broadcasts",                         to(broadcasts::list)),
        row(Method::GET,    "/v1/live-keys/{live_key}",               to(live_keys::one)),
        row(Method::DELETE, "/v1/live-keys/{live_key}",               to(live_keys::revoke)),
        row(Method::POST,   "/v1/issuers/{issuer}/revocations",       to(issuers::revoke)),
        row(Method::GET,    "/v1/nodes",                              to(nodes::list)),
        row(Method::POST,   "/v1/nodes/{node}/drain",                 to(nodes::drain)),
        row(Method::GET,    "/livez",                                 to(health::livez)),
        row(Method::GET,    "/readyz",                                to(health::readyz)),
        row(Method::GET,    "/metrics",                               to(health::metrics)),
        row(Method::GET,    "/openapi.json",                          to(openapi::document)),
        row(Method::GET,    "/.well-known/jwks.json",                 to(health::jwks)),
    ]
}

/// Whether a path needs the admin token.
pub(crate) fn needs_token(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
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
    for Entry { method, path, route } in table() {
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
                let needs_token_here = operation["security"][0]["admin_token"].is_array();
                assert_eq!(needs_token_here, needs_token(path), "{method} {path}");
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
    fn a_path_needs_the_token_or_is_meant_to_be_open() {
        let open: Vec<_> = table().iter().map(|entry| entry.path).filter(|path| !needs_token(path)).collect();
        assert_eq!(open, ["/livez", "/readyz", "/metrics", "/openapi.json", "/.well-known/jwks.json"]);
        assert!(needs_token("/v1") && needs_token("/v1/") && !needs_token("/v1x"));
    }
}
