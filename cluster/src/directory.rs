//! Directory: which node has a room on air, for nodes that want to show it. A cache in front of the registry, and a guard: whoever
//! guesses rooms costs the registry a bounded number of lookups a second, however fast they guess.
//!
//! Per room one lookup is in flight at a time, and its answer is kept for a moment: [`Patience::on_air`] when the room is on air,
//! [`Patience::off_air`] when it is not. Only a room that was on air lately is looked up outside the budget.

mod budget;
mod places;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Metrics;
use tokio::time::Instant;

use crate::ids::{Epoch, NodeId, RoomId, SessionId};
use crate::nodes::Nodes;
use crate::registry::{Registry, RegistryError, RoomBell};
use budget::Budget;
use places::Places;

/// The longest one lookup may take, however long the registry would.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a failed lookup stands for the next ones: an outage must not make callers queue.
const FAILURE_STANDS: Duration = Duration::from_millis(500);

/// Where a room is on air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnAir {
    /// The session.
    pub session_id: SessionId,
    /// Its order among the room's sessions.
    pub epoch: Epoch,
    /// The node that holds it.
    pub node_id: NodeId,
    /// `host:port` where that node lets others pull from it, if it does.
    pub relay: Option<String>,
}

/// How long answers stand, and how much guessing costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long "on air there" stands. 1 s.
    pub on_air: Duration,
    /// How long "not on air" stands. 2 s.
    pub off_air: Duration,
    /// How long a room that was on air is looked up outside the budget: as long as its viewers may still hope. 15 min.
    pub known: Duration,
    /// Lookups a second, and at once, of rooms that are not known to be on air. 200.
    pub lookups_per_second: u32,
    /// Rooms remembered. 10 000, some 200 bytes each.
    pub rooms_max: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            on_air: Duration::from_secs(1),
            off_air: Duration::from_secs(2),
            known: Duration::from_secs(15 * 60),
            lookups_per_second: 200,
            rooms_max: 10_000,
        }
    }
}

/// Finds rooms. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    registry: Arc<dyn Registry>,
    places: Places,
    patience: Patience,
    budget: Budget,
    rooms: Mutex<HashMap<RoomId, Arc<Slot>>>,
    lookups: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// What is known of one room.
#[derive(Default)]
struct Slot {
    /// Locked while it is asked for: whoever comes meanwhile gets the same answer.
    answer: tokio::sync::Mutex<Option<Answer>>,
    /// Raised when the answer is known to be old.
    version: AtomicU64,
    on_air_at: Mutex<Option<Instant>>,
}

struct Answer {
    found: Result<Option<OnAir>, RegistryError>,
    until: Instant,
    version: u64,
}

impl Directory {
    /// A directory on top of the cluster's registries. Registers `onair_directory_lookups`; `metrics` must have no prefix.
    pub fn new(registry: Arc<dyn Registry>, nodes: Arc<dyn Nodes>, metrics: &mut Metrics) -> Self {
        Self::with(registry, nodes, metrics, Patience::default())
    }

    /// The same with other bounds.
    pub fn with(
        registry: Arc<dyn Registry>,
        nodes: Arc<dyn Nodes>,
        metrics: &mut Metrics,
        patience: Patience,
    ) -> Self {
        let lookups = Family::default();
        metrics.register("onair_directory_lookups", "Rooms looked for, by what it took", lookups.clone());
        Self(Arc::new(Inner {
            registry,
            places: Places::new(nodes),
            patience,
            budget: Budget::new(patience.lookups_per_second),
            rooms: Mutex::default(),
            lookups,
        }))
    }

    /// Where `room` is on air: `None` when it is not, or when too many unknown rooms were looked for within the last second.
    /// Answers within a second, or with an error; what it answers may be as old as [`Patience`] says.
    ///
    /// # Errors
    /// The registry's, for this room.
    pub async fn find(&self, room: &RoomId) -> Result<Option<OnAir>, RegistryError> {
        let now = Instant::now();
        let Some((slot, prepaid)) = self.slot(room, now) else {
            self.count("over_budget");
            return Ok(None);
        };
        let mut answer = slot.answer.lock().await;
        let now = now.max(Instant::now());
        let version = slot.version.load(Ordering::Acquire);
        if let Some(known) = answer.as_ref().filter(|known| known.stands(now, version)) {
            self.count("cached");
            return known.found.clone();
        }
        let known = slot.was_on_air(now, self.0.patience.known);
        if !prepaid && !known && !self.0.budget.take(now) {
            self.count("over_budget");
            return Ok(None);
        }
        self.count("asked");
        let found = self.ask(room).await;
        let now = Instant::now();
        let stands = match &found {
            Ok(Some(_)) => self.0.patience.on_air,
            Ok(None) => self.0.patience.off_air,
            Err(_) => FAILURE_STANDS,
        };
        if let Ok(Some(_)) = &found {
            *slot.on_air_at.lock() = Some(now);
            if !known {
                // It was no guess.
                self.0.budget.give_back();
            }
        }
        *answer = Some(Answer { found: found.clone(), until: now + stands, version });
        found
    }

    /// What is known of `room` is old: the next [`Self::find`] asks.
    pub fn forget(&self, room: &RoomId) {
        if let Some(slot) = self.0.rooms.lock().get(room) {
            slot.version.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The bell of a room; see [`Registry::room_bell`]. It may cost the registry a subscription: only for rooms that were found.
    pub fn bell(&self, room: &RoomId) -> RoomBell {
        self.0.registry.room_bell(room)
    }

    /// The room's slot. A new one costs a lookup, paid here, so that guesses over the budget leave no trace in memory either.
    fn slot(&self, room: &RoomId, now: Instant) -> Option<(Arc<Slot>, bool)> {
        let mut rooms = self.0.rooms.lock();
        if let Some(slot) = rooms.get(room) {
            return Some((slot.clone(), false));
        }
        if !self.0.budget.take(now) {
            return None;
        }
        if rooms.len() >= self.0.patience.rooms_max {
            self.make_place(&mut rooms, now);
        }
        let slot = Arc::<Slot>::default();
        rooms.insert(room.clone(), slot.clone());
        Some((slot, true))
    }

    /// Forgets what stands no more; if that is not enough, also which rooms were on air; then everything.
    fn make_place(&self, rooms: &mut HashMap<RoomId, Arc<Slot>>, now: Instant) {
        let Patience { known, rooms_max, .. } = self.0.patience;
        rooms.retain(|_, slot| slot.is_in_use(now) || slot.was_on_air(now, known));
        if rooms.len() >= rooms_max {
            rooms.retain(|_, slot| slot.is_in_use(now));
        }
        if rooms.len() >= rooms_max {
            rooms.clear();
        }
    }

    async fn ask(&self, room: &RoomId) -> Result<Option<OnAir>, RegistryError> {
        let lease = tokio::time::timeout(LOOKUP_TIMEOUT, self.0.registry.lease(room)).await;
        let Some(lease) = lease.unwrap_or(Err(RegistryError::Unreachable))? else { return Ok(None) };
        let relay = self.0.places.relay_of(&lease.card.node_id).await;
        let (session_id, epoch) = (lease.card.session_id, lease.card.epoch);
        Ok(Some(OnAir { session_id, epoch, node_id: lease.card.node_id, relay }))
    }

    fn count(&self, outcome: &'static str) {
        self.0.lookups.get_or_create(&Outcome { outcome }).inc();
    }
}

impl Answer {
    fn stands(&self, now: Instant, version: u64) -> bool {
        self.version == version && now < self.until
    }
}

impl Slot {
    fn was_on_air(&self, now: Instant, known: Duration) -> bool {
        self.on_air_at.lock().is_some_and(|at| now.saturating_duration_since(at) < known)
    }

    fn is_in_use(&self, now: Instant) -> bool {
        // Locked: it is being asked for.
        self.answer.try_lock().map_or(true, |answer| answer.as_ref().is_some_and(|known| now < known.until))
    }
}
