//! Follow: one room that has players here and no publisher. It finds the node that holds the room, pulls from it, and goes after the
//! room when it moves, for as long as somebody watches.
//!
//! It hears of a new epoch in three ways: the room's bell, a look every [`LOOK_EVERY`], and the pull itself, which the other node
//! ends. While the registry is away it goes on with what it has: only a higher epoch, not an unanswered question, ends a pull.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_cluster::directory::{Directory, OnAir};
use onair_cluster::registry::RoomBell;
use onair_cluster::relay_token::RelayKey;
use onair_cluster::{Epoch, NodeId, RoomId};
use rand::Rng;

use super::intake::Intake;
use super::pull::{PullEnd, pull};
use crate::config::IngestConfig;
use crate::reports::Reports;
use crate::room::Rooms;

/// How often a room is looked for when no bell rings, on air or not.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is seen whether somebody still watches.
const AUDIENCE_EVERY: Duration = Duration::from_secs(1);
/// The pause after a pull that worked and broke: hardly any, since a fresh look tells whether the room has moved.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between attempts that fail.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// How long a broken pull may take to come back without players noticing more than a pause. Past it the room is off air here.
const INTAKE_KEPT: Duration = Duration::from_secs(10);

/// What all pulls of a node share.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) node: NodeId,
    pub(crate) rooms: Rooms,
    pub(crate) directory: Directory,
    pub(crate) key: RelayKey,
    pub(crate) config: Arc<IngestConfig>,
    pub(crate) reports: Reports,
}

/// Follows `room` until its last player has been gone for a while.
pub(super) async fn follow(wiring: Wiring, room: RoomId) {
    let mut following = Following {
        bell: None,
        failures: 0,
        watch: Watch { wiring: wiring.clone(), room: room.clone(), seen: Instant::now() },
        intake: None,
        last: None,
        wiring,
        room,
    };
    following.run().await;
}

struct Following {
    wiring: Wiring,
    room: RoomId,
    bell: Option<RoomBell>,
    /// Attempts in a row that brought nothing.
    failures: u32,
    watch: Watch,
    /// What was pulled last, and from where.
    intake: Option<Intake>,
    last: Option<OnAir>,
}

/// Who watches, and since when nobody does.
struct Watch {
    wiring: Wiring,
    room: RoomId,
    /// When somebody was last seen watching.
    seen: Instant,
}

impl Watch {
    /// Whether nobody has watched for longer than a pull lingers.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if self.wiring.rooms.audience(&self.room).players > 0 {
            self.seen = now;
        }
        now.saturating_duration_since(self.seen) >= self.wiring.config.relay_linger
    }
}

impl Following {
    async fn run(&mut self) {
        if self.wiring.rooms.audience(&self.room).highest > Epoch(0) {
            // It was on air here: it may come back on any node.
            self.subscribe();
        }
        while !self.watch.is_over() {
            let pause = self.turn().await;
            // Pauses are cut short by the bell, and never longer than a look at the audience may wait.
            let pause = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            if rings(&mut self.bell, pause.min(LOOK_EVERY)).await {
                self.wiring.directory.forget(&self.room);
            }
        }
    }

    /// One look, and a pull if there is something to pull. Says how long to wait before the next.
    async fn turn(&mut self) -> Duration {
        let has_media = |intake: &Intake| intake.heard().elapsed() < INTAKE_KEPT;
        self.intake = self.intake.take().filter(has_media);
        let audience = self.wiring.rooms.audience(&self.room);
        if audience.is_published_here {
            self.intake = None;
            self.subscribe();
            return AUDIENCE_EVERY;
        }
        let on_air = match self.wiring.directory.find(&self.room).await {
            Ok(Some(on_air)) => on_air,
            Ok(None) => {
                self.intake = None;
                return LOOK_EVERY;
            }
            // The registry is away: a room that was on air a moment ago is most likely still where it was.
            Err(_) => match self.last.clone().filter(|_| self.intake.is_some()) {
                Some(last) => last,
                None => return AUDIENCE_EVERY,
            },
        };
        self.subscribe();
        if on_air.node_id == self.wiring.node {
            // Ours, and its publisher is about to begin, or just left.
            return self.failed();
        }
        if on_air.epoch < audience.highest {
            self.report(&on_air, &PullEnd::Older, Duration::ZERO);
            return self.failed();
        }
        self.wiring.rooms.raise(&self.room, on_air.epoch);
        let pause = self.pull(&on_air).await;
        self.last = Some(on_air);
        pause
    }

    async fn pull(&mut self, on_air: &OnAir) -> Duration {
        let began = Instant::now();
        let heard_before = self.intake.as_ref().map(Intake::heard);
        let end = tokio::select! {
            end = pull(&self.wiring, &self.room, on_air, &mut self.intake) => end,
            end = watch(&mut self.watch, on_air.epoch, &mut self.bell) => end,
        };
        self.report(on_air, &end, began.elapsed());
        let brought_media = self.intake.as_ref().map(Intake::heard) > heard_before;
        if brought_media {
            self.failures = 0;
        }
        // What was known when it began is old by now.
        self.wiring.directory.forget(&self.room);
        match end {
            PullEnd::Over => {
                if let Some(intake) = self.intake.take() {
                    intake.end_for_good();
                }
                AUDIENCE_EVERY
            }
            PullEnd::Moved | PullEnd::Fenced => {
                self.intake = None;
                Duration::ZERO
            }
            PullEnd::NoPlayers => Duration::ZERO,
            _ => self.failed(),
        }
    }

    fn report(&self, on_air: &OnAir, end: &PullEnd, lasted: Duration) {
        self.wiring.reports.relay().pull_ended(&self.room, on_air.epoch, &on_air.node_id, end, lasted);
    }

    /// The pause before another attempt: twice as long each time.
    fn failed(&mut self) -> Duration {
        let pause = PAUSE_MIN * (1 << self.failures.min(5));
        self.failures += 1;
        pause.min(PAUSE_MAX)
    }

    fn subscribe(&mut self) {
        if self.bell.is_none() {
            self.bell = Some(self.wiring.directory.bell(&self.room));
        }
    }
}

/// Resolves when a running pull must end, whatever it receives: the room is elsewhere by now, or nobody watches.
async fn watch(watch: &mut Watch, epoch: Epoch, bell: &mut Option<RoomBell>) -> PullEnd {
    let mut look_at = Instant::now() + LOOK_EVERY;
    loop {
        let rang = rings(bell, AUDIENCE_EVERY).await;
        if watch.is_over() {
            return PullEnd::NoPlayers;
        }
        let audience = watch.wiring.rooms.audience(&watch.room);
        if audience.is_published_here || audience.highest > epoch {
            return PullEnd::Fenced;
        }
        if rang {
            watch.wiring.directory.forget(&watch.room);
        } else if Instant::now() < look_at {
            continue;
        }
        look_at = Instant::now() + LOOK_EVERY;
        if let Ok(Some(on_air)) = watch.wiring.directory.find(&watch.room).await
            && on_air.epoch > epoch
        {
            watch.wiring.rooms.raise(&watch.room, on_air.epoch);
            return PullEnd::Moved;
        }
    }
}

/// Waits for the bell, at most for `pause`. True when it rang.
async fn rings(bell: &mut Option<RoomBell>, pause: Duration) -> bool {
    let ring = async {
        let rang = match bell {
            Some(bell) => bell.rung.changed().await.is_ok(),
            None => false,
        };
        if !rang {
            // No bell, or one that will never ring again.
            std::future::pending::<()>().await;
        }
    };
    tokio::time::timeout(pause, ring).await.is_ok()
}
