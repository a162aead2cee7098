//! What happens in the feed: each struct emits its log line and moves its metric, so that the two cannot disagree.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use onair_cluster::{Shard, UnixMs};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tracing::{error, info, warn};

use super::reset::Reset;
use crate::caller::Caller;

/// The metrics of the feed, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FeedMetrics {
    clients: Gauge,
    refused: Counter,
    gone: Family<GoneLabels, Counter>,
    sent: Counter,
    read: Counter,
    lag: Histogram,
    resets: Family<ResetLabels, Counter>,
    restarts: Counter,
    unreadable: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResetLabels {
    reason: Reset,
}

impl EncodeLabelValue for Reset {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.name().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GoneLabels {
    why: Gone,
}

/// Why a client's feed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Gone {
    /// It went.
    Left,
    /// It read too slowly.
    Lagged,
    /// It was there for as long as one may be, and should show its token again.
    TimeUp,
    /// The Manager stops.
    Stopping,
}

impl Gone {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Lagged => "lagged",
            Self::TimeUp => "time_up",
            Self::Stopping => "stopping",
        }
    }
}

impl EncodeLabelValue for Gone {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.name().encode(encoder)
    }
}

impl FeedMetrics {
    /// Names them in `to`, under `feed_…`.
    pub(crate) fn register(to: &mut Registry) -> Self {
        let m = Self::unregistered();
        to.register("feed_clients", "Clients of the event feed", m.clients.clone());
        to.register(
            "feed_clients_refused",
            "Clients of the event feed for whom there was no place",
            m.refused.clone(),
        );
        to.register("feed_clients_gone", "Clients whose feed ended, by why", m.gone.clone());
        to.register("feed_events_sent", "Events sent, to all clients together", m.sent.clone());
        to.register("feed_events_read", "Events that the feed has read", m.read.clone());
        to.register_with_unit(
            "feed_lag",
            "From the writing of an event to the feed having read it",
            Unit::Seconds,
            m.lag.clone(),
        );
        to.register("feed_resets", "Resets sent to clients, by reason", m.resets.clone());
        to.register(
            "feed_restarts",
            "Times that the feed began anew, because the Live DB had gone back",
            m.restarts.clone(),
        );
        to.register(
            "feed_events_unreadable",
            "Outbox rows that the feed cannot read, and passes over",
            m.unreadable.clone(),
        );
        m
    }

    /// Metrics that nobody shows.
    pub(crate) fn unregistered() -> Self {
        Self {
            clients: Gauge::default(),
            refused: Counter::<u64, AtomicU64>::default(),
            gone: Family::default(),
            sent: Counter::default(),
            read: Counter::default(),
            // 1 ms to 16 s.
            lag: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            resets: Family::default(),
            restarts: Counter::default(),
            unreadable: Counter::default(),
        }
    }
}

/// A client is here.
pub(super) struct ClientCame<'a> {
    pub(super) caller: &'a Caller,
    pub(super) peer: Option<SocketAddr>,
    /// It has been here before, or at another Manager.
    pub(super) resumes: bool,
}

impl ClientCame<'_> {
    pub(super) fn emit(&self, metrics: &FeedMetrics) {
        let clients = metrics.clients.inc() + 1;
        let peer = self.peer.map(tracing::field::display);
        let (kind, caller) = (self.caller.kind().name(), self.caller.id());
        info!(peer, kind, caller, resumes = self.resumes, clients, "a client of the event feed came");
    }
}

/// A client for whom there is no place.
pub(super) struct ClientRefused {
    pub(super) clients_max: usize,
}

impl ClientRefused {
    pub(super) fn emit(&self, metrics: &FeedMetrics) {
        metrics.refused.inc();
        warn!(clients = self.clients_max, "a client of the event feed is refused: there are too many");
    }
}

/// A client's feed has ended.
pub(super) struct ClientGone<'a> {
    pub(super) caller: &'a Caller,
    pub(super) peer: Option<SocketAddr>,
    pub(super) why: Gone,
    pub(super) events: u64,
    pub(super) stayed: Duration,
}

impl ClientGone<'_> {
    pub(super) fn emit(&self, metrics: &FeedMetrics) {
        let clients = metrics.clients.dec() - 1;
        metrics.gone.get_or_create(&GoneLabels { why: self.why }).inc();
        let peer = self.peer.map(tracing::field::display);
        let (why, events, seconds) = (self.why.name(), self.events, self.stayed.as_secs());
        let (kind, caller) = (self.caller.kind().name(), self.caller.id());
        info!(peer, kind, caller, why, events, seconds, clients, "a client of the event feed is gone");
    }
}

/// Events were sent to a client.
pub(super) struct EventsSent(pub(super) u64);

impl EventsSent {
    pub(super) fn emit(&self, metrics: &FeedMetrics) {
        metrics.sent.inc_by(self.0);
    }
}

/// An event was read from the outbox.
pub(super) struct EventRead {
    pub(super) written_at: UnixMs,
}

impl EventRead {
    pub(super) fn emit(&self, metrics: &FeedMetrics) {
        metrics.read.inc();
        let lag = Duration::from_millis(UnixMs::now().since(self.written_at));
        metrics.lag.observe(lag.as_secs_f64());
    }
}

/// A client is told to look at everything anew.
pub(super) struct ResetSent {
    pub(super) peer: Option<SocketAddr>,
    pub(super) reason: Reset,
}

impl ResetSent {
    pub(super) fn emit(&self, metrics: &FeedMetrics) {
        metrics.resets.get_or_create(&ResetLabels { reason: self.reason }).inc();
        let peer = self.peer.map(tracing::field::display);
        warn!(peer, reason = self.reason.name(), "a client of the event feed cannot go on where it was");
    }
}

/// The Live DB has gone back behind what was read, or has lost what was not.
pub(super) struct FeedRestarted {
    pub(super) shard: Shard,
    pub(super) read: u64,
    pub(super) found: u64,
}

impl FeedRestarted {
    pub(super) fn emit(&self, metrics: &FeedMetrics) {
        metrics.restarts.inc();
        error!(shard = %self.shard, read = self.read, found = self.found,
            "the outbox is not the one that was read; the event feed begins anew, and its clients are told");
    }
}

/// An outbox row is not what we write.
pub(super) struct RowUnreadable<'a> {
    pub(super) shard: Shard,
    pub(super) seq: u64,
    pub(super) event_id: &'a str,
}

impl RowUnreadable<'_> {
    pub(super) fn emit(&self, metrics: &FeedMetrics) {
        metrics.unreadable.inc();
        error!(shard = %self.shard, seq = self.seq, event = self.event_id,
            "an outbox row cannot be read; the event feed passes over it");
    }
}
