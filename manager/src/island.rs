//! The island: one thread with the actix System, on which the Manager actor lives, and the handle by which the rest of the
//! process reaches it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::ProducerId;

use crate::live_db::LiveDb;
use crate::{BroadcastAddress, ManagerConfig, ManagerError, ManagerParts};

/// Starts a Manager on the SQLite Live DB in `config.data_dir`. When this returns, the Live DB is migrated, sessions left
/// open by a kill are closed, the registry knows all keys and holds, and HTTP answers.
///
/// # Errors
/// Whatever keeps it from that, named in [`ManagerError`]. Nothing is left running then.
pub async fn start(config: ManagerConfig, parts: ManagerParts) -> Result<ManagerHandle, ManagerError> {
    let _ = (config, parts);
    Err(ManagerError::Thread)
}

/// [`start`] on a Live DB that is open already.
///
/// # Errors
/// As [`start`].
pub async fn start_on(
    config: ManagerConfig,
    parts: ManagerParts,
    db: Arc<dyn LiveDb>,
) -> Result<ManagerHandle, ManagerError> {
    let _ = (config, parts, db);
    Err(ManagerError::Thread)
}

/// A running Manager. Dropping it stops it without waiting; [`ManagerHandle::stop`] is the orderly way.
#[derive(Debug)]
pub struct ManagerHandle {
    http: SocketAddr,
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
        let _ = producer;
        Err(ManagerError::Thread)
    }

    /// Stores what the registry still tells, for at most `patience`, then stops HTTP and the System, and closes the Live DB.
    /// Returns how many events are left unread: 0 unless patience ran out. Call it when no session can start any more.
    pub async fn stop(self, patience: Duration) -> usize {
        let _ = patience;
        0
    }

    /// Resolves when the island has ended: after [`ManagerHandle::stop`], or for good after too many panics.
    pub fn died(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }
}
