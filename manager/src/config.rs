//! What an operator may set about the Manager: every bound and time, with its reason and a safe default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use onair_cluster::{NodeId, UnixMs};

use crate::live_db::OutboxRow;

use crate::kafka::KafkaSettings;

/// Settings of one Manager. Plain data: the program parses and validates it before anything is bound.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagerConfig {
    /// Where the HTTP face listens. Port 0 takes a free one: see [`crate::ManagerHandle::http_addr`].
    pub http: SocketAddr,
    /// Where `live.db` lies. Made if it is not there.
    pub data_dir: PathBuf,
    /// `host` or `host:port`, as it stands in broadcast addresses.
    pub media_domain: String,
    /// The cluster's name, shown by `/readyz` and in the challenge of a 401.
    pub cluster_name: String,
    /// The node this Manager runs in.
    pub node_id: NodeId,
    /// How long a new live key lasts unless the request says otherwise. 30 days.
    pub live_key_ttl: Duration,
    /// The longest a request may ask for. 366 days.
    pub live_key_ttl_max: Duration,
    /// Valid keys a room may have at once. 8. One more retires the key that has been idle longest.
    pub live_keys_per_room_max: usize,
    /// Whether players need a token, so that play addresses carry one.
    pub play_needs_token: bool,
    /// Where events are shipped to; nowhere unless set.
    pub kafka: Option<KafkaSettings>,
    /// What is kept, and how long.
    pub retention: Retention,
    /// Bounds of the HTTP face.
    pub limits: HttpLimits,
    /// Bounds of the event feed.
    pub feed: FeedLimits,
}

impl ManagerConfig {
    /// The defaults, around what has none.
    pub fn new(http: SocketAddr, data_dir: PathBuf, media_domain: String, node_id: NodeId) -> Self {
        Self {
            http,
            data_dir,
            media_domain,
            cluster_name: "onair".to_owned(),
            node_id,
            live_key_ttl: DAY * 30,
            live_key_ttl_max: DAY * 366,
            live_keys_per_room_max: 8,
            play_needs_token: false,
            kafka: None,
            retention: Retention::default(),
            limits: HttpLimits::default(),
            feed: FeedLimits::default(),
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// How long the Live DB remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Ended sessions and broadcasts. 400 days: a year, and time to notice.
    pub history: Duration,
    /// Messages of the outbox. 14 days.
    pub outbox: Duration,
    /// Whether somebody ships the outbox: then a message that is not shipped is kept however old it is. False, as without
    /// Kafka.
    pub outbox_is_shipped: bool,
    /// Live keys past their expiry. 30 days.
    pub expired_keys: Duration,
}

impl Retention {
    /// Whether a message may be forgotten at `now`.
    pub(crate) fn forgets(&self, row: &OutboxRow, now: UnixMs) -> bool {
        let is_old = u128::from(now.since(row.created_at)) > self.outbox.as_millis();
        is_old && (row.shipped_at.is_some() || !self.outbox_is_shipped)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { history: DAY * 400, outbox: DAY * 14, outbox_is_shipped: false, expired_keys: DAY * 30 }
    }
}

/// Bounds of the HTTP face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Threads that answer. 2: the API is not where the work is.
    pub workers: usize,
    /// Open connections in all; more wait in the listener's backlog. 1 024.
    pub connections_max: usize,
    /// Connections that wait to be accepted. 256.
    pub backlog: u32,
    /// From accept to the end of the request's head: an absolute deadline, whatever drips in. 5 s.
    pub head_timeout: Duration,
    /// From the head to the end of the body, likewise. 5 s.
    pub body_timeout: Duration,
    /// The largest request body. 16 KiB: ours are some hundred bytes.
    pub body_bytes_max: usize,
    /// How long an idle connection is kept. 30 s.
    pub keep_alive: Duration,
    /// Requests per second of one token, and twice as many at once. 1 000; 0 for no limit: it stops a client that runs wild.
    pub requests_per_second: u32,
    /// Requests per second without a good token, of one address (of IPv6: one /64), and twice as many at once. 50; 0 for no
    /// limit. Probes and scrapers are not counted.
    pub strangers_per_second: u32,
    /// How long one answer may wait for the Live DB. 3 s; then 503.
    pub live_db_timeout: Duration,
    /// Items of a list unless the request says otherwise. 50.
    pub page_default: usize,
    /// The most a request may ask for. 500.
    pub page_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            workers: 2,
            connections_max: 1_024,
            backlog: 256,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            body_bytes_max: 16 << 10,
            keep_alive: Duration::from_secs(30),
            requests_per_second: 1_000,
            strangers_per_second: 50,
            live_db_timeout: Duration::from_secs(3),
            page_default: 50,
            page_max: 500,
        }
    }
}

/// Bounds of the event feed, `GET /v1/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLimits {
    /// Clients at once; one more is refused with 503. 256: a quarter of [`HttpLimits::connections_max`], so that the rest of
    /// the API always finds a connection.
    pub clients_max: usize,
    /// How long a client hears nothing at most. 12 s: middleboxes that drop idle connections wait for longer. Each heartbeat
    /// carries the position, too.
    pub heartbeat: Duration,
    /// How long a client stays at most before it must come again and show its token. 30 minutes.
    pub stay_max: Duration,
    /// Messages kept for clients that are nearly up to date. 4 096.
    pub window_events_max: usize,
    /// Their bytes. 8 MiB.
    pub window_bytes_max: usize,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self {
            clients_max: 256,
            heartbeat: Duration::from_secs(12),
            stay_max: Duration::from_secs(30 * 60),
            window_events_max: 4_096,
            window_bytes_max: 8 << 20,
        }
    }
}
