//! A cluster in one process: nodes that share a registry and find each other, and publishers on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::directory::Directory;
use onair_cluster::keeper::{Keeper, Policy};
use onair_cluster::live_key::LiveKeySigner;
use onair_cluster::nodes::{Incarnation, LocalNodes, NodeCard, NodeLoad, Nodes};
use onair_cluster::play_token::PlayVerifier;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{KeyRecord, LeaseTimes, Registry, Takeover};
use onair_cluster::relay_token::{RelayKey, RelayPass};
use onair_cluster::{Epoch, LiveKeyId, NodeId, ProducerId, RoomId, UnixMs};
use onair_ingest::{IngestConfig, IngestNode, NodeParts, RelayParts, Reports, bind};
use onair_loadtest::address::Address;
use onair_loadtest::client::{Client, Want};
use onair_loadtest::media::{Broadcast, Shape};
use prometheus_client::registry::Registry as Metrics;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const SHAPE: Shape = Shape { kbps: 300, fps: 30, gop: 10 };
const SECRET: &str = "a secret of enough bytes";

/// What nodes share.
pub(crate) struct Cluster {
    registry: Arc<LocalRegistry>,
    nodes: Arc<LocalNodes>,
    pub(crate) signer: LiveKeySigner,
    key: RelayKey,
}

/// One of them.
pub(crate) struct Node {
    pub(crate) ingest: IngestNode,
    metrics: Metrics,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            registry: LocalRegistry::start(LeaseTimes::default()),
            nodes: Arc::default(),
            signer: LiveKeySigner::generate("onair").unwrap(),
            key: RelayKey::derive("onair", SECRET).unwrap(),
        }
    }

    pub(crate) async fn node(&self, name: &str) -> Node {
        self.node_with(name, IngestConfig::default()).await
    }

    pub(crate) async fn node_with(&self, name: &str, config: IngestConfig) -> Node {
        let mut metrics = Metrics::default();
        let id = NodeId::parse(name).unwrap();
        let local = || bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let registry = self.registry.clone() as Arc<dyn Registry>;
        let directory = Directory::new(registry.clone(), self.nodes.clone(), &mut metrics);
        let relay = RelayParts { directory, key: self.key.clone(), socket: Some(local()) };
        let parts = NodeParts {
            node: id.clone(),
            socket: local(),
            keeper: Keeper::new(registry, id.clone(), Policy::default(), &mut metrics),
            verifier: self.signer.verifier(),
            play_verifier: PlayVerifier::new("onair", [self.signer.public_key()]),
            relay: Some(relay),
            reports: Reports::register(&mut metrics),
        };
        let ingest = IngestNode::start(config, parts).await.unwrap();
        let card = NodeCard {
            node_id: id,
            incarnation: Incarnation::random(),
            version: "0".to_owned(),
            started_at: UnixMs::now(),
            rtmp: None,
            relay: ingest.relay_address().map(|address| address.to_string()),
        };
        self.nodes.beat(&card, &NodeLoad::default(), false).await.unwrap();
        Node { ingest, metrics }
    }

    /// Where to publish into `room` on `node`, with a key that takes over at once.
    async fn key(&self, node: &Node, room: &str) -> Address {
        let room_id = RoomId::parse(room).unwrap();
        let producer_id = ProducerId::parse("producer").unwrap();
        let live_key_id = LiveKeyId::random(&room_id);
        let now = UnixMs::now();
        let expires_at = now.plus(Duration::from_secs(3600));
        let key = self.signer.mint(&room_id, &producer_id, &live_key_id, now, expires_at).unwrap();
        let record = KeyRecord {
            live_key_id,
            room_id,
            producer_id,
            takeover: Takeover::Always,
            max_duration: None,
            max_bitrate: None,
            revoked: false,
            expires_at,
        };
        self.registry.put_key(&record).await.unwrap();
        node.address(room, key.expose())
    }

    /// A publisher that has sent one GOP.
    pub(crate) async fn publish(&self, node: &Node, room: &str) -> (Client, Broadcast) {
        let mut client = Client::start(&self.key(node, room).await, Want::Publish, None).await.unwrap();
        let mut broadcast = Broadcast::new(SHAPE);
        client.send(&broadcast.headers()).await.unwrap();
        pictures(&mut client, &mut broadcast, 10).await;
        (client, broadcast)
    }

    pub(crate) async fn epoch(&self, room: &str) -> Epoch {
        self.registry.lease(&RoomId::parse(room).unwrap()).await.unwrap().unwrap().card.epoch
    }

    /// Where another node asks `node` for a room, with this token.
    pub(crate) fn relay_address(node: &Node, room: &str, token: &str) -> Address {
        let address = node.ingest.relay_address().unwrap();
        Address::parse(&format!("rtmp://{address}/{room}/live?token={token}")).unwrap()
    }

    pub(crate) fn token(&self, room: &str, epoch: Epoch, now: UnixMs) -> String {
        let (node, room) = (NodeId::parse("tester").unwrap(), RoomId::parse(room).unwrap());
        self.key.mint(&RelayPass { node, room, epoch }, now).unwrap().expose().to_owned()
    }
}

impl Node {
    pub(crate) fn address(&self, room: &str, name: &str) -> Address {
        Address::parse(&format!("rtmp://{}/{room}/{name}", self.ingest.address())).unwrap()
    }

    pub(crate) async fn play(&self, room: &str) -> Client {
        Client::start(&self.address(room, "live"), Want::Play, None).await.unwrap()
    }

    /// The value of a metric's line; 0 when there is none.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has a value.
    pub(crate) async fn expect(&self, line: &str, wanted: u64) {
        let in_time = self.comes_to(|node| node.metric(line) == wanted).await;
        assert!(in_time, "{line} is {}, not {wanted}", self.metric(line));
    }

    /// Waits until `holds` of it. False: in vain.
    pub(crate) async fn comes_to(&self, holds: impl Fn(&Self) -> bool) -> bool {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.is_ok()
    }

    /// How often it began to pull a room.
    pub(crate) fn starts(&self) -> u64 {
        self.metric("onair_ingest_relay_pull_starts_total")
    }
}

/// Sends the next pictures.
pub(crate) async fn pictures(client: &mut Client, broadcast: &mut Broadcast, count: u32) {
    for _ in 0..count {
        client.send(&broadcast.next_picture()).await.unwrap();
    }
}
