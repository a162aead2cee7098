//! Reports: every happening of ingest as one log line and one metric, made in one place so that they cannot disagree.

mod relay;

use std::net::SocketAddr;
use std::sync::Arc;

use onair_cluster::nodes::NodeLoad;
use onair_cluster::{RoomId, SessionId};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

use crate::admission::Full;
use crate::stop::StopReason;
pub(crate) use relay::RelayReports;

/// One label; its values come from closed sets only.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

/// The meters of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reports {
    meters: Arc<Meters>,
}

#[derive(Debug)]
struct Meters {
    connections: Gauge,
    publishers: Gauge,
    players: Gauge,
    accepted: Counter,
    stops: Family<Cause, Counter>,
    turned_away: Family<Cause, Counter>,
    refusals: Family<Cause, Counter>,
    bytes_in: Counter,
    bytes_out: Counter,
    dropped: Family<Cause, Counter>,
    publish_start: Histogram,
    restarts: Family<Cause, Counter>,
    relay: relay::Meters,
}

impl Reports {
    /// Registers the meters under `onair_ingest_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("onair_ingest");
        let meters = Meters {
            connections: Gauge::default(),
            publishers: Gauge::default(),
            players: Gauge::default(),
            accepted: Counter::default(),
            stops: Family::default(),
            turned_away: Family::default(),
            refusals: Family::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            dropped: Family::default(),
            // 0.25 ms to 8 s.
            publish_start: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            restarts: Family::default(),
            relay: relay::Meters::register(r),
        };
        r.register("connections", "RTMP connections now", meters.connections.clone());
        r.register("publishers", "Connections that publish now", meters.publishers.clone());
        r.register("players", "Connections that play now", meters.players.clone());
        r.register("accepted", "Connections accepted", meters.accepted.clone());
        r.register("stops", "Connections stopped, by cause", meters.stops.clone());
        r.register(
            "turned_away",
            "Connections closed before a byte was read, by what was full",
            meters.turned_away.clone(),
        );
        r.register("refusals", "Publishes and plays refused, by cause", meters.refusals.clone());
        r.register_with_unit("received", "Bytes read from sockets", Unit::Bytes, meters.bytes_in.clone());
        r.register_with_unit("sent", "Bytes written to sockets", Unit::Bytes, meters.bytes_out.clone());
        r.register("dropped_messages", "Media messages not passed on, by cause", meters.dropped.clone());
        r.register_with_unit(
            "publish_start",
            "From accept to NetStream.Publish.Start",
            Unit::Seconds,
            meters.publish_start.clone(),
        );
        r.register("restarts", "Actors started again by their supervisor", meters.restarts.clone());
        Self { meters: Arc::new(meters) }
    }

    /// How the node fares, by its gauges. Reads a few atomics.
    pub(crate) fn load(&self, connections: usize) -> NodeLoad {
        let now = |gauge: &Gauge| u32::try_from(gauge.get()).unwrap_or(0);
        NodeLoad {
            connections: u32::try_from(connections).unwrap_or(u32::MAX),
            publishers: now(&self.meters.publishers),
            players: now(&self.meters.players),
            pulls: now(&self.meters.relay.pulls),
        }
    }

    /// What the relay reports.
    pub(crate) fn relay(&self) -> RelayReports<'_> {
        RelayReports(&self.meters.relay)
    }

    /// The listener is bound.
    pub(crate) fn listening(&self, address: SocketAddr) {
        tracing::info!(%address, "listening for RTMP");
    }

    /// A connection was accepted. The guard counts it until it is dropped.
    pub(crate) fn connected(&self, connection: u64, peer: SocketAddr) -> Counted {
        tracing::debug!(connection, %peer, "connected");
        self.meters.accepted.inc();
        Counted::new(&self.meters.connections)
    }

    /// A connection was closed unread.
    pub(crate) fn turned_away(&self, peer: SocketAddr, full: Full) {
        let cause = match full {
            Full::Node => "node",
            Full::Address => "address",
        };
        self.meters.turned_away.get_or_create(&Cause { cause }).inc();
        tracing::debug!(%peer, cause, "turned away");
    }

    /// Accepting failed: the process is out of descriptors, most likely.
    pub(crate) fn accept_failed(&self, error: &std::io::Error) {
        self.meters.turned_away.get_or_create(&Cause { cause: "accept_error" }).inc();
        tracing::error!(%error, "accept failed");
    }

    /// A publish or a play was refused.
    pub(crate) fn refused(
        &self,
        connection: u64,
        peer: SocketAddr,
        room: Option<&RoomId>,
        cause: &'static str,
        text: &str,
    ) {
        self.meters.refusals.get_or_create(&Cause { cause }).inc();
        tracing::warn!(connection, %peer, room = room.map(tracing::field::display), cause, text, "refused");
    }

    /// A session was granted and its publisher told so, `after` its connection was accepted.
    pub(crate) fn publishing(
        &self,
        connection: u64,
        peer: SocketAddr,
        room: &RoomId,
        session: SessionId,
        after: Duration,
    ) -> Counted {
        self.meters.publish_start.observe(after.as_secs_f64());
        tracing::info!(connection, %peer, %room, %session, after_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX), "publishing");
        Counted::new(&self.meters.publishers)
    }

    /// A player was let in.
    pub(crate) fn playing(&self, connection: u64, peer: SocketAddr, room: &RoomId) -> Counted {
        tracing::info!(connection, %peer, %room, "playing");
        Counted::new(&self.meters.players)
    }

    /// A connection is over.
    pub(crate) fn stopped(&self, connection: u64, peer: SocketAddr, reason: &StopReason, skipped: u64) {
        let cause = reason.label();
        self.meters.stops.get_or_create(&Cause { cause }).inc();
        match reason {
            StopReason::Crash => tracing::error!(connection, %peer, cause, "connection crashed"),
            StopReason::Protocol(error) => {
                tracing::warn!(connection, %peer, cause, detail = %error, "stopped");
            }
            _ => tracing::info!(connection, %peer, cause, skipped, "stopped"),
        }
    }

    /// What an encoder that is too long-keyed looks like from here.
    pub(crate) fn key_probably_too_long(&self, connection: u64, peer: SocketAddr) {
        tracing::warn!(connection, %peer, "the encoder opened a stream but never published: its stream key is probably longer than 974 bytes");
    }

    /// Bytes went through a socket.
    pub(crate) fn moved(&self, read: u64, written: u64) {
        self.meters.bytes_in.inc_by(read);
        self.meters.bytes_out.inc_by(written);
    }

    /// Media messages were not passed on.
    pub(crate) fn dropped(&self, cause: &'static str, messages: u64) {
        if messages > 0 {
            self.meters.dropped.get_or_create(&Cause { cause }).inc_by(messages);
        }
    }

    /// A supervisor started a child again.
    pub(crate) fn restarted(&self, child: &'static str, error: &str) {
        self.meters.restarts.get_or_create(&Cause { cause: child }).inc();
        tracing::error!(child, error, "restarted");
    }
}

/// One more in a gauge, until dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
