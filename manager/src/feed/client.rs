//! Client: one connection to the feed, from the positions it brings to its end. Its socket pulls: nothing is made before the last
//! was taken, so a client costs its places and one chunk, however slow it is.

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::reports::{ClientCame, ClientGone, ClientRefused, EventsSent, Gone, ResetSent};
use super::reset::Reset;
use super::window::Entry;
use super::{Filter, Place, Positions, Read, Standing, Told, rows_after, text};
use crate::caller::Caller;
use crate::core::Core;
use crate::live_db::OutboxRow;

/// Messages of the window in one chunk: some 64 KiB.
const CHUNK_EVENTS: usize = 64;
/// Messages of the Live DB in one page, over all shards.
const PAGE_ROWS: usize = 128;
/// How long a client waits before it asks a Live DB again that did not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// When clients are told to come back after an end, each at its own time: those of a Manager that stops should not come to the
/// next one all at once.
const RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=3_000;

/// What a client wants to begin with.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// What happens from now on.
    FromNow,
    /// What follows the event of this id, as the client gave it.
    After(String),
}

/// A client on the feed.
pub(crate) struct Client {
    core: Arc<Core>,
    filter: Filter,
    step: Step,
    news: watch::Receiver<u64>,
    heartbeat: Interval,
    until: Instant,
    /// Said first, then taken.
    retry: Option<Duration>,
    visit: Visit,
}

/// How far it has come.
enum Step {
    /// Nothing is known of where it begins; with a reason, if it is told so.
    Beginning(Option<Reset>),
    /// It is not in the window yet. Known, in an era of the window, not to be ahead of the Live DB.
    Entering { at: Box<Positions>, known: Option<u64> },
    /// It reads from the window.
    Following { place: Place, at: At },
    /// It is over.
    Over,
}

/// Where a client in the window is.
enum At {
    /// Where whoever reads the window from its beginning is: the id says it.
    Window(Arc<str>),
    /// Ahead of that in some shards, since another Manager was; with the id of it.
    Own(Box<Positions>, Arc<str>),
}

/// What to do after a step.
enum Next {
    /// The next step.
    Step,
    /// Wait for news, or for as long.
    Wait(Option<Duration>),
}

/// A client's place among the clients, and the account of its visit, which is told when it is dropped, however that happens.
pub(crate) struct Visit {
    core: Arc<Core>,
    peer: Option<SocketAddr>,
    caller: Caller,
    since: Instant,
    events: u64,
    why: Gone,
    _place: OwnedSemaphorePermit,
}

impl Visit {
    /// `None` if there are as many clients as there may be.
    pub(crate) fn begin(
        core: &Arc<Core>,
        caller: Caller,
        peer: Option<SocketAddr>,
        asked: &Asked,
    ) -> Option<Self> {
        let Some(place) = core.feed.place() else {
            ClientRefused { clients_max: core.feed.limits.clients_max }.emit(&core.metrics.feed);
            return None;
        };
        ClientCame { caller: &caller, peer, resumes: matches!(asked, Asked::After(_)) }
            .emit(&core.metrics.feed);
        let (core, since) = (Arc::clone(core), Instant::now());
        Some(Self { core, peer, caller, since, events: 0, why: Gone::Left, _place: place })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Self { peer, why, events, .. } = *self;
        ClientGone { caller: &self.caller, peer, why, events, stayed: self.since.elapsed() }
            .emit(&self.core.metrics.feed);
    }
}

impl Client {
    pub(crate) fn new(visit: Visit, asked: &Asked, filter: Filter) -> Self {
        let core = Arc::clone(&visit.core);
        let limits = &core.feed.limits;
        let step = match asked {
            Asked::FromNow => Step::Beginning(None),
            Asked::After(id) => Positions::parse(id).map_or(Step::Beginning(Some(Reset::Unreadable)), |at| {
                Step::Entering { at: Box::new(at), known: None }
            }),
        };
        let mut heartbeat = interval_at(Instant::now() + limits.heartbeat, limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Spread, so that those who came together do not come again together.
        let stay = limits.stay_max.mul_f64(rand::random_range(0.8..=1.0));
        let retry = Duration::from_millis(rand::random_range(RETRY_MS));
        Self {
            filter,
            step,
            news: core.feed.news.subscribe(),
            heartbeat,
            until: Instant::now() + stay,
            retry: Some(retry),
            visit,
            core,
        }
    }

    /// What to send next; waits until there is something. `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let mut out = String::new();
        if let Some(retry) = self.retry.take() {
            text::greeting(&mut out, retry);
            if let Some(id) = self.id() {
                text::mark(&mut out, &id);
                return Some(out);
            }
        }
        loop {
            self.news.borrow_and_update();
            if matches!(self.step, Step::Over) {
                return None;
            }
            if self.core.feed.is_closing() {
                self.end(Gone::Stopping, &mut out);
                return Some(out);
            }
            if Instant::now() >= self.until {
                self.end(Gone::TimeUp, &mut out);
                return Some(out);
            }
            let next = match mem::replace(&mut self.step, Step::Over) {
                Step::Beginning(why) => self.begin(why, &mut out),
                Step::Entering { at, known } => self.enter(at, known, &mut out).await,
                Step::Following { place, at } => self.follow(place, at, &mut out),
                Step::Over => Next::Step,
            };
            if !out.is_empty() {
                self.heartbeat.reset();
                return Some(out);
            }
            if let Next::Wait(patience) = next {
                self.wait(patience, &mut out).await;
            }
        }
    }

    /// Begins with what happens from now on.
    fn begin(&mut self, why: Option<Reset>, out: &mut String) -> Next {
        let now = self.core.feed.with_window(|window| (window.end(), Arc::from(window.head().to_id())));
        let Some((place, id)) = now else {
            self.step = Step::Beginning(why);
            return Next::Wait(None);
        };
        match why {
            Some(reason) => {
                ResetSent { peer: self.visit.peer, reason }.emit(&self.core.metrics.feed);
                text::reset(out, &id, reason);
            }
            None => text::mark(out, &id),
        }
        self.step = Step::Following { place, at: At::Window(id) };
        Next::Step
    }

    /// Comes nearer to the window, or into it.
    async fn enter(&mut self, at: Box<Positions>, known: Option<u64>, out: &mut String) -> Next {
        let core = Arc::clone(&self.core);
        match core.feed.with_window(|window| window.standing(&at, known)) {
            None => {
                self.step = Step::Entering { at, known };
                Next::Wait(None)
            }
            Some(Standing::Within(place)) => {
                let id = Arc::from(at.to_id());
                self.step = Step::Following { place, at: At::Own(at, id) };
                Next::Step
            }
            Some(Standing::Ahead(era)) => {
                // This Manager may not have read yet what another has; only the Live DB knows all there is.
                let spans = core.ask_db(core.live_db.feed_span()).await;
                let Ok(spans) = spans else {
                    self.step = Step::Entering { at, known };
                    return Next::Wait(Some(ASK_AGAIN));
                };
                self.step = if spans.iter().any(|span| at.of(span.shard) > span.last) {
                    Step::Beginning(Some(Reset::Ahead))
                } else {
                    Step::Entering { at, known: Some(era) }
                };
                Next::Step
            }
            Some(Standing::Behind(shards)) => {
                let each = (PAGE_ROWS / shards.len()).max(1);
                let rows = {
                    let _page = core.feed.pages.acquire().await;
                    rows_after(&core, &at, &shards, each).await
                };
                match rows {
                    Ok(rows) => {
                        self.step = self.catch_up(at, known, &rows, out);
                        Next::Step
                    }
                    Err(_) => {
                        self.step = Step::Entering { at, known };
                        Next::Wait(Some(ASK_AGAIN))
                    }
                }
            }
        }
    }

    /// Sends a page of the past. Something that is not there any more, though the window is beyond it, was purged.
    fn catch_up(
        &mut self,
        mut at: Box<Positions>,
        known: Option<u64>,
        rows: &[OutboxRow],
        out: &mut String,
    ) -> Step {
        let mut sent = 0;
        let mut is_whole = !rows.is_empty();
        for row in rows {
            if row.seq != at.of(row.shard) + 1 {
                is_whole = false;
                break;
            }
            at.advance(row.shard, row.seq);
            // Told of by the hub, once, if it cannot be read.
            let told = Told::of(&self.core.feed.source, row);
            if let Some(told) = told.filter(|told| self.filter.wants(told)) {
                text::event(out, &at.to_id(), &told.text);
                sent += 1;
            }
        }
        self.sent(sent);
        if !is_whole {
            return Step::Beginning(Some(Reset::Purged));
        }
        if sent == 0 {
            // A long way without an event: should it break off here, it need not be gone again.
            text::mark(out, &at.to_id());
        }
        Step::Entering { at, known }
    }

    /// Sends what is new in the window.
    fn follow(&mut self, place: Place, mut at: At, out: &mut String) -> Next {
        match self.core.feed.with_window(|window| window.read(place, CHUNK_EVENTS)) {
            Some(Read::Entries(entries, after)) => {
                let is_end = entries.is_empty();
                let mut sent = 0;
                for entry in &entries {
                    let is_new = at.take(entry);
                    if is_new && self.filter.wants(&entry.told) {
                        text::event(out, at.id(), &entry.told.text);
                        sent += 1;
                    }
                }
                self.sent(sent);
                self.step = Step::Following { place: after, at };
                if is_end { Next::Wait(None) } else { Next::Step }
            }
            Some(Read::Lagging) => {
                self.end(Gone::Lagged, out);
                Next::Step
            }
            Some(Read::AnotherEra) | None => {
                self.step = Step::Beginning(Some(Reset::Interrupted));
                Next::Step
            }
        }
    }

    /// Waits for news, for `patience`, or until a heartbeat is due, which is sent then.
    async fn wait(&mut self, patience: Option<Duration>, out: &mut String) {
        let patience = patience.map_or(self.until, |patience| Instant::now() + patience).min(self.until);
        tokio::select! {
            // The feed, which rings, is held by `core`.
            _ = self.news.changed() => {}
            () = tokio::time::sleep_until(patience) => {}
            _ = self.heartbeat.tick() => match self.id() {
                Some(id) => text::mark(out, &id),
                None => text::heartbeat(out),
            }
        }
    }

    /// Everything up to here has been sent, or was not wanted.
    fn id(&self) -> Option<String> {
        match &self.step {
            Step::Beginning(_) | Step::Over => None,
            Step::Entering { at, .. } => Some(at.to_id()),
            Step::Following { at, .. } => Some(at.id().to_owned()),
        }
    }

    fn sent(&mut self, events: u64) {
        self.visit.events += events;
        EventsSent(events).emit(&self.core.metrics.feed);
    }

    fn end(&mut self, why: Gone, out: &mut String) {
        self.visit.why = why;
        self.step = Step::Over;
        text::farewell(out, why.name());
    }
}

impl At {
    fn id(&self) -> &str {
        match self {
            Self::Window(id) | Self::Own(_, id) => id,
        }
    }

    /// Goes past the next entry of the window. False if it had been seen.
    fn take(&mut self, entry: &Entry) -> bool {
        let is_new = match self {
            Self::Window(id) => {
                *id = Arc::clone(&entry.id);
                return true;
            }
            Self::Own(at, id) => {
                let is_new = at.of(entry.told.shard) < entry.told.seq;
                if is_new {
                    at.advance(entry.told.shard, entry.told.seq);
                    *id = Arc::from(at.to_id());
                }
                is_new
            }
        };
        // As far as the window in every shard: from here on its positions are the client's.
        if self.id() == &*entry.id {
            *self = Self::Window(Arc::clone(&entry.id));
        }
        is_new
    }
}
