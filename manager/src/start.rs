//! From settings to a running Manager, and the handle by which the rest of the process reaches it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::{Epoch, ProducerId, RoomId, Shard, UnixMs};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::address::{self, AddressWish};
use crate::core::Core;
use crate::island;
use crate::live_db::{LiveDb, LiveDbError, ShardTerm, SqliteLiveDb};
use crate::parts::RegistryLife;
use crate::reports::Started;
use crate::shard::beats;
use crate::ship::Shipping;
use crate::{BroadcastAddress, ManagerConfig, ManagerError, ManagerParts};
use crate::{audit, restore, tokens};

/// How long a start waits for shards that a killed Manager still owns: longer than its lease.
const OWN_ALL_WITHIN: Duration = Duration::from_secs(15);
/// Pause between two beats within it.
const OWN_ALL_PAUSE: Duration = Duration::from_millis(500);

/// Starts a Manager on the SQLite Live DB in `config.data_dir`. When this returns, the Live DB is migrated and HTTP answers.
///
/// With a registry [of our own](RegistryLife::OurOwn), sessions left open by a kill are closed as `lost`, and the registry
/// knows all keys and holds. With a [shared](RegistryLife::Shared) one, open sessions are left alone, and the shards that have
/// lost their memory have got it back, or get it in the background when that takes longer than a few seconds.
///
/// # Errors
/// Whatever keeps it from that, named in [`ManagerError`]. Nothing is left running then.
pub async fn start(config: ManagerConfig, parts: ManagerParts) -> Result<ManagerHandle, ManagerError> {
    check_media_domain(&config.media_domain)?;
    let live_db = SqliteLiveDb::open(&config.data_dir).await?;
    start_on(config, parts, Arc::new(live_db)).await
}

/// [`start`] on a Live DB that is open already. It is closed with the Manager, or when it does not start.
///
/// # Errors
/// As [`start`].
pub async fn start_on(
    config: ManagerConfig,
    parts: ManagerParts,
    live_db: Arc<dyn LiveDb>,
) -> Result<ManagerHandle, ManagerError> {
    check_media_domain(&config.media_domain)?;
    let shipping = config.kafka.as_ref().map(|kafka| Shipping::new(&config, kafka, &parts.metrics));
    let mut core = Core::new(config, parts, Arc::clone(&live_db));
    let started = async {
        core.shipping = shipping.transpose()?.map(Arc::new);
        let core = Arc::new(core);
        let (closed_lost, keys, holds) = prepare(&core).await?;
        tokens::read(&core, Duration::ZERO).await;
        let shore = island::spawn(Arc::clone(&core)).await?;
        Started { http: shore.http, closed_lost, keys, holds }.emit(&core.metrics);
        let island::Shore { http, stop, ended } = shore;
        Ok(ManagerHandle { core, http, stop, ended })
    };
    let outcome = started.await;
    if outcome.is_err() {
        live_db.close().await;
    }
    outcome
}

/// `host` or `host:port`; an IPv6 address stands in brackets.
fn check_media_domain(domain: &str) -> Result<(), ManagerError> {
    let wrong = || ManagerError::MediaDomain(domain.to_owned());
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !domain.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err(wrong());
    }
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if is_v6 || is_name { Ok(()) } else { Err(wrong()) }
}

/// Brings registry and Live DB together. Returns how many sessions were closed as lost, and the keys and holds put back.
async fn prepare(core: &Core) -> Result<(u64, usize, usize), ManagerError> {
    match core.registry_life {
        RegistryLife::OurOwn => {
            let closed_lost = core.live_db.close_lost(&own_all(core).await?, UnixMs::now()).await?;
            let (keys, holds) = restore::all(core).await?;
            Ok((closed_lost, keys, holds))
        }
        RegistryLife::Shared => {
            // Unanswered: the Manager starts all the same, and beats again in a second.
            let _ = beats::beat(core).await;
            restore::first_round(core).await;
            Ok((0, 0, 0))
        }
    }
}

/// Beats until every shard is ours: nobody else can have business with a registry of our own, so whoever still owns a shard
/// is a Manager that was killed.
async fn own_all(core: &Core) -> Result<Vec<ShardTerm>, ManagerError> {
    let deadline = Instant::now() + OWN_ALL_WITHIN;
    loop {
        beats::beat(core).await?;
        let terms = core.ownership.terms();
        if terms.len() == usize::from(Shard::COUNT) {
            return Ok(terms);
        }
        if Instant::now() >= deadline {
            return Err(LiveDbError::InUse("the Live DB".to_owned()).into());
        }
        sleep(OWN_ALL_PAUSE).await;
    }
}

/// A running Manager. Dropping it stops it without waiting; [`ManagerHandle::stop`] is the orderly way.
pub struct ManagerHandle {
    core: Arc<Core>,
    http: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: watch::Receiver<bool>,
}

impl std::fmt::Debug for ManagerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerHandle").field("http", &self.http).finish_non_exhaustive()
    }
}

impl ManagerHandle {
    /// Where HTTP answers.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// A broadcast address for `producer`, made as the HTTP face makes them.
    ///
    /// # Errors
    /// When the Live DB or the registry does not answer.
    pub async fn broadcast_url(&self, producer: &ProducerId) -> Result<BroadcastAddress, ManagerError> {
        address::issue(&self.core, producer, &AddressWish::default()).await
    }

    /// The highest epoch on record of each shard, with a room that lives there. For a registry that remembers none, so
    /// that epochs rise also when the clock was set back between two starts.
    ///
    /// # Errors
    /// When the Live DB does not answer.
    pub async fn newest_epochs(&self) -> Result<Vec<(RoomId, Epoch)>, ManagerError> {
        Ok(self.core.live_db.newest_epochs().await?)
    }

    /// Stops HTTP and the System, and closes the Live DB. Before that, with a registry of our own, it stores what the registry
    /// still tells, for at most `patience`, and returns how many events are left unread: 0 unless patience ran out. Call it
    /// when no session can start any more. A shared registry keeps its events for the other Managers; they have our shards
    /// within a second, since what is under way is finished and the shards given up first.
    pub async fn stop(self, patience: Duration) -> usize {
        let Self { core, stop, mut ended, .. } = self;
        let began = Instant::now();
        core.begin_stop();
        let left = match core.registry_life {
            RegistryLife::OurOwn => drain(&core, ended.clone(), patience).await,
            RegistryLife::Shared => 0,
        };
        if let Some(shipping) = &core.shipping {
            let is_all_ours = core.registry_life == RegistryLife::OurOwn;
            shipping.finish(&*core.live_db, is_all_ours, patience.saturating_sub(began.elapsed())).await;
        }
        beats::leave(&core).await;
        drop(stop);
        // Closed without a value: the thread is gone, too.
        let _ = ended.wait_for(|is_ended| *is_ended).await;
        audit::flush(&core).await;
        core.live_db.close().await;
        left
    }

    /// Resolves when the island has ended: after [`ManagerHandle::stop`], or for good after too many panics.
    pub fn died(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.clone();
        async move {
            let _ = ended.wait_for(|is_ended| *is_ended).await;
        }
    }
}

/// Waits until the registry has nothing more to tell. Returns how many events it still has.
async fn drain(core: &Core, mut ended: watch::Receiver<bool>, patience: Duration) -> usize {
    let deadline = Instant::now() + patience;
    let mut stored = core.stored.subscribe();
    loop {
        stored.borrow_and_update();
        let left = unread(core).await;
        if left == 0 {
            return 0;
        }
        // Nobody reads any more once the island has ended.
        let progress = async {
            tokio::select! {
                changed = stored.changed() => changed.is_ok(),
                _ = ended.wait_for(|is_ended| *is_ended) => false,
            }
        };
        if !timeout_at(deadline, progress).await.unwrap_or(false) {
            return left;
        }
    }
}

async fn unread(core: &Core) -> usize {
    let mut left = 0;
    for shard in Shard::all() {
        left += core.registry.events(shard, usize::MAX).await.map_or(0, |events| events.len());
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_domain_is_a_host_with_or_without_a_port() {
        for good in ["localhost", "live.example.com:1935", "127.0.0.1:19350", "[::1]:1935", "[::1]"] {
            assert!(check_media_domain(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ":1935",
            "a b",
            "rtmp://host",
            "host/app",
            "host:",
            "host:0",
            "host:70000",
            "::1",
            "[x]:1",
            "h@x",
        ] {
            assert!(check_media_domain(bad).is_err(), "{bad}");
        }
    }
}
