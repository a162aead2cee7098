//! A Manager to ask, and a registry in which sessions come and go.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onair_cluster::events::{AudioFacts, EndReason, VideoFacts};
use onair_cluster::live_key::{Issuer, IssuerTerms, KeySet, LiveKeySigner, PublicKey};
use onair_cluster::nodes::{LocalNodes, Nodes};
use onair_cluster::play_token::PlayVerifier;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{
    Acquired, Batch, Claim, KeyRecord, LeaseTimes, LeaseView, Registry, Release, Renewal, Takeover,
};
use onair_cluster::{Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, Shard, UnixMs};
use onair_manager::config::{FeedLimits, HttpLimits};
use onair_manager::live_db::{LiveDb, OutboxRow, SqliteLiveDb};
use onair_manager::{
    AdminToken, ManagerConfig, ManagerError, ManagerHandle, ManagerMetrics, ManagerParts, NodeStatus,
    RegistryLife,
};
use serde_json::Value;
use tempfile::TempDir;
use ureq::http::Request;

use crate::schema;

pub(crate) const TOKEN: &str = "a-test-token-of-32-characters-ok";

/// What is to be started.
pub(crate) struct Setup {
    pub(crate) dir: TempDir,
    pub(crate) http: SocketAddr,
    /// The Manager's name among Managers.
    pub(crate) node: String,
    pub(crate) limits: HttpLimits,
    pub(crate) feed: FeedLimits,
    pub(crate) keys_max: usize,
    pub(crate) play_needs_token: bool,
    pub(crate) registry: Arc<LocalRegistry>,
    /// The registry as the Manager sees it, if it is one that others share.
    pub(crate) shared: Option<Arc<dyn Registry>>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let http = SocketAddr::from(([127, 0, 0, 1], 0));
        let dir = tempfile::tempdir().unwrap();
        let registry = Arc::new(LocalRegistry::new(LeaseTimes::default()));
        Self {
            dir,
            node: "node-1".to_owned(),
            http,
            limits: HttpLimits::default(),
            feed: FeedLimits::default(),
            keys_max: 8,
            play_needs_token: false,
            registry,
            shared: None,
        }
    }

    fn config(&self) -> ManagerConfig {
        let node_id = NodeId::parse(&self.node).unwrap();
        let config = ManagerConfig::new(
            self.http,
            self.dir.path().into(),
            "live.example.com:1935".to_owned(),
            node_id,
        );
        ManagerConfig {
            limits: self.limits,
            feed: self.feed,
            live_keys_per_room_max: self.keys_max,
            play_needs_token: self.play_needs_token,
            ..config
        }
    }

    pub(crate) async fn start(self) -> Api {
        let live_db = Arc::new(SqliteLiveDb::open(self.dir.path()).await.unwrap());
        self.start_on(live_db).await.unwrap()
    }

    pub(crate) async fn start_on(self, live_db: Arc<dyn LiveDb>) -> Result<Api, ManagerError> {
        let registry = Arc::clone(&self.registry);
        let (seen, registry_life) = match &self.shared {
            Some(shared) => (Arc::clone(shared), RegistryLife::Shared),
            None => (Arc::clone(&registry) as Arc<dyn Registry>, RegistryLife::OurOwn),
        };
        let nodes = Arc::new(LocalNodes::default());
        let signer = LiveKeySigner::generate("onair").unwrap();
        let play_verifier = PlayVerifier::new("onair", [signer.public_key()]);
        let mut prometheus = prometheus_client::registry::Registry::default();
        let metrics = ManagerMetrics::register(&mut prometheus);
        let parts = ManagerParts {
            registry: seen,
            registry_life,
            nodes: Arc::clone(&nodes) as Arc<dyn Nodes>,
            signer,
            issuers: vec![platform()],
            admin_token: AdminToken::new(TOKEN).unwrap(),
            metrics,
            prometheus: Arc::new(prometheus),
            node_status: Arc::new(|| NodeStatus {
                ready: true,
                state: "serving".to_owned(),
                degraded: vec![],
            }),
        };
        let handle = onair_manager::start_on(self.config(), parts, Arc::clone(&live_db)).await?;
        let base = format!("http://{}", handle.http_addr());
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build();
        let mut api = Api {
            handle,
            registry,
            nodes,
            play_verifier,
            live_db,
            dir: self.dir,
            base,
            agent: config.into(),
            document: Value::Null,
        };
        api.document = api.get("/openapi.json").json;
        Ok(api)
    }
}

/// What the platform signs with.
static PLATFORM: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

/// A token signed by the platform.
pub(crate) fn platform_token(claims: &Value) -> String {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", b64(br#"{"alg":"EdDSA"}"#), b64(claims.to_string().as_bytes()));
    format!("{message}.{}", b64(PLATFORM.sign(message.as_bytes()).as_ref()))
}

/// A token of the platform for the API.
pub(crate) fn token_of(role: &str) -> String {
    let exp = UnixMs::now().0 / 1_000 + 60;
    platform_token(
        &serde_json::json!({"iss": ISS, "aud": "onair-api", "sub": format!("some-{role}"), "role": role, "exp": exp}),
    )
}

pub(crate) const ISS: &str = "https://platform.example";

/// Another issuer.
pub(crate) fn platform() -> Issuer {
    let terms = IssuerTerms {
        name: "platform".to_owned(),
        iss: ISS.to_owned(),
        aud: "onair".to_owned(),
        api_aud: Some("onair-api".to_owned()),
        lifetime_max: Duration::from_secs(3_600),
    };
    let public = PublicKey(PLATFORM.public_key().as_ref().try_into().unwrap());
    Issuer::new(terms, KeySet::of([public]))
}

/// A running Manager.
pub(crate) struct Api {
    pub(crate) handle: ManagerHandle,
    pub(crate) registry: Arc<LocalRegistry>,
    pub(crate) nodes: Arc<LocalNodes>,
    pub(crate) play_verifier: PlayVerifier,
    pub(crate) live_db: Arc<dyn LiveDb>,
    pub(crate) dir: TempDir,
    pub(crate) base: String,
    agent: ureq::Agent,
    pub(crate) document: Value,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem, after looking whether it is a whole one.
    pub(crate) fn code(&self) -> &str {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let code = self.json["code"].as_str().unwrap();
        assert_eq!(self.json["type"], format!("urn:onair:problem:{code}"));
        assert_eq!(self.json["status"], self.status);
        assert_eq!(self.json["request_id"], self.header("x-request-id"));
        code
    }

    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(body.to_string()))
    }

    pub(crate) fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, Some(body.to_string()))
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<String>) -> Answer {
        self.ask_with(method, path, &[("authorization", &format!("Bearer {TOKEN}"))], body)
    }

    /// Asks as somebody else.
    pub(crate) fn ask_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {token}");
        self.ask_with(method, path, &[("authorization", &bearer)], body.map(|body| body.to_string()))
    }

    /// Asks, and compares the answer with the document.
    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut response = response.unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        };
        assert!(!answer.header("x-request-id").is_empty(), "{method} {path}");
        if let Some(schema) = schema::of_answer(&self.document, path, method, answer.status)
            && !answer.json.is_null()
        {
            schema::check(&self.document, schema, &answer.json, &format!("{method} {path}"));
        }
        answer
    }

    /// A broadcast address of `producer`.
    pub(crate) fn address(&self, producer: &str) -> Value {
        self.post(&format!("/v1/producers/{producer}/broadcast-url"), serde_json::json!({})).expect(201).json
    }

    /// Puts `producer` on air and waits until the Live DB knows.
    pub(crate) async fn on_air(&self, producer: &str) -> Session {
        let address = self.address(producer);
        let room: RoomId = address["room_id"].as_str().unwrap().parse().unwrap();
        let key: LiveKeyId = address["live_key_id"].as_str().unwrap().parse().unwrap();
        let session = Session::granted(&self.registry, room, key, "node-1").await.unwrap();
        let session = session.live(&self.registry, UnixMs::now()).await;
        self.stored().await;
        session
    }

    /// Waits until the Manager has stored all that the registry has told.
    pub(crate) async fn stored(&self) {
        let registry = &self.registry;
        eventually("all events stored", async || {
            let mut left = 0;
            for shard in onair_cluster::Shard::all() {
                left += registry.events(shard, 10_000).await.unwrap().len();
            }
            left == 0
        })
        .await;
    }
}

/// Waits for a condition that nobody announces; generous, since only a failure waits that long.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < patience, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A publisher as the registry sees one.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) card: SessionCard,
    pub(crate) facts: Facts,
}

impl Session {
    /// Claims `room`. `None` when it is not granted.
    pub(crate) async fn granted(
        registry: &LocalRegistry,
        room: RoomId,
        key: LiveKeyId,
        node: &str,
    ) -> Option<Self> {
        Self::claimed(registry, room, key, node, None).await
    }

    /// Claims a room with a key that another issuer minted.
    pub(crate) async fn issued(registry: &LocalRegistry, record: KeyRecord) -> Option<Self> {
        let (room, key) = (record.room_id.clone(), record.live_key_id.clone());
        Self::claimed(registry, room, key, "node-1", Some(record)).await
    }

    async fn claimed(
        registry: &LocalRegistry,
        room: RoomId,
        key: LiveKeyId,
        node: &str,
        issued: Option<KeyRecord>,
    ) -> Option<Self> {
        let claim = Claim {
            session_id: SessionId::random(),
            room_id: room,
            live_key_id: key,
            node_id: NodeId::parse(node).unwrap(),
            client_addr: "192.0.2.7".parse().unwrap(),
            client_agent: "obs 30".to_owned(),
            issued,
        };
        let batch = Batch { claims: vec![claim], ..Batch::default() };
        let reply = registry.commit(&batch).await.claims.remove(0).unwrap();
        match reply.answer {
            Acquired::Granted(grant) => Some(Self { card: grant.card, facts: Facts::default() }),
            _ => None,
        }
    }

    /// A session of a room that no Manager made.
    pub(crate) async fn of_room(registry: &LocalRegistry, room: &str, node: &str) -> Self {
        let room: RoomId = room.parse().unwrap();
        let key = LiveKeyId::random(&room);
        let record = KeyRecord {
            live_key_id: key.clone(),
            room_id: room.clone(),
            producer_id: ProducerId::parse(&format!("p-{room}")).unwrap(),
            takeover: Takeover::Idle,
            max_duration: None,
            max_bitrate: None,
            revoked: false,
            expires_at: UnixMs::now().plus(Duration::from_secs(3_600)),
        };
        registry.put_key(&record).await.unwrap();
        Self::granted(registry, room, key, node).await.unwrap()
    }

    pub(crate) async fn live(mut self, registry: &LocalRegistry, at: UnixMs) -> Self {
        self.facts = Facts {
            live_at: Some(at),
            last_media_at: Some(at),
            bytes_in: 1_000,
            bitrate_kbps: 2_500,
            video: Some(VideoFacts {
                codec: "h264".to_owned(),
                width: Some(1280),
                height: Some(720),
                fps: Some(29.97),
            }),
            audio: Some(AudioFacts { codec: "aac".to_owned(), sample_rate: Some(48_000), channels: Some(2) }),
            players: 3,
            unreplicated: false,
        };
        self.renew(registry).await;
        self
    }

    pub(crate) async fn renew(&self, registry: &LocalRegistry) {
        let renewal = Renewal { card: self.card.clone(), facts: self.facts.clone() };
        registry.commit(&Batch { renewals: vec![renewal], ..Batch::default() }).await;
    }

    pub(crate) async fn end(self, registry: &LocalRegistry, reason: EndReason) {
        let release = Release { card: self.card, facts: self.facts, reason };
        registry.commit(&Batch { releases: vec![release], ..Batch::default() }).await;
    }

    pub(crate) fn id(&self) -> String {
        self.card.session_id.to_string()
    }

    pub(crate) fn room(&self) -> &str {
        self.card.room_id.as_str()
    }

    pub(crate) async fn lease(&self, registry: &LocalRegistry) -> Option<LeaseView> {
        registry.lease(&self.card.room_id).await.unwrap()
    }
}

/// All messages, shard by shard, in order.
pub(crate) async fn outbox(live_db: &dyn LiveDb) -> Vec<OutboxRow> {
    let mut rows = Vec::new();
    for shard in Shard::all() {
        rows.extend(live_db.feed(shard, 0, 10_000).await.unwrap());
    }
    rows
}
