//! What the registry's answers to renewals mean, and what its silence means: belief, riding, orders, wants, and the end.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::desk::{Desk, Table};
use super::round::Call;
use super::takeover::{Verdict, decide};
use super::{OnUnreplicated, record};
use crate::lease::{Failure, Held, LeaseSignal, Wanted};
use crate::registry::{Confirmed, RegistryError, Renewal, Renewed, Want};
use crate::time::BootTime;

/// A renewal that was not answered is made again after this, give or take a tenth.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Desk {
    pub(super) fn on_renewed(
        &self,
        table: &mut Table,
        renewal: &Renewal,
        answer: Result<Confirmed<Renewed>, RegistryError>,
        call: Call,
        retry_at: BootTime,
    ) {
        let Some(held) = table.leases.get(&renewal.card.session_id).cloned() else { return };
        match answer {
            Ok(Confirmed { answer: Renewed::Kept { order, want }, confirmed }) => {
                held.on_answered(confirmed);
                let until = self.belief(call.sent);
                if confirmed {
                    held.pass.believe(until);
                    record::believes(&held.card, call.over, until);
                } else {
                    // There, but alone: whoever might be granted the room instead is granted it elsewhere, and by then with
                    // a higher epoch.
                    self.reports.unconfirmed();
                    held.pass.ride(until);
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
                if let Some(want) = want.filter(|_| confirmed || self.accepts_unconfirmed()) {
                    self.on_want(table, &held, want, call.over);
                }
            }
            Ok(Confirmed { answer: Renewed::Lost { by }, .. }) => {
                held.pass.fence();
                table.remove_lease(&held);
                record::stops(&held.card, self.clock.boot());
                self.reports.lost(&held.card, by);
                held.say(LeaseSignal::Lost { by });
            }
            // No verdict. Nobody yields to a newcomer that could not be granted the room either.
            Err(_) => {
                held.set_wanted(None);
                let was_awake = call.took() <= self.times.call_timeout + self.times.margin;
                let failure = Failure { sent: call.sent, was_awake };
                held.on_unanswered(failure, retry_at, self.policy.on_registry_loss);
            }
        }
    }

    /// What a confirmed answer to a call sent at `sent` allows a holder to believe.
    pub(super) fn belief(&self, sent: BootTime) -> BootTime {
        sent.plus(self.times.ttl.saturating_sub(self.times.margin))
    }

    /// When the renewals without an answer in `call` are made again: together, and not in step with other nodes.
    pub(super) fn retry_at(&self, call: Call) -> BootTime {
        call.sent.plus(RETRY_AFTER.mul_f64(rand::rng().random_range(0.9..1.1)))
    }

    /// Whether grants without confirmation are good enough.
    pub(super) fn accepts_unconfirmed(&self) -> bool {
        self.policy.on_unreplicated == OnUnreplicated::Degrade
    }

    // === wants ===

    fn on_want(&self, table: &mut Table, held: &Arc<Held>, want: Want, now: BootTime) {
        let until = now.plus(Duration::from_millis(want.until.since(self.clock.unix())));
        self.judge(table, held, Wanted { want, until, look_at: now }, now);
    }

    /// The holder may have been silent for long enough by now.
    pub(super) fn look_at_want(&self, table: &mut Table, held: &Arc<Held>, now: BootTime) {
        if let Some(wanted) = held.wanted() {
            self.judge(table, held, wanted, now);
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
}
