//! One round of the keeper: gather what is due into a batch, and apply the registry's answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Refusal;
use super::claims::Waiter;
use super::desk::{Desk, Table};
use super::ghosts::Ghost;
use super::reports::Riding;
use super::rhythm::Rhythm;
use crate::events::EndReason;
use crate::ids::SessionId;
use crate::lease::{Held, Lease};
use crate::registry::{Batch, BatchReply, Confirmed, RegistryError, Release, Released};
use crate::time::BootTime;

/// A release that was not answered, or not confirmed, is sent again after this.
const RELEASE_RETRY_AFTER: Duration = Duration::from_millis(250);
/// The same once it has been waiting for some time: the registry is away, and all there is can be sent when it is back.
const RELEASE_RETRY_LATER: Duration = Duration::from_secs(1);
const RELEASE_IS_LATE_AFTER: Duration = Duration::from_secs(2);

/// What is to be done in a round.
pub(super) struct Round {
    pub(super) batch: Batch,
    /// When something will be due that is not in the batch; `None` when nothing will.
    pub(super) next: Option<BootTime>,
}

/// When a call to the registry was made, by the clock that counts suspend.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) sent: BootTime,
    /// When its answer was there, or was given up.
    pub(super) over: BootTime,
}

impl Call {
    pub(super) fn took(self) -> Duration {
        self.over.since(self.sent)
    }
}

/// What to tell whoever waits for a claim.
pub(super) type Answers = Vec<(Waiter, Result<Lease, Refusal>)>;

impl Desk {
    /// Collects what is due at `now`, by itself or by the node's rhythm.
    pub(super) fn gather(&self, now: BootTime, rhythm: &mut Rhythm) -> Round {
        let unix = self.clock.unix();
        let mut round = Round { batch: Batch::default(), next: None };
        let mut refused = Answers::new();
        let mut riding = Riding::default();
        {
            let mut table = self.table();
            let due = self.look_at_leases(&mut table, now, rhythm, &mut riding, &mut round);
            self.refuse_overdue(&mut table, now, &mut refused);
            for pending in table.releases.values_mut() {
                if pending.ask_at <= now {
                    let is_late = now.since(pending.since) >= RELEASE_IS_LATE_AFTER;
                    pending.ask_at =
                        now.plus(if is_late { RELEASE_RETRY_LATER } else { RELEASE_RETRY_AFTER });
                    round.batch.releases.push(pending.release.clone());
                } else {
                    round.wait_until(pending.ask_at);
                }
            }
            // Less those that gave way a moment ago.
            let due = due.into_values().filter(|held| table.leases.contains_key(&held.card.session_id));
            round.batch.renewals = due.map(|held| held.renewal(now, unix)).collect();
            let mut claims: Vec<_> = Vec::new();
            for pending in table.claims.values_mut() {
                if pending.ask_at <= now {
                    pending.on_sent(now);
                    claims.push((pending.seq, pending.claim.clone()));
                }
                round.wait_until(pending.due());
            }
            // First come, first served: within a call, the order of claims decides.
            claims.sort_unstable_by_key(|(seq, _)| *seq);
            round.batch.claims = claims.into_iter().map(|(_, claim)| claim).collect();
            self.reports.leases(table.leases.len());
            self.count_outstanding(&table);
        }
        self.reports.riding(riding);
        self.deliver(refused);
        round
    }

    /// Does for every lease what its time has come for. Returns those to be renewed in this round.
    fn look_at_leases(
        &self,
        table: &mut Table,
        now: BootTime,
        rhythm: &mut Rhythm,
        riding: &mut Riding,
        round: &mut Round,
    ) -> HashMap<SessionId, Arc<Held>> {
        let (mut chosen, mut due, mut news) = (HashMap::new(), Vec::new(), Vec::new());
        let lines_up = rhythm.is_idle();
        let (mut wanted, mut over) = (Vec::new(), Vec::new());
        for held in table.leases.values() {
            let agenda = held.agenda(now, self.policy.on_registry_loss);
            if agenda.ends_at.is_some_and(|at| at <= now) {
                over.push(Arc::clone(held));
                continue;
            }
            if agenda.look_at.is_some_and(|at| at <= now) {
                wanted.push(Arc::clone(held));
            }
            if agenda.hurries_at.is_some_and(|at| at <= now) || rhythm.is_late(agenda.renewed_at, now) {
                chosen.insert(held.card.session_id, Arc::clone(held));
            } else if rhythm.is_due(agenda.renewed_at) {
                if lines_up {
                    due.push(Arc::clone(held));
                }
            } else if agenda.renew_at.is_some_and(|at| at <= now) {
                news.push(Arc::clone(held));
            }
            riding.count(agenda.rides);
            // Whatever is due now is looked at again below, or after this round's call.
            let times = [agenda.ends_at, agenda.look_at, agenda.hurries_at, agenda.renew_at];
            times.into_iter().flatten().filter(|at| *at > now).for_each(|at| round.wait_until(at));
        }
        for held in over {
            self.give_up(table, &held);
        }
        for held in wanted {
            self.look_at_want(table, &held, now);
            held.agenda(now, self.policy.on_registry_loss)
                .look_at
                .into_iter()
                .for_each(|at| round.wait_until(at));
        }
        if lines_up {
            rhythm.line_up(&due);
        }
        rhythm.slice(&table.leases, news, &mut chosen);
        chosen
    }

    /// Applies the answers to `batch`. Returns the ghosts that were met.
    pub(super) fn apply(self: &Arc<Self>, batch: &Batch, reply: BatchReply, call: Call) -> Vec<Ghost> {
        let retry_at = self.retry_at(call);
        let (mut answers, mut ghosts) = (Answers::new(), Vec::new());
        {
            let mut table = self.table();
            for (release, answer) in batch.releases.iter().zip(padded(reply.releases)) {
                self.on_released(&mut table, release, answer, call.over);
            }
            for (renewal, answer) in batch.renewals.iter().zip(padded(reply.renewals)) {
                self.on_renewed(&mut table, renewal, answer, call, retry_at);
            }
            for (claim, answer) in batch.claims.iter().zip(padded(reply.claims)) {
                ghosts.extend(self.on_acquired(&mut table, claim, answer, call, &mut answers));
            }
            self.reports.leases(table.leases.len());
            self.count_outstanding(&table);
        }
        self.deliver(answers);
        ghosts
    }

    // === releases ===

    fn on_released(
        &self,
        table: &mut Table,
        release: &Release,
        answer: Result<Confirmed<Released>, RegistryError>,
        now: BootTime,
    ) {
        let session = release.card.session_id;
        let Some(pending) = table.releases.get(&session) else { return };
        let Ok(Confirmed { answer, confirmed }) = answer else { return };
        // A release that replicas may lose is repeated, until the registry would have found the lease dead anyway.
        let found_dead = pending.since.plus(self.times.ttl).plus(self.times.grace);
        if !confirmed && now < found_dead {
            return;
        }
        if let Some(done) = table.remove_release(session) {
            for waiter in done.waiters {
                let _ = waiter.send(answer);
            }
        }
    }

    /// Answers go out when the table is free again: one may come back at once, as a lease that nobody took.
    fn deliver(&self, answers: Answers) {
        for (waiter, answer) in answers {
            if let Err(Ok(lease)) = waiter.send(answer) {
                lease.end_detached(EndReason::Unconfirmed);
            }
        }
    }
}

impl Round {
    fn wait_until(&mut self, at: BootTime) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

/// The answers in the reply, and `Unreachable` for what it does not answer.
fn padded<T>(
    answers: Vec<Result<Confirmed<T>, RegistryError>>,
) -> impl Iterator<Item = Result<Confirmed<T>, RegistryError>> {
    answers.into_iter().chain(std::iter::repeat_with(|| Err(RegistryError::Unreachable)))
}
