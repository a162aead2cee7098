//! Sessions: who publishes now. Read from the leases, so it is true also while the Live DB is away.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use futures_util::stream::iter;
use onair_cluster::registry::LeaseView;
use onair_cluster::{NodeId, ProducerId, RoomId, SessionId, Shard, UnixMs};
use utoipa::IntoParams;

use super::params::{self, Params};
use super::problem::{Code, Problem, ProblemBody};
use super::views::{SessionList, SessionState, SessionView};
use crate::core::Core;
use crate::duties::{LEASES_PAGE, all_leases};
use crate::live_db::SessionRow;

/// Leases that one request looks at. A filter that matches little may return a short page, even an empty one, with `next`.
const SCAN_MAX: usize = 20_000;
/// Shards whose first page is fetched before it is known to be needed.
const SHARDS_AHEAD: usize = 8;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document is made from it; requests are read by Params")]
pub(super) struct SessionListParams {
    /// Only of this room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room: Option<String>,
    /// Only of this producer.
    #[param(max_length = 128, pattern = "^[.]*[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*$")]
    producer: Option<String>,
    /// Only on this node.
    #[param(max_length = 128, pattern = "^[.]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
    node: Option<String>,
    /// Only in this state.
    #[param(inline)]
    state: Option<SessionState>,
    /// Items of a page; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    after: Option<String>,
}

struct Filter {
    room: Option<RoomId>,
    producer: Option<ProducerId>,
    node: Option<NodeId>,
    state: Option<SessionState>,
    limit: usize,
    /// Shard and room of the last one seen.
    after: Option<(Shard, RoomId)>,
}

impl Filter {
    fn of(core: &Core, query: &str) -> Result<Self, Problem> {
        let mut params = Params::of(query)?;
        let filter = Self {
            room: params.take("room")?,
            producer: params.take("producer")?,
            node: params.take("node")?,
            state: params.take_with("state", "granted or live", SessionState::parse)?,
            limit: params.take_limit(&core.config.limits)?,
            after: params.take_with("after", "what the page before gave as next", place)?,
        };
        params.finish()?;
        Ok(filter)
    }

    fn matches(&self, lease: &LeaseView) -> bool {
        self.room.as_ref().is_none_or(|room| *room == lease.card.room_id)
            && self.producer.as_ref().is_none_or(|producer| *producer == lease.card.producer_id)
            && self.node.as_ref().is_none_or(|node| *node == lease.card.node_id)
            && self.state.is_none_or(|state| state == SessionState::of(lease))
    }
}

/// The last room seen: the order of the list is by shard, then room. Neither ever changes, so a session that is live throughout
/// a walk is met once.
fn place(text: &str) -> Option<(Shard, RoomId)> {
    let room: RoomId = text.parse().ok()?;
    Some((room.shard(), room))
}

fn cursor(lease: &LeaseView) -> String {
    lease.card.room_id.to_string()
}

/// Publishers on this cluster now, by shard and room.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "listSessions",
    tag = "sessions",
    params(SessionListParams),
    responses(
        (status = 200, description = "A page", body = SessionList),
        (status = 400, description = "Unknown or bad parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The registry is away, all of it", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(core: web::Data<Core>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let filter = Filter::of(&core, request.query_string())?;
    let page = if let Some(room) = &filter.room {
        let is_ahead = filter.after.as_ref().is_none_or(|after| *after < (room.shard(), room.clone()));
        let lease = core.note_registry(core.registry.lease(room).await)?;
        let found = lease.into_iter().filter(|lease| is_ahead && filter.matches(lease)).collect();
        Page { found, ..Page::default() }
    } else {
        walk(&core, &filter).await?
    };
    let now = UnixMs::now();
    let list = SessionList {
        items: page.found.iter().map(|lease| SessionView::of(lease, now)).collect(),
        next: page.next,
        shards_away: page.away.iter().map(ToString::to_string).collect(),
    };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(list))
}

/// What a walk found.
#[derive(Default)]
struct Page {
    found: Vec<LeaseView>,
    /// Where the next page begins, if there is one.
    next: Option<String>,
    /// Shards that were to be on this page and did not answer.
    away: Vec<Shard>,
}

/// Matching leases after `filter.after`. The first pages of the next few shards are fetched ahead, so that a walk over all of
/// them does not wait for 64 answers one after the other.
///
/// A shard that does not answer is named and left out: what is live elsewhere is worth knowing, above all then. If none of the
/// first [`SHARDS_AHEAD`] answers, the registry is away.
async fn walk(core: &Core, filter: &Filter) -> Result<Page, Problem> {
    let mut walked = Page::default();
    let (mut seen, mut answered) = (0, 0);
    let first = filter.after.as_ref().map_or(0, |(shard, _)| shard.index());
    let pages = Shard::all().skip(first).map(|shard| {
        let after = filter.after.as_ref().filter(|(s, _)| *s == shard).map(|(_, room)| room.clone());
        async move { (shard, core.registry.leases(shard, after.as_ref(), LEASES_PAGE).await) }
    });
    let mut pages = iter(pages).buffered(SHARDS_AHEAD);
    while let Some((shard, page)) = pages.next().await {
        let mut page = core.note_registry(page);
        loop {
            let leases = match page {
                Ok(leases) => leases,
                Err(e) => {
                    walked.away.push(shard);
                    let is_last = shard.index() + 1 == usize::from(Shard::COUNT);
                    if answered == 0 && (is_last || walked.away.len() >= SHARDS_AHEAD) {
                        return Err(e.into());
                    }
                    break;
                }
            };
            answered += 1;
            let is_last = leases.len() < LEASES_PAGE;
            let after = leases.last().map(|lease| lease.card.room_id.clone());
            for lease in leases {
                seen += 1;
                let is_match = filter.matches(&lease);
                // One more than asked for: now it is known that there is a next page.
                if is_match && walked.found.len() == filter.limit {
                    walked.next = walked.found.last().map(cursor);
                    return Ok(walked);
                }
                let place = (seen >= SCAN_MAX).then(|| cursor(&lease));
                if is_match {
                    walked.found.push(lease);
                }
                if place.is_some() {
                    walked.next = place;
                    return Ok(walked);
                }
            }
            if is_last {
                break;
            }
            page = core.note_registry(core.registry.leases(shard, after.as_ref(), LEASES_PAGE).await);
        }
    }
    Ok(walked)
}

/// One publisher, as long as it is there. Of one that has ended, the problem tells when and why.
#[utoipa::path(
    get,
    path = "/v1/sessions/{session}",
    operation_id = "getSession",
    tag = "sessions",
    params(("session" = String, Path, description = "32 hexadecimal digits", pattern = "^[0-9a-fA-F]{32}$")),
    responses(
        (status = 200, description = "The session", body = SessionView),
        (status = 400, description = "Not a session id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`session_unknown`, or `session_ended` with `room_id`, `ended_at`, `end_reason` and, if it went live, `broadcasts`: where to read on", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Registry away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(core: web::Data<Core>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let id: SessionId = params::path("session", &id)?;
    // The Live DB knows which room to look into; without it, every lease is looked at.
    let row = core.ask_db(core.live_db.session(&id)).await.ok().flatten();
    if let Some(SessionRow { card, facts, end: Some(end) }) = &row {
        let mut problem =
            Problem::new(Code::SessionEnded, "this session is over; sessions are what is live now")
                .with("room_id", card.room_id.as_str())
                .with("ended_at", end.ended_at.to_rfc3339())
                .with("end_reason", end.reason.as_str());
        if facts.live_at.is_some() {
            problem = problem.with("broadcasts", format!("/v1/broadcasts?room={}", card.room_id));
        }
        return Err(problem);
    }
    let lease = match &row {
        Some(row) => core.note_registry(core.registry.lease(&row.card.room_id).await)?,
        None => search(&core, id).await?,
    };
    match lease.filter(|lease| lease.card.session_id == id) {
        Some(lease) => {
            let view = SessionView::of(&lease, UnixMs::now());
            Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(view))
        }
        None => Err(Problem::new(
            Code::SessionUnknown,
            "no such session is live; what was live is in /v1/broadcasts",
        )),
    }
}

/// The lease of a session whose room nobody knows. A shard that does not answer matters only if no other has it.
async fn search(core: &Core, id: SessionId) -> Result<Option<LeaseView>, Problem> {
    let mut failure = None;
    for answer in all_leases(core).await {
        match core.note_registry(answer) {
            Ok(leases) => {
                if let Some(lease) = leases.into_iter().find(|lease| lease.card.session_id == id) {
                    return Ok(Some(lease));
                }
            }
            Err(e) => failure = Some(e),
        }
    }
    failure.map_or(Ok(None), |e| Err(e.into()))
}
