//! One round of the keeper: gather what is due into a batch, and apply the registry's answers.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Refusal;
use super::desk::{Desk, Table};
use super::takeover::{Verdict, decide};
use crate::events::{EndReason, Facts};
use crate::ids::SessionId;
use crate::lease::{Held, Lease, LeaseSignal, Pass, Wanted};
use crate::registry::{
    Acquired, Batch, BatchReply, Claim, Confirmed, Grant, RegistryError, Release, Released, Renewal, Renewed,
    Want,
};
use crate::time::BootTime;

/// A release that was not answered, or not confirmed, is sent again after this.
const RELEASE_RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(250);

/// What is to be done in a round.
pub(super) struct Round {
    pub(super) batch: Batch,
    /// When something will be due that is not in the batch; `None` when nothing will.
    pub(super) next: Option<BootTime>,
}

type Answers = Vec<(oneshot::Sender<Result<Lease, Refusal>>, Result<Lease, Refusal>)>;

impl Desk {
    /// Collects what is due at `now`. `renew_all` is the node's rhythm: every lease is due.
    pub(super) fn gather(&self, now: BootTime, renew_all: bool) -> Round {
        let unix = self.clock.unix();
        let mut round = Round { batch: Batch::default(), next: None };
        let mut refused = Answers::new();
        {
            let mut table = self.table();
            self.look_at_wants(&mut table, now);
            self.refuse_overdue(&mut table, now, &mut refused);
            for pending in table.releases.values_mut() {
                if pending.ask_at <= now {
                    pending.ask_at = now.plus(RELEASE_RETRY_AFTER);
                    round.batch.releases.push(pending.release.clone());
                } else {
                    round.wait_until(pending.ask_at);
                }
            }
            for held in table.leases.values() {
                let due = held.extra_due(now);
                if renew_all || due.is_some_and(|at| at <= now) {
                    round.batch.renewals.push(held.renewal(now, unix));
                }
                held.extra_due(now).into_iter().for_each(|at| round.wait_until(at));
                held.wanted().into_iter().for_each(|wanted| round.wait_until(wanted.look_at));
            }
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
            self.count_outstanding(&table);
        }
        self.deliver(refused);
        round
    }

    /// Applies the answers to `batch`, which was sent at `sent`.
    pub(super) fn apply(self: &Arc<Self>, batch: &Batch, reply: BatchReply, sent: BootTime) {
        let now = self.clock.boot();
        let mut answers = Answers::new();
        {
            let mut table = self.table();
            for (release, answer) in batch.releases.iter().zip(padded(reply.releases)) {
                self.on_released(&mut table, release, answer, now);
            }
            for (renewal, answer) in batch.renewals.iter().zip(padded(reply.renewals)) {
                self.on_renewed(&mut table, renewal, answer, sent, now);
            }
            for (claim, answer) in batch.claims.iter().zip(padded(reply.claims)) {
                self.on_acquired(&mut table, claim, answer, sent, &mut answers);
            }
            self.reports.leases(table.leases.len());
            self.count_outstanding(&table);
        }
        self.deliver(answers);
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
        if let Some(done) = table.releases.remove(&session) {
            for waiter in done.waiters {
                let _ = waiter.send(answer);
            }
        }
    }

    // === renewals ===

    fn on_renewed(
        &self,
        table: &mut Table,
        renewal: &Renewal,
        answer: Result<Confirmed<Renewed>, RegistryError>,
        sent: BootTime,
        now: BootTime,
    ) {
        let Some(held) = table.leases.get(&renewal.card.session_id).cloned() else { return };
        match answer {
            Ok(Confirmed { answer: Renewed::Kept { order, want }, confirmed }) => {
                if confirmed {
                    held.pass.believe(self.belief(sent));
                } else {
                    self.reports.unconfirmed();
                }
                if renewal.facts.live_at.is_some() && held.on_live_told() {
                    self.reports.live(&held.card, &renewal.facts);
                }
                if let Some(order) = order
                    && held.say(LeaseSignal::Ordered(order.clone()))
                {
                    self.reports.ordered(&held.card, &order);
                }
                held.set_wanted(None);
                if let Some(want) = want {
                    self.on_want(table, &held, want, now);
                }
            }
            Ok(Confirmed { answer: Renewed::Lost { by }, .. }) => {
                held.pass.fence();
                table.remove_lease(&held);
                self.reports.lost(&held.card, by);
                held.say(LeaseSignal::Lost { by });
            }
            // No verdict. The belief runs out by itself, and the pass withholds media from then on. A registry that is
            // shared and away (not possible with `local`) is where a policy to ride it out would raise the belief.
            Err(_) => held.on_renewal_failed(),
        }
    }

    /// What a confirmed answer to a call sent at `sent` allows a holder to believe.
    fn belief(&self, sent: BootTime) -> BootTime {
        sent.plus(self.times.ttl.saturating_sub(self.times.margin))
    }

    // === wants ===

    fn on_want(&self, table: &mut Table, held: &Arc<Held>, want: Want, now: BootTime) {
        let until = now.plus(std::time::Duration::from_millis(want.until.since(self.clock.unix())));
        self.judge(table, held, Wanted { want, until, look_at: now }, now);
    }

    fn look_at_wants(&self, table: &mut Table, now: BootTime) {
        let due: Vec<_> = table
            .leases
            .values()
            .filter_map(|held| held.wanted().filter(|w| w.look_at <= now).map(|w| (Arc::clone(held), w)))
            .collect();
        for (held, wanted) in due {
            self.judge(table, &held, wanted, now);
        }
    }

    fn judge(&self, table: &mut Table, held: &Arc<Held>, wanted: Wanted, now: BootTime) {
        let verdict = if wanted.until <= now {
            Verdict::Ignore
        } else {
            decide(&wanted.want, &held.card, held.silent_since(), &self.times, now)
        };
        match verdict {
            Verdict::Yield => self.yield_in(table, held),
            // Silent for long enough only after the newcomer has gone: it would be given up for nobody.
            Verdict::LookAt(at) if at < wanted.until => {
                held.set_wanted(Some(Wanted { look_at: at, ..wanted }));
            }
            Verdict::LookAt(_) | Verdict::Ignore => held.set_wanted(None),
        }
    }

    // === claims ===

    fn on_acquired(
        self: &Arc<Self>,
        table: &mut Table,
        claim: &Claim,
        answer: Result<Confirmed<Acquired>, RegistryError>,
        sent: BootTime,
        answers: &mut Answers,
    ) {
        let now = self.clock.boot();
        let Some(pending) = table.claims.get_mut(&claim.session_id) else { return };
        let refusal = match answer {
            Ok(Confirmed { answer, confirmed }) => {
                pending.on_answered();
                match answer {
                    Acquired::Granted(grant) if confirmed && pending.waiter.is_some() => {
                        self.on_granted(table, grant, sent, answers);
                        return;
                    }
                    Acquired::Granted(grant) => {
                        let release = unconfirmed(grant);
                        self.give_back(table, release);
                        Refusal::Unconfirmed
                    }
                    Acquired::Busy { holder, wanted: true } => {
                        let refusal = Refusal::Busy { holder: holder.clone() };
                        if pending.wait_for_holder(now, holder, &self.times) && pending.waiter.is_some() {
                            return;
                        }
                        refusal
                    }
                    Acquired::Busy { holder, wanted: false } => Refusal::Busy { holder },
                    Acquired::Denied(denial) => Refusal::Denied(denial),
                    Acquired::Backlog => Refusal::Backlog,
                    Acquired::Recovering => {
                        if pending.wait_for_registry(now, Refusal::Recovering) && pending.waiter.is_some() {
                            return;
                        }
                        Refusal::Recovering
                    }
                }
            }
            Err(_) => {
                if pending.wait_for_registry(now, Refusal::Unreachable) {
                    return;
                }
                Refusal::Unreachable
            }
        };
        self.refuse(table, claim.session_id, refusal, now, answers);
    }

    fn on_granted(self: &Arc<Self>, table: &mut Table, grant: Grant, sent: BootTime, answers: &mut Answers) {
        let session = grant.card.session_id;
        let Some(waiter) = table.claims.remove(&session).and_then(|pending| pending.waiter) else { return };
        let believe_until = self.belief(sent);
        let pass =
            Pass::new(grant.card.room_id.clone(), grant.card.epoch, believe_until, Arc::clone(&self.wake));
        let held = Arc::new(Held::new(grant.card, grant.max_duration, pass, sent));
        table.add_lease(Arc::clone(&held));
        self.reports.granted(&held.card);
        answers.push((waiter, Ok(Lease::new(Arc::clone(self), held))));
    }

    fn refuse_overdue(&self, table: &mut Table, now: BootTime, answers: &mut Answers) {
        let overdue: Vec<_> = table
            .claims
            .iter()
            .filter_map(|(session, pending)| pending.overdue(now).map(|refusal| (*session, refusal)))
            .collect();
        for (session, refusal) in overdue {
            self.refuse(table, session, refusal, now, answers);
        }
        table
            .claims
            .retain(|_, pending| pending.waiter.is_some() || pending.is_fate_unknown(now, &self.times));
    }

    /// Refuses the publisher. The claim stays, as abandoned, while it may have been granted.
    fn refuse(
        &self,
        table: &mut Table,
        session: SessionId,
        refusal: Refusal,
        now: BootTime,
        answers: &mut Answers,
    ) {
        let Some(pending) = table.claims.get_mut(&session) else { return };
        if let Some(waiter) = pending.waiter.take() {
            self.reports.refused(&pending.claim, &refusal);
            answers.push((waiter, Err(refusal)));
        }
        if !pending.is_fate_unknown(now, &self.times) {
            table.claims.remove(&session);
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

fn unconfirmed(grant: Grant) -> Release {
    Release { card: grant.card, facts: Facts::default(), reason: EndReason::Unconfirmed }
}

/// The answers in the reply, and `Unreachable` for what it does not answer.
fn padded<T>(
    answers: Vec<Result<Confirmed<T>, RegistryError>>,
) -> impl Iterator<Item = Result<Confirmed<T>, RegistryError>> {
    answers.into_iter().chain(std::iter::repeat_with(|| Err(RegistryError::Unreachable)))
}
