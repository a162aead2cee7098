//! What the registry's answers to claims mean: a lease, a refusal, or that the claim has to wait.

use std::sync::Arc;

use super::desk::{Desk, Table};
use super::ghosts::Ghost;
use super::round::{Answers, Call};
use super::{Refusal, record};
use crate::ids::SessionId;
use crate::lease::{Held, Lease, Limits, Pass};
use crate::registry::{Acquired, Claim, Confirmed, Grant, RegistryError};
use crate::time::BootTime;

impl Desk {
    /// Returns who holds the room in this node's name, if the node does not know of it.
    pub(super) fn on_acquired(
        self: &Arc<Self>,
        table: &mut Table,
        claim: &Claim,
        answer: Result<Confirmed<Acquired>, RegistryError>,
        call: Call,
        answers: &mut Answers,
    ) -> Option<Ghost> {
        let now = call.over;
        let ghost = match &answer {
            Ok(Confirmed { answer: Acquired::Busy { holder, .. }, .. }) => {
                self.ghost(table, &claim.room_id, holder)
            }
            _ => None,
        };
        let pending = table.claims.get_mut(&claim.session_id)?;
        let refusal = match answer {
            Ok(Confirmed { answer, confirmed }) => {
                pending.on_answered();
                match answer {
                    Acquired::Granted(grant) if !pending.has_waiter() => {
                        table.claims.remove(&claim.session_id);
                        self.give_back(table, grant);
                        return ghost;
                    }
                    Acquired::Granted(grant) if confirmed || self.accepts_unconfirmed() => {
                        self.on_granted(table, grant, confirmed, call, answers);
                        return ghost;
                    }
                    Acquired::Granted(grant) => {
                        self.reports.unconfirmed();
                        if pending.wait_for_confirmation(now, grant) {
                            return ghost;
                        }
                        Refusal::Unconfirmed
                    }
                    Acquired::Busy { holder, wanted } if wanted || ghost.is_some() => {
                        let refusal = Refusal::Busy { holder: holder.clone() };
                        if pending.wait_for_holder(now, holder, &self.times) && pending.has_waiter() {
                            return ghost;
                        }
                        refusal
                    }
                    Acquired::Busy { holder, .. } => Refusal::Busy { holder },
                    Acquired::Denied(denial) => Refusal::Denied(denial),
                    Acquired::Backlog => Refusal::Backlog,
                    Acquired::Recovering => {
                        if pending.wait_for_registry(now, Refusal::Recovering) && pending.has_waiter() {
                            return ghost;
                        }
                        Refusal::Recovering
                    }
                }
            }
            Err(RegistryError::Full) => {
                pending.on_turned_away();
                Refusal::Full
            }
            Err(_) => {
                pending.on_unanswered();
                if pending.wait_for_registry(now, Refusal::Unreachable) {
                    return ghost;
                }
                Refusal::Unreachable
            }
        };
        self.refuse(table, claim.session_id, refusal, now, answers);
        ghost
    }

    fn on_granted(
        self: &Arc<Self>,
        table: &mut Table,
        grant: Grant,
        confirmed: bool,
        call: Call,
        answers: &mut Answers,
    ) {
        let session = grant.card.session_id;
        let pending = table.claims.remove(&session);
        let Some(waiter) = pending.and_then(|mut pending| pending.abandon(call.over)) else { return };
        let until = self.belief(call.sent);
        let limits = Limits { duration: grant.max_duration, bitrate: grant.max_bitrate };
        let pass = Pass::new(grant.card.room_id.clone(), grant.card.epoch, Arc::clone(&self.wake));
        let held = Arc::new(Held::new(grant.card, limits, pass, call.sent));
        held.on_answered(confirmed);
        if confirmed {
            held.pass.believe(until);
            record::believes(&held.card, call.over, until);
        } else {
            self.reports.unconfirmed();
            held.pass.ride(until);
        }
        table.add_lease(Arc::clone(&held));
        self.reports.granted(&held.card);
        answers.push((waiter, Ok(Lease::new(Arc::clone(self), held))));
    }

    pub(super) fn refuse_overdue(&self, table: &mut Table, now: BootTime, answers: &mut Answers) {
        let overdue: Vec<_> = table
            .claims
            .iter()
            .filter_map(|(session, pending)| pending.overdue(now).map(|refusal| (*session, refusal)))
            .collect();
        for (session, refusal) in overdue {
            self.refuse(table, session, refusal, now, answers);
        }
        // Those that nobody waits for are forgotten once there is no use in asking.
        table.claims.retain(|_, pending| pending.has_waiter() || pending.is_fate_unknown(now, &self.times));
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
        if let Some(waiter) = pending.abandon(now) {
            self.reports.refused(&pending.claim, &refusal);
            answers.push((waiter, Err(refusal)));
        }
        self.settle(table, session, now);
    }
}
