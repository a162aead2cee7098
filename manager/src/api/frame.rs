//! The frame around every route: request id, admission, one form for all errors, one line and one metric for every request.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

use super::admit::admit;
use super::problem::{Code, Problem};
use crate::core::Core;
use crate::metrics::RequestLabels;
use crate::reports::RequestServed;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A request may bring its own id, if it is no longer than this and fit for a log line.
const REQUEST_ID_MAX: usize = 64;

/// A request's id, for handlers.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

pub(super) async fn frame(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let core = request.app_data::<web::Data<Core>>().cloned();
    // Health alone is served without a Manager: nothing to guard, and probes every few seconds are not worth a line.
    let Some(core) = core else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let _answering = core.under_way.begin();
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let peer = request.peer_addr();
    request.extensions_mut().insert(id.clone());

    let mut internal = None;
    let mut response = match admit(&core, &request).await {
        Err(problem) => request.into_response(problem.response(&id.0)),
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            let response = next.call(request).await?.map_into_boxed_body();
            as_problem(response, &id.0, &mut internal)
        }
    };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    if core.is_stopping() {
        // The next request of this client finds another Manager, or a new one.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let status = response.status().as_u16();
    // The pattern, never the path: labels are a closed set.
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    let labels = RequestLabels { route, method: method_label(&method), status };
    let took = began.elapsed();
    RequestServed { labels, request_id: &id.0, peer, took, internal: internal.as_deref() }
        .emit(&core.metrics);
    Ok(response)
}

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let theirs = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let is_fit = |id: &&str| {
            !id.is_empty()
                && id.len() <= REQUEST_ID_MAX
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
        };
        let ours = || format!("{:032x}", rand::random::<u128>());
        Self(theirs.filter(is_fit).map_or_else(ours, str::to_owned))
    }
}

/// Whatever made the error, the client gets a problem.
fn as_problem(
    response: ServiceResponse<BoxBody>,
    id: &str,
    internal: &mut Option<String>,
) -> ServiceResponse<BoxBody> {
    if response.status() < StatusCode::BAD_REQUEST {
        return response;
    }
    let replacement = match response.response().error() {
        Some(error) => match error.as_error::<Problem>() {
            Some(problem) => {
                *internal = problem.internal_text().map(str::to_owned);
                problem.response(id)
            }
            None => {
                *internal = Some(error.to_string());
                let code = Code::of_status(response.status());
                Problem::new(code, "the request could not be read").response(id)
            }
        },
        // Answers that are errors by status only, such as /readyz, say what they have to say.
        None if response.headers().contains_key(CONTENT_TYPE) => return response,
        None => {
            Problem::new(Code::of_status(response.status()), "the request could not be read").response(id)
        }
    };
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, replacement)
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
