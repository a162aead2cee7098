//! A small world for the keeper: nodes, one room, a registry that may fail, all on tokio's clock, which stands still unless
//! everybody waits.

#![allow(dead_code, reason = "every test file compiles this module anew and uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

pub(crate) mod faulty;
pub(crate) mod old_redis;
pub(crate) mod redis;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use onair_cluster::clock::Clock;
use onair_cluster::events::EventKind;
use onair_cluster::ids::{LiveKeyId, NodeId, ProducerId, RoomId, SessionId};
use onair_cluster::keeper::{Keeper, Policy, Refusal};
use onair_cluster::lease::{Belief, Lease, LeaseSignal, Pass};
use onair_cluster::registry::local::LocalRegistry;
use onair_cluster::registry::{Claim, KeyRecord, LeaseTimes, LeaseView, Registry, Takeover};
use onair_cluster::time::{BootTime, UnixMs};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use faulty::Faulty;

/// Both clocks, driven by tokio's paused one.
pub(crate) struct TokioClock {
    since: Instant,
    /// Milliseconds that the machine was suspended, which tokio's clock does not count.
    suspended: AtomicU64,
}

impl TokioClock {
    fn new() -> Self {
        Self { since: Instant::now(), suspended: AtomicU64::new(0) }
    }

    /// The machine sleeps: no timer runs meanwhile.
    pub(crate) fn suspend(&self, ms: u64) {
        self.suspended.fetch_add(ms, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        self.since.elapsed() + Duration::from_millis(self.suspended.load(Ordering::Relaxed))
    }
}

impl Clock for TokioClock {
    fn unix(&self) -> UnixMs {
        UnixMs(1_800_000_000_000).plus(self.elapsed())
    }
    fn boot(&self) -> BootTime {
        BootTime(5_000_000_000).plus(self.elapsed())
    }
}

/// One registry, one room, and its key.
pub(crate) struct World {
    pub(crate) registry: Arc<Faulty>,
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) room: RoomId,
    pub(crate) key: LiveKeyId,
    /// Of the nodes made from now on.
    pub(crate) policy: Policy,
    started: Instant,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_takeover(Takeover::Idle).await
    }

    pub(crate) async fn with_takeover(takeover: Takeover) -> Self {
        let clock = Arc::new(TokioClock::new());
        let local = LocalRegistry::with_clock(LeaseTimes::default(), Arc::clone(&clock) as Arc<dyn Clock>);
        let registry = Faulty::new(Arc::new(local));
        let room = RoomId::parse("demo").unwrap();
        let key = put_key(&*registry, &room, takeover).await;
        Self { registry, clock, room, key, policy: Policy::default(), started: Instant::now() }
    }

    pub(crate) async fn with_policy(policy: Policy) -> Self {
        Self { policy, ..Self::new().await }
    }

    pub(crate) fn node(&self, name: &str) -> Node {
        let id = NodeId::parse(name).unwrap();
        let mut metrics = prometheus_client::registry::Registry::default();
        let registry = Arc::clone(&self.registry) as Arc<dyn Registry>;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let keeper = Keeper::with_clock(registry, id.clone(), self.policy, &mut metrics, clock);
        let run = tokio::spawn(run_again_after_panics(keeper.clone()));
        Node { keeper, id, metrics, run }
    }

    /// A claim of the room with its key, from this machine.
    pub(crate) fn claim(&self, node: &Node, session: u128) -> Claim {
        claim(SessionId(session), &self.room, &self.key, &node.id)
    }

    /// The same from elsewhere: not the holder's ghost.
    pub(crate) fn claim_from_afar(&self, node: &Node, session: u128) -> Claim {
        Claim { client_addr: IpAddr::from([127, 0, 0, 2]), ..self.claim(node, session) }
    }

    /// A claim of another room, with a key of its own.
    pub(crate) async fn claim_elsewhere(&self, node: &Node, session: u128, room: &str) -> Claim {
        let room_id = RoomId::parse(room).unwrap();
        let live_key_id = put_key(&*self.registry, &room_id, Takeover::Idle).await;
        Claim { room_id, live_key_id, ..self.claim(node, session) }
    }

    pub(crate) async fn publish(&self, node: &Node, session: u128) -> Result<Lease, Refusal> {
        node.keeper.claim(self.claim(node, session)).await
    }

    /// `1:granted 1:live 1:ended:unpublished 2:granted`, for the room.
    pub(crate) async fn story(&self) -> String {
        let events = self.registry.events(self.room.shard(), usize::MAX).await.unwrap();
        let told: Vec<String> = events
            .into_iter()
            .filter(|event| event.session.room_id == self.room)
            .map(|event| match event.kind {
                EventKind::Ended { reason, .. } => format!("{}:ended:{reason}", event.session.session_id.0),
                kind => format!("{}:{}", event.session.session_id.0, kind.name()),
            })
            .collect();
        told.join(" ")
    }

    pub(crate) async fn view(&self) -> Option<LeaseView> {
        self.registry.lease(&self.room).await.unwrap()
    }

    pub(crate) fn belief(&self, pass: &Pass) -> Belief {
        pass.check(self.clock.boot())
    }

    /// Milliseconds since the world began.
    pub(crate) fn ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    /// Media at a steady 1 Mbit/s, a frame every 30 ms, until the task is aborted or the pass is fenced.
    pub(crate) fn stream(&self, pass: Pass) -> JoinHandle<()> {
        let clock = Arc::clone(&self.clock);
        tokio::spawn(async move {
            pass.live(clock.unix());
            let mut tick = tokio::time::interval(Duration::from_millis(30));
            while pass.check(clock.boot()) != Belief::Over {
                tick.tick().await;
                pass.media(clock.boot(), 3_750);
            }
        })
    }
}

/// A keeper and the task that runs it.
pub(crate) struct Node {
    pub(crate) keeper: Keeper,
    pub(crate) id: NodeId,
    metrics: prometheus_client::registry::Registry,
    run: JoinHandle<()>,
}

impl Node {
    /// Claims in a task of its own.
    pub(crate) fn claiming(&self, claim: Claim) -> JoinHandle<Result<Lease, Refusal>> {
        let keeper = self.keeper.clone();
        tokio::spawn(async move { keeper.claim(claim).await })
    }

    /// Stops the loop where it is, without any goodbye.
    pub(crate) fn stop_running(&self) {
        self.run.abort();
    }

    pub(crate) fn run_again(&mut self) {
        self.run.abort();
        self.run = tokio::spawn(run_again_after_panics(self.keeper.clone()));
    }

    /// The value of a metric's line; 0 when there is none.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        text.lines()
            .find_map(|found| found.strip_prefix(line).and_then(|rest| rest.strip_prefix(' ')))
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
    struct AbortOnDrop(tokio::task::AbortHandle);
    impl Drop for AbortOnDrop {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    loop {
        let again = keeper.clone();
        let task = tokio::spawn(async move { again.run().await });
        let _with_us = AbortOnDrop(task.abort_handle());
        match task.await {
            Err(error) if error.is_panic() => {}
            _ => return,
        }
    }
}

/// The record of a new key for `room`.
pub(crate) fn record(room: &RoomId) -> KeyRecord {
    KeyRecord {
        live_key_id: LiveKeyId::random(room),
        room_id: room.clone(),
        producer_id: ProducerId::parse("producer-1").unwrap(),
        takeover: Takeover::Idle,
        max_duration: None,
        max_bitrate: None,
        revoked: false,
        expires_at: UnixMs(u64::MAX),
    }
}

/// Puts a key for `room` on record.
pub(crate) async fn put_key(registry: &dyn Registry, room: &RoomId, takeover: Takeover) -> LiveKeyId {
    let record = KeyRecord { takeover, ..record(room) };
    registry.put_key(&record).await.unwrap();
    record.live_key_id
}

/// A claim of `room` from this machine.
pub(crate) fn claim(session_id: SessionId, room: &RoomId, key: &LiveKeyId, node: &NodeId) -> Claim {
    Claim {
        session_id,
        room_id: room.clone(),
        live_key_id: key.clone(),
        node_id: node.clone(),
        client_addr: IpAddr::from([127, 0, 0, 1]),
        client_agent: "test".to_owned(),
        issued: None,
    }
}

pub(crate) fn last_signal(lease: &Lease) -> LeaseSignal {
    signals(lease).borrow().clone()
}

/// What a session is told, to wait on. One receiver per lease: the newest hears.
pub(crate) fn signals(lease: &Lease) -> watch::Receiver<LeaseSignal> {
    let (said, signals) = watch::channel(LeaseSignal::Held);
    lease.on_signal(move |word| {
        said.send_replace(word);
    });
    signals
}

/// Lets time pass, and everything that happens in it happen.
pub(crate) async fn pass_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
