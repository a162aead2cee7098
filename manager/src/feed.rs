//! The event feed: starts and ends of broadcasts, as they are stored, to clients that stay connected.
//!
//! Its source is the outbox, whichever Manager writes it. One task (`hub`) reads each new message once, into a bounded
//! `window` that all clients read from at their own pace; a `client` that comes back with the `positions` it has seen reads
//! what it is missing before the window from the Live DB, and then goes on in the window. Who reads too slowly is sent away,
//! and comes back the same way.
//!
//! The state here lives in `Core` and so outlives the Manager actor, whose child the hub is.

mod client;
mod filter;
mod hub;
mod positions;
mod reports;
mod reset;
mod text;
mod told;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use onair_cluster::Shard;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub(crate) use self::client::{Asked, Client, Visit};
pub(crate) use self::filter::{Filter, kind};
pub(crate) use self::hub::run;
use self::positions::Positions;
pub(crate) use self::reports::FeedMetrics;
use self::told::Told;
use self::window::{Place, Read, Standing, Window};
use crate::ManagerConfig;
use crate::cloud_event;
use crate::config::FeedLimits;
use crate::core::Core;
use crate::live_db::{LiveDbError, OutboxRow};

/// Clients that may read a page from the Live DB at once. More would only wait for its connections, beside requests that matter
/// more.
const PAGES_AT_ONCE: usize = 2;

/// What hub and clients share.
#[derive(Debug)]
pub(crate) struct Feed {
    /// `None` until the Live DB has said where it stands.
    window: Mutex<Option<Window>>,
    /// Changes with the window, and when the feed closes.
    news: watch::Sender<u64>,
    closing: AtomicBool,
    clients: Arc<Semaphore>,
    pages: Semaphore,
    limits: FeedLimits,
    /// Of all its CloudEvents.
    source: String,
}

impl Feed {
    pub(crate) fn new(config: &ManagerConfig) -> Self {
        Self {
            window: Mutex::new(None),
            news: watch::Sender::new(0),
            closing: AtomicBool::new(false),
            clients: Arc::new(Semaphore::new(config.feed.clients_max)),
            pages: Semaphore::new(PAGES_AT_ONCE),
            limits: config.feed,
            source: cloud_event::source(&config.cluster_name),
        }
    }

    /// Sends all clients away, and lets nobody in. For the end: what still comes, they read elsewhere.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.ring();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// A place for one more client, if there is one.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.clients).try_acquire_owned().ok()
    }

    /// Works on the window, if it is open.
    fn with_window<T>(&self, work: impl FnOnce(&mut Window) -> T) -> Option<T> {
        self.window.lock().as_mut().map(work)
    }

    /// Opens the window, at these positions.
    fn open(&self, at: Positions) {
        *self.window.lock() =
            Some(Window::new(at, self.limits.window_events_max, self.limits.window_bytes_max));
    }

    fn ring(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Messages of `shards` after positions `at`, in order shard by shard, at most `limit` of each shard. One that is not what
/// follows there means that something was purged.
async fn rows_after(
    core: &Core,
    at: &Positions,
    shards: &[Shard],
    limit: usize,
) -> Result<Vec<OutboxRow>, LiveDbError> {
    let after: Vec<_> = shards.iter().map(|shard| (*shard, at.of(*shard))).collect();
    core.ask_db(core.live_db.feed_all(&after, limit)).await
}
