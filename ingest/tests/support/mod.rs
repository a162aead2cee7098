//! TestNode: an ingest node on a free port with the local registry beside it, and what tests want to see of both.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage fails there")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::events::EventKind;
use onair_cluster::keeper::{Keeper, Policy};
use onair_cluster::live_key::LiveKeySigner;
use onair_cluster::play_token::PlayVerifier;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{KeyRecord, LeaseTimes, Registry, Takeover};
use onair_cluster::{Event, LiveKeyId, NodeId, ProducerId, RoomId, UnixMs};
use onair_ingest::{IngestConfig, IngestNode, NodeParts, Reports, bind};
use onair_loadtest::address::Address;

/// Long enough for a machine under load; no test waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestNode {
    pub(crate) node: IngestNode,
    pub(crate) registry: Arc<LocalRegistry>,
    pub(crate) signer: LiveKeySigner,
}

impl TestNode {
    pub(crate) async fn start() -> Self {
        Self::with(IngestConfig::default()).await
    }

    pub(crate) async fn with(config: IngestConfig) -> Self {
        let mut metrics = prometheus_client::registry::Registry::default();
        let registry = LocalRegistry::start(LeaseTimes::default());
        let signer = LiveKeySigner::generate("onair").unwrap();
        let name = NodeId::parse("test-node").unwrap();
        let keeper = Keeper::new(registry.clone(), name.clone(), Policy::default(), &mut metrics);
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let parts = NodeParts {
            node: name,
            socket,
            keeper,
            verifier: signer.verifier(),
            play_verifier: PlayVerifier::new("onair", [signer.public_key()]),
            relay: None,
            reports: Reports::register(&mut metrics),
        };
        let node = IngestNode::start(config, parts).await.unwrap();
        Self { node, registry, signer }
    }

    /// A room with a key to it: where to publish.
    pub(crate) async fn key(&self, room: &str) -> (Address, LiveKeyId) {
        self.key_with(room, Takeover::Idle).await
    }

    pub(crate) async fn key_with(&self, room: &str, takeover: Takeover) -> (Address, LiveKeyId) {
        self.key_like(room, |record| record.takeover = takeover).await
    }

    /// The same with a record that `change` changed.
    pub(crate) async fn key_like(
        &self,
        room: &str,
        change: impl FnOnce(&mut KeyRecord),
    ) -> (Address, LiveKeyId) {
        let room_id = RoomId::parse(room).unwrap();
        let producer_id = ProducerId::parse("producer").unwrap();
        let live_key_id = LiveKeyId::random(&room_id);
        let now = UnixMs::now();
        let expires_at = now.plus(Duration::from_secs(3600));
        let key = self.signer.mint(&room_id, &producer_id, &live_key_id, now, expires_at).unwrap();
        let mut record = KeyRecord {
            live_key_id: live_key_id.clone(),
            room_id,
            producer_id,
            takeover: Takeover::Idle,
            max_duration: None,
            max_bitrate: None,
            revoked: false,
            expires_at,
        };
        change(&mut record);
        self.registry.put_key(&record).await.unwrap();
        (self.address(room, key.expose()), live_key_id)
    }

    pub(crate) fn address(&self, room: &str, name: &str) -> Address {
        Address::parse(&format!("rtmp://{}/{room}/{name}", self.node.address())).unwrap()
    }

    /// All events of a room so far.
    pub(crate) async fn events(&self, room: &str) -> Vec<Event> {
        let room = RoomId::parse(room).unwrap();
        let events = self.registry.events(room.shard(), 10_000).await.unwrap();
        events.into_iter().filter(|event| event.session.room_id == room).collect()
    }

    /// Waits until the room's events are as `wanted` says, by name: `granted live ended:unpublished`.
    pub(crate) async fn expect(&self, room: &str, wanted: &str) {
        let mut bell = self.registry.event_bell();
        let wait = async {
            loop {
                let seen = names(&self.events(room).await);
                if seen == wanted {
                    return;
                }
                assert!(wanted.starts_with(&seen), "events of {room}: {seen}, wanted {wanted}");
                bell.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("events of {room}: {}, wanted {wanted}", names(&self.events(room).await));
        }
    }
}

pub(crate) fn names(events: &[Event]) -> String {
    let name = |event: &Event| match event.kind {
        EventKind::Ended { reason, .. } => format!("ended:{reason}"),
        ref other => other.name().to_owned(),
    };
    events.iter().map(name).collect::<Vec<_>>().join(" ")
}
