//! What happens to the Manager itself.

use onair_cluster::NodeId;
use tracing::{error, info, warn};

use crate::metrics::ManagerMetrics;

/// Somebody asked a node to drain.
pub(crate) struct DrainAsked<'a> {
    pub(crate) node: &'a NodeId,
}

impl DrainAsked<'_> {
    pub(crate) fn emit(&self) {
        info!(node = %self.node, "node told to drain");
    }
}

/// The Manager actor fell.
pub(crate) struct ActorFell {
    /// How often within the window of the budget, this time included.
    pub(crate) falls: usize,
}

impl ActorFell {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.actor_restarts.inc();
        error!(
            falls = self.falls,
            "the Manager actor panicked; it is rebuilt, and reads again what it had not stored"
        );
    }
}

/// It fell too often.
pub(crate) struct IslandGivesUp {
    pub(crate) falls: usize,
}

impl IslandGivesUp {
    pub(crate) fn emit(&self) {
        error!(falls = self.falls, "the Manager actor panics again and again; the Manager ends");
    }
}

/// The Manager is up.
pub(crate) struct Started {
    pub(crate) http: std::net::SocketAddr,
    pub(crate) closed_lost: u64,
    pub(crate) keys: usize,
    pub(crate) holds: usize,
}

impl Started {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.closed_lost.inc_by(self.closed_lost);
        if self.closed_lost > 0 {
            warn!(sessions = self.closed_lost, "sessions left open by a kill are closed as lost");
        }
        info!(http = %self.http, keys = self.keys, holds = self.holds, "the Manager is up");
    }
}
