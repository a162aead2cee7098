//! Reports of media between nodes: pulls from here, pulls by others, and what was refused on either side.

use std::net::SocketAddr;
use std::time::Duration;

use onair_cluster::{Epoch, NodeId, RoomId};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Cause, Counted};
use crate::relay::PullEnd;

/// Meters under `onair_ingest_relay_…`.
#[derive(Debug, Default)]
pub(super) struct Meters {
    pub(super) pulls: Gauge,
    starts: Counter,
    ends: Family<Cause, Counter>,
    bytes_in: Counter,
    serving: Gauge,
    refusals: Family<Cause, Counter>,
}

impl Meters {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meters = Self::default();
        let r = registry.sub_registry_with_prefix("relay");
        r.register("pulls", "Rooms pulled from other nodes now", meters.pulls.clone());
        r.register("pull_starts", "Pulls that were let in by the other node", meters.starts.clone());
        r.register("pull_ends", "Pulls, and attempts at one, that ended, by cause", meters.ends.clone());
        r.register_with_unit(
            "received",
            "Media payload received from other nodes",
            Unit::Bytes,
            meters.bytes_in.clone(),
        );
        r.register("serving", "Pulls that other nodes have from here now", meters.serving.clone());
        r.register("refusals", "Pulls of other nodes refused, by cause", meters.refusals.clone());
        meters
    }
}

/// The part of the reports that the relay writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayReports<'a>(pub(super) &'a Meters);

impl RelayReports<'_> {
    /// The listener for other nodes is bound.
    pub(crate) fn listening(self, address: SocketAddr) {
        tracing::info!(%address, "listening for other nodes");
    }

    /// The other node lets us have the room. Counted until the guard is dropped.
    pub(crate) fn pulling(self, room: &RoomId, epoch: Epoch, node: &NodeId, peer: SocketAddr) -> Counted {
        self.0.starts.inc();
        tracing::info!(%room, %epoch, %node, %peer, "pulling");
        Counted::new(&self.0.pulls)
    }

    /// A pull is over, or did not come to be.
    pub(crate) fn pull_ended(
        self,
        room: &RoomId,
        epoch: Epoch,
        node: &NodeId,
        end: &PullEnd,
        lasted: Duration,
    ) {
        let cause = end.label();
        self.0.ends.get_or_create(&Cause { cause }).inc();
        let lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        if end.is_expected() {
            tracing::info!(%room, %epoch, %node, cause, lasted_ms, "pull ended");
        } else {
            tracing::warn!(%room, %epoch, %node, cause, detail = %end, lasted_ms, "pull failed");
        }
    }

    /// Media payload came in.
    pub(crate) fn received(self, bytes: u64) {
        self.0.bytes_in.inc_by(bytes);
    }

    /// A room's task panicked.
    pub(crate) fn crashed(self, room: &RoomId) {
        self.0.ends.get_or_create(&Cause { cause: "crash" }).inc();
        tracing::error!(%room, "the task that pulls a room panicked");
    }

    /// Another node was let in. Counted until the guard is dropped.
    pub(crate) fn serving(
        self,
        connection: u64,
        peer: SocketAddr,
        room: &RoomId,
        epoch: Epoch,
        node: &NodeId,
    ) -> Counted {
        tracing::info!(connection, %peer, %room, %epoch, %node, "another node pulls");
        Counted::new(&self.0.serving)
    }

    /// Another node, or whoever came by its door, was refused.
    pub(crate) fn refused(
        self,
        connection: u64,
        peer: SocketAddr,
        room: Option<&RoomId>,
        cause: &'static str,
    ) {
        self.0.refusals.get_or_create(&Cause { cause }).inc();
        tracing::warn!(connection, %peer, room = room.map(tracing::field::display), cause, "pull refused");
    }
}
