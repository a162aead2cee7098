//! Events: starts and ends of broadcasts as they are stored, as server-sent events.

use std::convert::Infallible;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream::unfold;
use serde::Deserialize;
use utoipa::IntoParams;

use super::admit;
use super::params::Params;
use super::problem::{Code, Problem, ProblemBody};
use crate::core::Core;
use crate::feed::{Asked, Client, Filter, Visit, kind};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Known to nginx and others: what passes must not be held back to fill a buffer.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What the feed takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the document is made from it; requests are read by Params, which names what is wrong"
)]
pub(super) struct EventParams {
    /// Only of this room.
    room: Option<String>,
    /// Only of this producer.
    producer: Option<String>,
    /// Only on this node.
    node: Option<String>,
    /// Only of this type: `broadcast.started` or `broadcast.ended`, or with all that stands around it.
    r#type: Option<String>,
    /// For clients that cannot set the header `Last-Event-ID`, which goes before.
    last_event_id: Option<String>,
}

/// Starts and ends of broadcasts, as they happen: server-sent events whose data is a CloudEvent 1.0 in its JSON format.
///
/// Without an id, from now on. With the id of the last event seen, from there on, at whichever Manager: nothing is missed and
/// nothing comes twice, in order for each room. Should that not be possible, the first event is `reset`, and says why; what is
/// live must be read anew then. The feed ends when the Manager stops, when a client reads too slowly, and after half an hour at
/// the latest; clients come again with the last id.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "listenToEvents",
    tag = "broadcasts",
    params(
        EventParams,
        ("Last-Event-ID" = Option<String>, Header, description = "The last id seen; at most 770 characters"),
    ),
    responses(
        (status = 200, description = "Events: `onair.broadcast.started.v1`, `onair.broadcast.ended.v1`, `reset`", body = String, content_type = "text/event-stream"),
        (status = 400, description = "Unknown or bad parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many clients (`feed_full`), or this Manager stops (`stopping`)", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn listen(core: web::Data<Core>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request.query_string())?;
    let filter = Filter {
        room: params.take("room")?,
        producer: params.take("producer")?,
        node: params.take("node")?,
        kind: params.take_with("type", "broadcast.started or broadcast.ended", kind)?,
    };
    let asked = asked(request.headers(), params.take("last_event_id")?);
    params.finish()?;
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_ACCEL_BUFFERING, "no"));
    if request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    if core.feed.is_closing() {
        return Err(Problem::new(Code::Stopping, "ask another one, with the last id"));
    }
    let caller = admit::caller(&request)?;
    let Some(visit) = Visit::begin(&core.into_inner(), caller, request.peer_addr(), &asked) else {
        return Err(Problem::new(Code::FeedFull, "come again later, or to another Manager"));
    };
    let client = Client::new(visit, &asked, filter);
    Ok(response.streaming(unfold(client, async |mut client| {
        let text = client.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), client))
    })))
}

/// The header goes before the parameter: a browser that reconnects sends it anew, and the address as it was. An id that is not
/// even text is as good as any other that we did not make: the client is told, and goes on.
fn asked(headers: &HeaderMap, parameter: Option<String>) -> Asked {
    let header = headers.get(LAST_EVENT_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let given = [header, parameter].into_iter().flatten().find(|id| !id.is_empty());
    given.map_or(Asked::FromNow, Asked::After)
}
