//! Ownership: which shards this Manager owns, under which terms, and until when it may believe so. Lives in `Core`.
//!
//! What is written to the Live DB is fenced by the term. What has no such fence (reading events, acknowledging them, handing
//! records to Kafka) is gated by a deadline on the clock that counts suspend: the time at which the last answered beat was
//! *sent*, and its lease, less a margin. So a Manager that was frozen finds, before it does anything, that it owns nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::Shard;
use onair_cluster::time::BootTime;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::live_db::{Holdings, ShardTerm, Term};
use crate::reports::OwnershipChanged;

/// How long a beat keeps what we own. A dead Manager's shards are free after it, and taken a beat later.
pub(crate) const LEASE: Duration = Duration::from_secs(6);
/// How much earlier than the store we stop believing: clocks drift, and what was begun at the last moment takes time.
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

/// What is owned, as far as it may be believed.
#[derive(Debug)]
pub(crate) struct Ownership {
    state: Mutex<State>,
    /// Counts changes: of what is owned, of the belief in it, of who works on it.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is believed from this time on.
    until: BootTime,
    /// As of the last beat. `None` before the first.
    managers: Option<usize>,
    owned: BTreeMap<Shard, Owned>,
    /// Tenures that somebody holds.
    workers: BTreeMap<ShardTerm, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    term: Term,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Held,
    /// It is about to be given up: nothing new is begun.
    Leaving,
    /// The store said that it is not ours; a beat sent later may say otherwise.
    Fenced(BootTime),
}

impl Default for Ownership {
    fn default() -> Self {
        Self { state: Mutex::default(), news: watch::Sender::new(0) }
    }
}

impl Ownership {
    /// Takes in the answer to a beat. Returns what it changed, if anything.
    pub(crate) fn on_beat(&self, sent: BootTime, holdings: &Holdings) -> Option<OwnershipChanged> {
        let mut state = self.state.lock();
        let was_believed = state.is_believed();
        state.until = state.until.max(sent.plus(LEASE.saturating_sub(MARGIN)));
        let mut changed = OwnershipChanged { managers: holdings.managers, ..OwnershipChanged::default() };
        changed.managers_before = state.managers.replace(holdings.managers);
        let before = std::mem::take(&mut state.owned);
        for ShardTerm { shard, term } in &holdings.shards {
            let known = before.get(shard).filter(|owned| owned.term == *term);
            let stage = match known.map(|owned| owned.stage) {
                Some(Stage::Fenced(at)) if sent <= at => Stage::Fenced(at),
                Some(Stage::Leaving) => Stage::Leaving,
                Some(Stage::Fenced(_)) | None => {
                    changed.taken.push(ShardTerm { shard: *shard, term: *term });
                    Stage::Held
                }
                Some(Stage::Held) => Stage::Held,
            };
            state.owned.insert(*shard, Owned { term: *term, stage });
        }
        let is_over = |(shard, owned): &(Shard, Owned)| {
            owned.stage != Stage::Leaving && state.owned.get(shard).is_none_or(|now| now.term != owned.term)
        };
        changed.lost = before.into_iter().filter(is_over).map(term_of).collect();
        changed.owned = state.owned.len();
        drop(state);
        if !changed.is_none() || !was_believed {
            self.tell();
        }
        Some(changed).filter(|changed| !changed.is_none())
    }

    /// The store refused to write under this term.
    pub(crate) fn fence(&self, owned: ShardTerm) -> Option<OwnershipChanged> {
        let mut state = self.state.lock();
        let managers = state.managers.unwrap_or_default();
        let entry = state.owned.get_mut(&owned.shard).filter(|entry| entry.term == owned.term)?;
        if matches!(entry.stage, Stage::Fenced(_)) {
            return None;
        }
        entry.stage = Stage::Fenced(BootTime::now());
        let held = state.owned.values().filter(|entry| entry.stage == Stage::Held).count();
        drop(state);
        self.tell();
        let (lost, managers_before) = (vec![owned], Some(managers));
        Some(OwnershipChanged { lost, owned: held, managers, managers_before, ..OwnershipChanged::default() })
    }

    /// What is beyond our share.
    pub(crate) fn excess(&self) -> Vec<ShardTerm> {
        let state = self.state.lock();
        let share = Holdings::share(state.managers.unwrap_or(1));
        state.owned.iter().skip(share).map(|(shard, owned)| term_of((*shard, *owned))).collect()
    }

    /// All that is owned, believed or not.
    pub(crate) fn all(&self) -> Vec<ShardTerm> {
        self.state.lock().owned.iter().map(|(shard, owned)| term_of((*shard, *owned))).collect()
    }

    /// Nothing new is begun in these shards from now on.
    pub(crate) fn leave(&self, shards: &[ShardTerm]) {
        let mut state = self.state.lock();
        for ShardTerm { shard, term } in shards {
            if let Some(owned) = state.owned.get_mut(shard).filter(|owned| owned.term == *term) {
                owned.stage = Stage::Leaving;
            }
        }
        drop(state);
        self.tell();
    }

    /// Resolves when nobody works in these shards any more.
    pub(crate) async fn unused(&self, shards: &[ShardTerm]) {
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            if !shards.iter().any(|shard| self.state.lock().workers.contains_key(shard)) {
                return;
            }
            // Cannot fail: the sender is ours.
            let _ = news.changed().await;
        }
    }

    /// They have been given up.
    pub(crate) fn gone(&self, shards: &[ShardTerm]) -> OwnershipChanged {
        let mut state = self.state.lock();
        for ShardTerm { shard, term } in shards {
            if state.owned.get(shard).is_some_and(|owned| owned.term == *term) {
                state.owned.remove(shard);
            }
        }
        let (owned, managers) = (state.owned.len(), state.managers.unwrap_or_default());
        drop(state);
        self.tell();
        let given_up = shards.to_vec();
        OwnershipChanged {
            given_up,
            owned,
            managers,
            managers_before: Some(managers),
            ..OwnershipChanged::default()
        }
    }

    /// The terms that are in force now.
    pub(crate) fn terms(&self) -> Vec<ShardTerm> {
        let state = self.state.lock();
        if !state.is_believed() {
            return Vec::new();
        }
        state.held().collect()
    }

    /// The term under which we own the shard now, if we do.
    pub(crate) fn term(&self, shard: Shard) -> Option<Term> {
        let state = self.state.lock();
        state.held().find(|owned| owned.shard == shard && state.is_believed()).map(|owned| owned.term)
    }

    /// Shards to look after where looking twice does no harm: those that were ours last, believed or not; before the first
    /// beat was answered, all of them, since perhaps nobody can tell whose they are.
    pub(crate) fn to_look_after(&self) -> Vec<Shard> {
        let state = self.state.lock();
        match state.managers {
            Some(_) => state.owned.keys().copied().collect(),
            None => Shard::all().collect(),
        }
    }

    /// Living Managers, and how many shards are ours and in force.
    pub(crate) fn figures(&self) -> (usize, usize) {
        let state = self.state.lock();
        let owned = if state.is_believed() { state.held().count() } else { 0 };
        (state.managers.unwrap_or_default(), owned)
    }

    /// Changes with what is owned and believed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Tenures of what is owned and not being left, as far as it is `wanted`, for whoever works on it.
    pub(crate) fn tenures(self: &Arc<Self>, wanted: impl Fn(Shard) -> bool) -> Vec<Tenure> {
        let mut state = self.state.lock();
        let held: Vec<ShardTerm> = state.held().filter(|owned| wanted(owned.shard)).collect();
        for owned in &held {
            *state.workers.entry(*owned).or_default() += 1;
        }
        held.into_iter().map(|owned| Tenure { ownership: Arc::clone(self), owned }).collect()
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl State {
    fn is_believed(&self) -> bool {
        BootTime::now() < self.until
    }

    fn held(&self) -> impl Iterator<Item = ShardTerm> {
        let held = self.owned.iter().filter(|(_, owned)| owned.stage == Stage::Held);
        held.map(|(shard, owned)| term_of((*shard, *owned)))
    }
}

fn term_of((shard, owned): (Shard, Owned)) -> ShardTerm {
    ShardTerm { shard, term: owned.term }
}

/// The right of one task to work in a shard under a term. As long as it is held, the shard is not given up in good order; so
/// whoever has one lets it go soon after it is [over](Self::over).
#[derive(Debug)]
pub(crate) struct Tenure {
    ownership: Arc<Ownership>,
    owned: ShardTerm,
}

impl Tenure {
    /// What it is for.
    pub(crate) fn owned(&self) -> ShardTerm {
        self.owned
    }

    /// Whether the term may be believed in now. To be asked before whatever the store does not fence.
    pub(crate) fn is_in_force(&self) -> bool {
        self.ownership.term(self.owned.shard) == Some(self.owned.term)
    }

    /// Whether it has ended for good.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.ownership.state.lock();
        let entry = state.owned.get(&self.owned.shard);
        entry.is_none_or(|entry| entry.term != self.owned.term || entry.stage != Stage::Held)
    }

    /// Resolves when it has ended for good.
    pub(crate) async fn over(&self) {
        let mut news = self.ownership.subscribe();
        loop {
            news.borrow_and_update();
            if self.is_over() {
                return;
            }
            let _ = news.changed().await;
        }
    }

    /// Waits until the term may be believed in. False when it has ended for good.
    pub(crate) async fn in_force(&self) -> bool {
        let mut news = self.ownership.subscribe();
        loop {
            news.borrow_and_update();
            if self.is_over() {
                return false;
            }
            if self.is_in_force() {
                return true;
            }
            let _ = news.changed().await;
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        let mut state = self.ownership.state.lock();
        let Some(count) = state.workers.get_mut(&self.owned) else { return };
        *count -= 1;
        if *count == 0 {
            state.workers.remove(&self.owned);
            drop(state);
            self.ownership.tell();
        }
    }
}

#[cfg(test)]
mod tests;
