//! A node under test: a keeper over a registry, both on tokio's clock, which stands still unless everybody waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::clock::Clock;
use onair_cluster::events::{Event, EventKind};
use onair_cluster::ids::{LiveKeyId, NodeId, ProducerId, RoomId, SessionId};
use onair_cluster::keeper::Keeper;
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{Claim, KeyRecord, LeaseTimes, Registry, Takeover};
use onair_cluster::time::{BootTime, UnixMs};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Both clocks, driven by tokio's paused one.
pub(crate) struct TokioClock(Instant);

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn unix(&self) -> UnixMs {
        UnixMs(1_800_000_000_000).plus(self.0.elapsed())
    }
    fn boot(&self) -> BootTime {
        BootTime(5_000_000_000).plus(self.0.elapsed())
    }
}

/// A keeper and the task that runs it.
pub(crate) struct Node {
    pub(crate) keeper: Keeper,
    pub(crate) id: NodeId,
    pub(crate) metrics: prometheus_client::registry::Registry,
    run: JoinHandle<()>,
}

impl Node {
    pub(crate) fn start(name: &str, registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Self {
        let id = NodeId::parse(name).unwrap();
        let mut metrics = prometheus_client::registry::Registry::default();
        let keeper = Keeper::with_clock(registry, id.clone(), &mut metrics, clock);
        let run = tokio::spawn(run_again_after_panics(keeper.clone()));
        Self { keeper, id, metrics, run }
    }

    /// Stops the loop without any goodbye.
    pub(crate) fn kill(&self) {
        self.run.abort();
    }

    pub(crate) fn run_again(&mut self) {
        self.run.abort();
        self.run = tokio::spawn(run_again_after_panics(self.keeper.clone()));
    }

    pub(crate) fn claim_of(&self, session: u128, key: &LiveKeyId, room: &RoomId) -> Claim {
        Claim {
            session_id: SessionId(session),
            room_id: room.clone(),
            live_key_id: key.clone(),
            node_id: self.id.clone(),
            client_addr: IpAddr::from([127, 0, 0, 1]),
            client_agent: "test".to_owned(),
        }
    }

    /// The value of a metric's line, `0` when there is none.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        text.lines()
            .find_map(|l| l.strip_prefix(line).and_then(|rest| rest.strip_prefix(' ')))
            .map_or(0.0, |value| value.parse().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.run.abort();
    }
}

/// What a supervisor does.
async fn run_again_after_panics(keeper: Keeper) {
    loop {
        let again = keeper.clone();
        match tokio::spawn(async move { again.run().await }).await {
            Err(error) if error.is_panic() => {}
            _ => return,
        }
    }
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

/// Puts a key for `room` on record.
pub(crate) async fn put_key(registry: &dyn Registry, room: &RoomId, takeover: Takeover) -> LiveKeyId {
    let live_key_id = LiveKeyId::random(room);
    let record = KeyRecord {
        live_key_id: live_key_id.clone(),
        room_id: room.clone(),
        producer_id: ProducerId::parse("producer-1").unwrap(),
        takeover,
        max_duration: None,
        revoked: false,
        expires_at: UnixMs(u64::MAX),
    };
    registry.put_key(&record).await.unwrap();
    live_key_id
}

pub(crate) fn local(clock: &Arc<TokioClock>) -> Arc<LocalRegistry> {
    Arc::new(LocalRegistry::with_clock(LeaseTimes::default(), Arc::clone(clock) as Arc<dyn Clock>))
}

pub(crate) async fn events(registry: &dyn Registry, room: &RoomId) -> Vec<Event> {
    registry.events(room.shard(), usize::MAX).await.unwrap()
}

/// `granted live ended:unpublished`, for one room.
pub(crate) async fn story(registry: &dyn Registry, room: &RoomId) -> String {
    let told: Vec<String> = events(registry, room)
        .await
        .into_iter()
        .filter(|event| event.session.room_id == *room)
        .map(|event| match event.kind {
            EventKind::Ended { reason, .. } => format!("{}:ended:{reason}", event.session.session_id.0),
            kind => format!("{}:{}", event.session.session_id.0, kind.name()),
        })
        .collect();
    told.join(" ")
}

pub(crate) async fn pass_time(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
