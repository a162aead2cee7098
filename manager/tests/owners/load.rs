//! Sessions that come and go, room by room, on and on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::{Acquired, Batch, Claim, KeyRecord, Registry, Release, Renewal, Takeover};
use onair_cluster::{Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, UnixMs};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A room that is used again and again.
pub(crate) struct Stage {
    registry: Arc<dyn Registry>,
    pub(crate) room: RoomId,
    key: LiveKeyId,
}

impl Stage {
    pub(crate) async fn new(registry: Arc<dyn Registry>, name: &str) -> Self {
        let room = RoomId::parse(name).unwrap();
        let key = LiveKeyId::random(&room);
        let record = KeyRecord {
            live_key_id: key.clone(),
            room_id: room.clone(),
            producer_id: ProducerId::parse("producer").unwrap(),
            takeover: Takeover::Idle,
            max_duration: None,
            max_bitrate: None,
            revoked: false,
            expires_at: UnixMs::now().plus(Duration::from_secs(3_600)),
        };
        registry.put_key(&record).await.unwrap();
        Self { registry, room, key }
    }

    /// Granted and live.
    pub(crate) async fn go_on_air(&self) -> SessionCard {
        let card = self.granted().await;
        self.go_live(&card).await;
        card
    }

    pub(crate) async fn granted(&self) -> SessionCard {
        let claim = Claim {
            session_id: SessionId::random(),
            room_id: self.room.clone(),
            live_key_id: self.key.clone(),
            node_id: NodeId::parse("ingest-1").unwrap(),
            client_addr: "127.0.0.1".parse().unwrap(),
            client_agent: String::new(),
            issued: None,
        };
        let reply = self.registry.commit(&Batch { claims: vec![claim], ..Batch::default() }).await;
        match reply.claims.into_iter().next().unwrap().unwrap().answer {
            Acquired::Granted(grant) => grant.card,
            other => panic!("not granted: {other:?}"),
        }
    }

    pub(crate) async fn go_live(&self, card: &SessionCard) {
        let renewal = Renewal { card: card.clone(), facts: facts() };
        self.registry.commit(&Batch { renewals: vec![renewal], ..Batch::default() }).await;
    }

    pub(crate) async fn go_off_air(&self, card: &SessionCard) {
        let release = Release { card: card.clone(), facts: facts(), reason: EndReason::Unpublished };
        self.registry.commit(&Batch { releases: vec![release], ..Batch::default() }).await;
    }
}

pub(crate) fn facts() -> Facts {
    let now = Some(UnixMs::now());
    Facts { live_at: now, last_media_at: now, bytes_in: 1, ..Facts::default() }
}

/// Rooms at work until told to stop.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    rooms: Vec<JoinHandle<(RoomId, Vec<SessionCard>)>>,
}

impl Load {
    /// Each of `rooms` rooms has a session about every `pause`.
    pub(crate) async fn start(registry: Arc<dyn Registry>, rooms: usize, pause: Duration) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        for n in 0..rooms {
            let stage = Stage::new(Arc::clone(&registry), &format!("room-{n}")).await;
            let mut stopped = stop.subscribe();
            tasks.push(tokio::spawn(async move {
                let mut cards = Vec::new();
                while !*stopped.borrow_and_update() {
                    let card = stage.go_on_air().await;
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.2..0.8))).await;
                    stage.go_off_air(&card).await;
                    cards.push(card);
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.2..0.8))).await;
                }
                (stage.room, cards)
            }));
        }
        Self { stop, rooms: tasks }
    }

    /// What each room had, in order.
    pub(crate) async fn finish(self) -> BTreeMap<RoomId, Vec<SessionCard>> {
        self.stop.send_replace(true);
        let mut rooms = BTreeMap::new();
        for room in self.rooms {
            let (room, cards) = room.await.unwrap();
            rooms.insert(room, cards);
        }
        rooms
    }
}
