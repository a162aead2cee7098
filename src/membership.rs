//! Membership: one name among the nodes of a cluster, taken at the start, kept by a beat each second, given back at the end.
//!
//! Two processes must not share a name: a restarted node ends what its name still holds, and would end the sessions of a
//! living one. So a name that is taken is waited for, for as long as a dead holder of it counts as alive, and then refused; and
//! who finds its own name taken later, after a long sleep, is no node any more.

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::nodes::{BEAT_EVERY, Beat, DEAD_AFTER, Incarnation, NodeCard, NodeLoad, Nodes};
use onair_cluster::{NodeId, Registry, RegistryError, Shard, UnixMs};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::life::{Life, Stage};

/// How long a start waits for a name, beyond the time after which a dead holder loses it.
const SLACK: Duration = Duration::from_secs(2);
/// The longest one call may take: a beat must not come late for one that is lost.
const CALL_TIMEOUT: Duration = Duration::from_millis(800);
/// Between two attempts to take a name.
const RETRY: Duration = Duration::from_millis(500);
/// How long a start tries to end what its name still holds. What is left then ends by its deadline.
const FREEING_MAX: Duration = Duration::from_secs(5);

/// Why a name is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum JoinError {
    /// Another process has it, and lives.
    #[error("{0} is taken by another process that is alive: {cure}, or stop the other", cure = .0.cure())]
    Taken(Name),
    /// The registry does not answer.
    #[error("the registry of nodes does not answer: {0}")]
    Away(RegistryError),
}

/// What a name is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A node's id.
    Node(NodeId),
    /// The place of the one Manager that a cluster has with a SQLite Live DB.
    Seat,
    /// The Manager of this node, where there may be several.
    Manager(NodeId),
}

impl Name {
    /// What to do when another process has it.
    const fn cure(&self) -> &'static str {
        match self {
            Self::Node(_) | Self::Manager(_) => "give each its own node.id",
            Self::Seat => "run ingest nodes beside it, or give both a PostgreSQL (postgres.url)",
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(id) => write!(f, "the node id {id}"),
            Self::Seat => f.write_str("the place of this cluster's one Manager"),
            Self::Manager(id) => write!(f, "the Manager's name {id}"),
        }
    }
}

/// What a beat brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Nothing.
    None,
    /// Somebody wants the node to drain.
    Drain,
    /// Another process has the name now.
    Displaced,
}

/// How a node fares, asked at each beat.
pub(crate) type Meter = Arc<dyn Fn() -> NodeLoad + Send + Sync>;

/// A name that is ours.
pub(crate) struct Membership {
    name: Name,
    card: NodeCard,
    nodes: Arc<dyn Nodes>,
    call: watch::Receiver<Call>,
    task: JoinHandle<()>,
}

impl Membership {
    /// Takes a name and keeps it. What its last holder had is not freed by this.
    pub(crate) async fn join(
        name: Name,
        card: NodeCard,
        nodes: Arc<dyn Nodes>,
        life: Life,
        meter: Meter,
    ) -> Result<Self, JoinError> {
        take(&name, &card, &*nodes).await?;
        let (calls, call) = watch::channel(Call::None);
        let task = tokio::spawn(keep(card.clone(), Arc::clone(&nodes), life, meter, calls));
        Ok(Self { name, card, nodes, call, task })
    }

    /// Resolves with the name, when somebody wants something of its holder.
    pub(crate) async fn called(&self) -> (Name, Call) {
        let mut call = self.call.clone();
        let called = call.wait_for(|call| *call != Call::None).await.map(|call| *call);
        match called {
            Ok(call) => (self.name.clone(), call),
            // The task never ends before us, unless the runtime does.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives the name back. Unanswered: it is free when it has not been beaten for a while.
    pub(crate) async fn leave(self) {
        self.task.abort();
        if !matches!(timeout(CALL_TIMEOUT, self.nodes.leave(&self.card)).await, Ok(Ok(()))) {
            tracing::warn!(name = %self.name, "the registry did not take the name back; it is free in a few seconds");
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A new card for this run of the process.
pub(crate) fn card(node_id: NodeId, rtmp: Option<String>, relay: Option<String>) -> NodeCard {
    NodeCard {
        node_id,
        incarnation: Incarnation::random(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: UnixMs::now(),
        rtmp,
        relay,
    }
}

/// Ends, as lost, what an earlier run of `node` still holds. Only before this run holds anything: the registry cannot tell
/// the two apart.
pub(crate) async fn free(registry: &dyn Registry, node: &NodeId) {
    let deadline = Instant::now() + FREEING_MAX;
    let mut left: Vec<Shard> = Shard::all().collect();
    let mut freed = 0;
    loop {
        let frees = left.iter().map(|shard| async move {
            (*shard, timeout(CALL_TIMEOUT, registry.free_node(*shard, node)).await)
        });
        let mut failed = Vec::new();
        for (shard, answer) in futures_util::future::join_all(frees).await {
            match answer {
                Ok(Ok(rooms)) => freed += rooms.len(),
                _ => failed.push(shard),
            }
        }
        left = failed;
        if left.is_empty() || Instant::now() >= deadline {
            break;
        }
        sleep(RETRY).await;
    }
    if freed > 0 {
        tracing::warn!(sessions = freed, "sessions of an earlier run of this node are ended as lost");
    }
    if !left.is_empty() {
        tracing::warn!(
            shards = left.len(),
            "what an earlier run of this node held there ends by its deadline"
        );
    }
}

async fn take(name: &Name, card: &NodeCard, nodes: &dyn Nodes) -> Result<(), JoinError> {
    let deadline = Instant::now() + DEAD_AFTER + SLACK;
    let mut was_told = false;
    loop {
        let refused = match beat(nodes, card, &NodeLoad::default(), Stage::Starting).await {
            Ok(Beat::Alive { .. }) => return Ok(()),
            Ok(Beat::Taken { beat_ago }) => {
                if !std::mem::replace(&mut was_told, true) {
                    tracing::info!(%name, ?beat_ago, "the name is taken; waiting whether its holder is still alive");
                }
                JoinError::Taken(name.clone())
            }
            Err(error) => JoinError::Away(error),
        };
        if Instant::now() >= deadline {
            return Err(refused);
        }
        sleep(RETRY).await;
    }
}

/// Beats each second, and at once when the stage changes.
async fn keep(card: NodeCard, nodes: Arc<dyn Nodes>, life: Life, meter: Meter, calls: watch::Sender<Call>) {
    let mut tick = interval(BEAT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_answer = Instant::now();
    let mut rivalry = Rivalry::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = life.changed() => {}
        }
        match beat(&*nodes, &card, &meter(), life.stage()).await {
            Ok(answer) => {
                last_answer = Instant::now();
                let call = match answer {
                    _ if rivalry.is_lost(&answer, last_answer) => Call::Displaced,
                    Beat::Alive { is_drain_asked: true, .. } => Call::Drain,
                    Beat::Alive { .. } | Beat::Taken { .. } => Call::None,
                };
                calls.send_if_modified(|known| {
                    // A drain that is asked for once is asked for.
                    let is_news = call != Call::None && *known != call;
                    if is_news {
                        *known = call;
                    }
                    is_news
                });
            }
            Err(error) => {
                tracing::debug!(%error, node = %card.node_id, "a beat was not answered");
            }
        }
        life.note_cut_off(last_answer.elapsed() > DEAD_AFTER);
    }
}

/// Another run under our name. Beats are not confirmed by replicas, so a failover of the registry may bring back the run before
/// ours, long dead; that one loses the name in time. One that keeps it is alive.
#[derive(Debug, Default)]
struct Rivalry {
    since: Option<Instant>,
}

impl Rivalry {
    /// Whether the name is another's for good, given the answer to a beat.
    fn is_lost(&mut self, answer: &Beat, now: Instant) -> bool {
        match answer {
            Beat::Alive { .. } => {
                self.since = None;
                false
            }
            Beat::Taken { .. } => {
                now.duration_since(*self.since.get_or_insert(now)) > DEAD_AFTER + BEAT_EVERY
            }
        }
    }
}

async fn beat(
    nodes: &dyn Nodes,
    card: &NodeCard,
    load: &NodeLoad,
    stage: Stage,
) -> Result<Beat, RegistryError> {
    let call = nodes.beat(card, load, stage == Stage::Draining);
    timeout(CALL_TIMEOUT, call).await.unwrap_or(Err(RegistryError::Unreachable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lost_to_who_keeps_it_and_not_to_the_memory_of_a_dead_one() {
        let taken = Beat::Taken { beat_ago: Duration::from_secs(1) };
        let alive = Beat::Alive { is_new: false, is_drain_asked: false };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rivalry = Rivalry::default();
        assert!(!rivalry.is_lost(&taken, at(0)));
        assert!(!rivalry.is_lost(&taken, at(5)), "a dead one may still have it");
        assert!(!rivalry.is_lost(&alive, at(6)), "and it had lost it");
        for second in 7..=13 {
            assert!(!rivalry.is_lost(&taken, at(second)));
        }
        assert!(rivalry.is_lost(&taken, at(14)));
    }
}
