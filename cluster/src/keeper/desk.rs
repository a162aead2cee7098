//! The desk: what outlives the keeper's running task. The table of leases, claims and releases, and all that can be done to it
//! from outside a call. One short lock; nothing waits while holding it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};

use super::claims::PendingClaim;
use super::reports::Reports;
use super::rhythm::Rhythm;
use super::{Policy, Refusal, claims, record};
use crate::clock::Clock;
use crate::events::{EndReason, Facts};
use crate::ids::{NodeId, RoomId, SessionId};
use crate::lease::{Ending, Held, Lease, LeaseSignal};
use crate::registry::{Claim, Grant, LeaseTimes, Registry, Release, Released, Ring};
use crate::time::BootTime;

/// Claims waiting on one node. At the bound, further publishers are refused and may try again.
const CLAIMS_MAX: usize = 4_096;

/// What outlives the keeper's running task.
pub(crate) struct Desk {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) times: LeaseTimes,
    pub(super) node: NodeId,
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reports: Reports,
    table: Mutex<Table>,
    /// Something may be due now.
    pub(super) wake: Arc<Notify>,
    /// How many releases, and claims to be given back, are on their way.
    outstanding: watch::Sender<usize>,
    /// Held by the one running loop.
    pub(super) running: tokio::sync::Mutex<()>,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) leases: HashMap<SessionId, Arc<Held>>,
    /// The lease of a room on this node, for the doorbell.
    pub(super) rooms: HashMap<RoomId, SessionId>,
    pub(super) claims: HashMap<SessionId, PendingClaim>,
    /// Bounded by the leases there were: every entry was one.
    pub(super) releases: HashMap<SessionId, PendingRelease>,
    claims_seen: u64,
}

pub(super) struct PendingRelease {
    pub(super) release: Release,
    pub(super) waiters: Vec<oneshot::Sender<Released>>,
    pub(super) ask_at: BootTime,
    /// When it was handed over.
    pub(super) since: BootTime,
}

impl Desk {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        node: NodeId,
        policy: Policy,
        reports: Reports,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            times: registry.times(),
            registry,
            node,
            policy,
            clock,
            reports,
            table: Mutex::default(),
            wake: Arc::new(Notify::new()),
            outstanding: watch::Sender::new(0),
            running: tokio::sync::Mutex::new(()),
        })
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// Makes the loop look for what is due.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    // === claims ===

    /// Queues a claim. Its answer comes through the receiver.
    pub(super) fn add_claim(
        &self,
        claim: Claim,
    ) -> Result<oneshot::Receiver<Result<Lease, Refusal>>, Refusal> {
        let (waiter, answer) = oneshot::channel();
        let now = self.clock.boot();
        {
            let mut table = self.table.lock();
            if table.claims.len() >= CLAIMS_MAX {
                return Err(Refusal::TooMany);
            }
            table.claims_seen += 1;
            let seq = table.claims_seen;
            table.claims.insert(claim.session_id, PendingClaim::new(claim, seq, waiter, now));
        }
        self.wake();
        Ok(answer)
    }

    /// The publisher has gone away. The claim stays only as long as the registry may have granted it.
    pub(super) fn abandon_claim(&self, session: SessionId) {
        let now = self.clock.boot();
        {
            let mut table = self.table.lock();
            if let Some(pending) = table.claims.get_mut(&session) {
                pending.abandon(now);
                self.settle(&mut table, session, now);
            }
            self.count_outstanding(&table);
        }
        self.wake();
    }

    /// A claim that nobody waits for any more: what it was granted is given back, and it is forgotten once that is known.
    pub(super) fn settle(&self, table: &mut Table, session: SessionId, now: BootTime) {
        let Some(pending) = table.claims.get_mut(&session) else { return };
        if let Some(grant) = pending.take_granted() {
            // Whatever is still on its way for this session meets its tombstone.
            table.claims.remove(&session);
            self.give_back(table, grant);
        } else if !pending.is_fate_unknown(now, &self.times) {
            table.claims.remove(&session);
        }
    }

    /// The longest that a claim can take while the loop runs.
    pub(super) fn claim_budget(&self) -> std::time::Duration {
        claims::PATIENCE + self.times.want_for + 2 * self.times.call_timeout
    }

    // === ends ===

    /// Ends a lease: fences it at once and queues its release. If it is on its way already, the first reason stands; if the
    /// lease was lost, there is nothing to release.
    pub(crate) fn end(&self, held: &Arc<Held>, reason: EndReason) -> EndAnswer {
        held.pass.fence();
        let answer = {
            let mut table = self.table.lock();
            self.end_in(&mut table, held, reason);
            let answer = match table.releases.get_mut(&held.card.session_id) {
                Some(pending) => {
                    let (waiter, answer) = oneshot::channel();
                    pending.waiters.push(waiter);
                    EndAnswer::Coming(answer)
                }
                None => EndAnswer::Over,
            };
            self.count_outstanding(&table);
            answer
        };
        self.wake();
        answer
    }

    /// The same for the loop, which holds the table.
    pub(super) fn end_in(&self, table: &mut Table, held: &Arc<Held>, reason: EndReason) {
        held.pass.fence();
        if !table.remove_lease(held) {
            return;
        }
        let now = self.clock.boot();
        let facts = held.facts(now, self.clock.unix());
        record::stops(&held.card, now);
        self.reports.ended(&held.card, &facts, reason);
        self.reports.leases(table.leases.len());
        let release = Release { card: held.card.clone(), facts, reason };
        table.add_release(release, now);
    }

    /// Gives back what was granted but cannot be used.
    pub(super) fn give_back(&self, table: &mut Table, grant: Grant) {
        self.reports.given_back(&grant.card);
        let release = Release { card: grant.card, facts: Facts::default(), reason: EndReason::Unconfirmed };
        table.add_release(release, self.clock.boot());
    }

    /// The holder stops so that a newcomer may start.
    pub(super) fn yield_in(&self, table: &mut Table, held: &Arc<Held>) {
        self.end_in(table, held, EndReason::Superseded);
        held.say(LeaseSignal::Superseded);
    }

    /// The registry has been silent for too long.
    pub(super) fn give_up(&self, table: &mut Table, held: &Arc<Held>) {
        self.end_in(table, held, EndReason::Unconfirmed);
        held.say(LeaseSignal::Abandoned);
    }

    /// Waits for the registry's answer to a release, within the call budget.
    pub(crate) async fn wait_for_end(&self, answer: EndAnswer) -> Ending {
        let EndAnswer::Coming(answer) = answer else { return Ending::Recorded(Released::AlreadyOver) };
        // One call may be under way already; ours is the next.
        match tokio::time::timeout(2 * self.times.call_timeout, answer).await {
            Ok(Ok(released)) => Ending::Recorded(released),
            Ok(Err(_)) | Err(_) => Ending::Queued,
        }
    }

    /// The doorbell rang.
    pub(super) fn on_ring(&self, ring: &Ring, rhythm: &mut Rhythm) {
        match ring {
            Ring::Room(room) => self.table().on_ring(room, self.clock.boot()),
            Ring::All => self.look_at_everything(rhythm),
        }
    }

    /// Rings may have been lost: looks at everything, as they would have made us do.
    pub(super) fn look_at_everything(&self, rhythm: &mut Rhythm) {
        let now = self.clock.boot();
        rhythm.beat_now(now);
        for pending in self.table().claims.values_mut() {
            pending.ask_at = pending.ask_at.min(now);
        }
    }

    // === counting ===

    pub(super) fn count_outstanding(&self, table: &Table) {
        let abandoned = table.claims.values().filter(|claim| !claim.has_waiter()).count();
        let outstanding = table.releases.len() + abandoned;
        self.outstanding.send_if_modified(|count| std::mem::replace(count, outstanding) != outstanding);
        self.reports.outstanding(outstanding);
    }

    pub(super) fn outstanding(&self) -> watch::Receiver<usize> {
        self.outstanding.subscribe()
    }
}

/// Where the answer to [`Desk::end`] comes from.
pub(crate) enum EndAnswer {
    /// The registry.
    Coming(oneshot::Receiver<Released>),
    /// Nowhere: the lease was over before.
    Over,
}

impl Table {
    pub(super) fn add_lease(&mut self, held: Arc<Held>) {
        self.rooms.insert(held.card.room_id.clone(), held.card.session_id);
        self.leases.insert(held.card.session_id, held);
    }

    /// False when it is not in the table any more.
    pub(super) fn remove_lease(&mut self, held: &Held) -> bool {
        let session = held.card.session_id;
        if self.rooms.get(&held.card.room_id) == Some(&session) {
            self.rooms.remove(&held.card.room_id);
        }
        let was_here = self.leases.remove(&session).is_some();
        give_back(&mut self.rooms);
        give_back(&mut self.leases);
        was_here
    }

    pub(super) fn remove_release(&mut self, session: SessionId) -> Option<PendingRelease> {
        let done = self.releases.remove(&session);
        give_back(&mut self.releases);
        done
    }

    fn add_release(&mut self, release: Release, now: BootTime) {
        // A newcomer of this node goes into the same call: the registry releases first, then grants.
        self.claims_of(&release.card.room_id).for_each(|pending| pending.ask_at = now);
        let session = release.card.session_id;
        self.releases
            .insert(session, PendingRelease { release, waiters: Vec::new(), ask_at: now, since: now });
    }

    /// The doorbell rang for `room`. If its lease is here, somebody wants something of it; if not, it may have come free.
    pub(super) fn on_ring(&mut self, room: &RoomId, now: BootTime) {
        if let Some(held) = self.rooms.get(room).and_then(|session| self.leases.get(session)) {
            held.pass.set_urgent();
        } else {
            self.claims_of(room).for_each(|pending| pending.on_ring(now));
        }
    }

    fn claims_of(&mut self, room: &RoomId) -> impl Iterator<Item = &mut PendingClaim> {
        self.claims.values_mut().filter(move |pending| pending.claim.room_id == *room)
    }
}

/// After a rush a map keeps its places; most of them are given back when few are used.
fn give_back<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 1_024 && map.len() < map.capacity() / 8 {
        map.shrink_to(2 * map.len());
    }
}
