//! The LeaseKeeper: one per node, it speaks with the registry for every session of the node.
//!
//! **Group commit.** One call is in flight at a time; whatever waits meanwhile goes into the next one, except for renewals that
//! are in no hurry: of those it takes a slice (`keeper/rhythm.rs`). No timer gathers.
//!
//! The table of leases, claims and releases lives outside the running task, so [`Keeper::run`] may be dropped, panic and be
//! started again at any point: nothing is lost, since everything not answered is simply asked again, under the same session id.
//!
//! **A registry that is away.** New sessions are refused; those on air ride it out, by [`Policy`]. Each shard may be away by
//! itself, so every lease judges by the answers to its own renewals.

mod away;
mod claims;
mod desk;
mod ghosts;
mod grants;
mod policy;
mod record;
mod refusal;
mod renewals;
mod reports;
mod rhythm;
mod round;
pub(crate) mod takeover;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as Metrics;
use tokio::sync::oneshot;

use crate::clock::{Clock, SystemClock};
use crate::events::EndReason;
use crate::ids::{NodeId, SessionId};
use crate::lease::Lease;
use crate::registry::{Claim, Doorbell, Registry};
use crate::time::BootTime;

use away::Away;
pub(crate) use desk::Desk;
pub use policy::{OnRegistryLoss, OnUnreplicated, Policy};
pub use refusal::Refusal;
use reports::Reports;
use rhythm::Rhythm;
use round::Call;

/// The registry answers every item within [`LeaseTimes::call_timeout`](crate::registry::LeaseTimes::call_timeout), if only to
/// say that its shard does not. Should a call take this much longer, it is given up as a whole.
const CALL_SLACK: Duration = Duration::from_millis(100);

/// Claims, renews and releases for a whole node. Cheap to clone.
#[derive(Clone)]
pub struct Keeper(Arc<Desk>);

impl Keeper {
    /// A keeper for the leases of `node`. Nothing happens until [`Keeper::run`] runs. Registers the `onair_lease_*` metrics;
    /// `metrics` itself must have no prefix.
    pub fn new(registry: Arc<dyn Registry>, node: NodeId, policy: Policy, metrics: &mut Metrics) -> Self {
        Self::with_clock(registry, node, policy, metrics, Arc::new(SystemClock))
    }

    /// The same with another clock than the machine's, for tests. Sleeps are tokio's in either case.
    pub fn with_clock(
        registry: Arc<dyn Registry>,
        node: NodeId,
        policy: Policy,
        metrics: &mut Metrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Desk::new(registry, node, policy, Reports::new(metrics), clock))
    }

    /// The loop. Never returns; may be dropped and called again at any time. A second one waits until the first is gone.
    pub async fn run(&self) {
        let desk = &self.0;
        let _only_one = desk.running.lock().await;
        let mut rhythm = Rhythm::new(desk.clock.boot(), desk.times.renew_every);
        // What rang while nobody listened is lost.
        let mut doorbell = Some(desk.registry.doorbell(&desk.node));
        desk.look_at_everything(&mut rhythm);
        let mut away = Away::default();
        loop {
            absorb(desk, &mut doorbell, &mut rhythm);
            let now = desk.clock.boot();
            if rhythm.beats(now) && doorbell.is_none() {
                doorbell = Some(desk.registry.doorbell(&desk.node));
            }
            let round = desk.gather(now, &mut rhythm);
            desk.reports.shards_away(away.count(now));
            if round.batch.is_empty() {
                let beat = rhythm.next();
                let next = round.next.map_or(beat, |next| next.min(beat));
                self.rest(&mut doorbell, &mut rhythm, next).await;
                continue;
            }
            // The belief counts from before the call, on the clock that counts suspend.
            let sent = desk.clock.boot();
            let patience = desk.times.call_timeout + CALL_SLACK;
            let reply = tokio::time::timeout(patience, desk.registry.commit(&round.batch)).await;
            let call = Call { sent, over: desk.clock.boot() };
            desk.reports.call(call.took());
            let reply = reply.unwrap_or_default();
            let failed = away.note(&round.batch, &reply, call.over);
            desk.reports.unanswered(failed, failed == round.batch.len());
            rhythm.on_call(failed == 0);
            let ghosts = desk.apply(&round.batch, reply, call);
            if !ghosts.is_empty() {
                desk.lay(ghosts).await;
            }
            // An in-process registry answers without waiting: let others have their turn, and join the next round.
            tokio::task::yield_now().await;
        }
    }

    /// Waits until something may be due.
    async fn rest(&self, doorbell: &mut Option<Doorbell>, rhythm: &mut Rhythm, until: BootTime) {
        let desk = &self.0;
        let ring = async {
            match doorbell.as_mut() {
                Some(bell) => bell.recv().await,
                None => std::future::pending().await,
            }
        };
        let pause = until.since(desk.clock.boot());
        tokio::select! {
            () = desk.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
            ring = ring => match ring {
                Some(ring) => desk.on_ring(&ring, rhythm),
                None => *doorbell = None,
            },
        }
    }

    /// Claims a room for a publisher: waits for the next call to the registry and its answer, for as long as
    /// [`LeaseTimes::want_for`](crate::registry::LeaseTimes::want_for) for a holder that may yield, and for up to 4 s for a
    /// registry that does not answer or whose replicas do not confirm. Dropping the future gives back whatever was or will be granted, as `unconfirmed`.
    /// Every claim needs a session id of its own.
    ///
    /// # Errors
    /// Why the room is not the publisher's.
    pub async fn claim(&self, claim: Claim) -> Result<Lease, Refusal> {
        let session = claim.session_id;
        let answer =
            self.0.add_claim(claim.clone()).inspect_err(|refusal| self.0.reports.refused(&claim, refusal))?;
        let mut waiting = Waiting { desk: &self.0, session, answer };
        // The loop answers sooner than this; only when it is not running there is nobody else to give up.
        match tokio::time::timeout(self.0.claim_budget(), &mut waiting.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Refusal::Unreachable),
        }
    }

    /// Waits until no release is outstanding, for at most `patience`. Returns how many still are, claims to be given back
    /// included.
    pub async fn idle(&self, patience: Duration) -> usize {
        let mut outstanding = self.0.outstanding();
        let settled = tokio::time::timeout(patience, outstanding.wait_for(|count| *count == 0)).await.is_ok();
        if settled { 0 } else { *outstanding.borrow() }
    }

    /// How many leases the node holds.
    pub fn lease_count(&self) -> usize {
        self.0.table().leases.len()
    }
}

/// A claim that somebody waits for. Dropped early, it gives back what it may have got.
struct Waiting<'a> {
    desk: &'a Desk,
    session: SessionId,
    answer: oneshot::Receiver<Result<Lease, Refusal>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.answer.close();
        match self.answer.try_recv() {
            Ok(Ok(lease)) => lease.end_detached(EndReason::Unconfirmed),
            Ok(Err(_)) => {}
            Err(_) => self.desk.abandon_claim(self.session),
        }
    }
}

/// Takes in the rings that wait, as many as a bell keeps: what comes meanwhile is for the next round.
fn absorb(desk: &Desk, doorbell: &mut Option<Doorbell>, rhythm: &mut Rhythm) {
    let Some(bell) = doorbell else { return };
    for _ in 0..bell.len() {
        let Some(ring) = bell.try_recv() else { return };
        desk.on_ring(&ring, rhythm);
    }
}
