//! A claim on its way: from the publisher's wish to a lease or a refusal. Once it was sent, its fate is the registry's to
//! say: an abandoned claim is asked about until the answer is known, and what was granted is given back. Not for ever, though:
//! a grant that nobody renews is found dead by itself.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Refusal;
use crate::lease::Lease;
use crate::registry::{Claim, Grant, Holder, LeaseTimes};
use crate::time::BootTime;

/// How long a claim waits for a registry that does not answer. Encoders give up at 5 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// A claim that was not answered, or not yet, is sent again after this.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// The same when nobody waits for it any more.
const ABANDONED_RETRY_AFTER: Duration = Duration::from_secs(1);
/// A ring makes a claim be sent again, and a claim makes rings: neither may drive the other faster than this.
const RING_EVERY: Duration = Duration::from_millis(20);

pub(super) struct PendingClaim {
    pub(super) claim: Claim,
    /// Its place in the queue.
    pub(super) seq: u64,
    /// `None` when the publisher has gone away, or was refused.
    waiter: Option<Waiter>,
    /// Since when there is no waiter.
    abandoned_at: Option<BootTime>,
    /// Granted, but not confirmed: to be given back if that does not change.
    granted: Option<Grant>,
    asked_at: BootTime,
    /// Not to be sent before.
    pub(super) ask_at: BootTime,
    /// When a ring last made it be sent.
    rung_at: Option<BootTime>,
    /// When it was last sent, if there has been no answer to that yet.
    in_flight: Option<BootTime>,
    /// When it was last sent without ever getting an answer.
    in_doubt: Option<BootTime>,
    waits_for: WaitsFor,
}

/// Who waits for the answer to a claim.
pub(super) type Waiter = oneshot::Sender<Result<Lease, Refusal>>;

enum WaitsFor {
    /// An answer, or its confirmation.
    Registry { last: Refusal },
    /// A holder that may yield.
    Holder { holder: Holder, until: BootTime },
}

impl PendingClaim {
    pub(super) fn new(claim: Claim, seq: u64, waiter: Waiter, now: BootTime) -> Self {
        Self {
            claim,
            seq,
            waiter: Some(waiter),
            abandoned_at: None,
            granted: None,
            asked_at: now,
            ask_at: now,
            rung_at: None,
            in_flight: None,
            in_doubt: None,
            waits_for: WaitsFor::Registry { last: Refusal::Unreachable },
        }
    }

    /// When something must be done about it: ask, or give up.
    pub(super) fn due(&self) -> BootTime {
        if self.waiter.is_some() { self.ask_at.min(self.deadline()) } else { self.ask_at }
    }

    fn deadline(&self) -> BootTime {
        match &self.waits_for {
            WaitsFor::Registry { .. } => self.asked_at.plus(PATIENCE),
            WaitsFor::Holder { until, .. } => *until,
        }
    }

    /// What to tell the publisher if its patience ends now.
    pub(super) fn overdue(&self, now: BootTime) -> Option<Refusal> {
        (self.waiter.is_some() && self.deadline() <= now).then(|| match &self.waits_for {
            WaitsFor::Registry { last } => last.clone(),
            WaitsFor::Holder { holder, .. } => Refusal::Busy { holder: holder.clone() },
        })
    }

    pub(super) const fn has_waiter(&self) -> bool {
        self.waiter.is_some()
    }

    /// From now on nobody waits for the answer.
    pub(super) fn abandon(&mut self, now: BootTime) -> Option<Waiter> {
        let waiter = self.waiter.take()?;
        self.abandoned_at = Some(now);
        Some(waiter)
    }

    /// What was granted and never confirmed, to be given back.
    pub(super) fn take_granted(&mut self) -> Option<Grant> {
        self.granted.take()
    }

    // === being sent, and answered ===

    pub(super) fn on_sent(&mut self, now: BootTime) {
        // A call that the loop did not live to see the end of.
        self.on_unanswered();
        self.in_flight = Some(now);
        let retry = if self.has_waiter() { RETRY_AFTER } else { ABANDONED_RETRY_AFTER };
        self.ask_at = now.plus(retry);
    }

    /// No answer came: it may have been granted all the same.
    pub(super) fn on_unanswered(&mut self) {
        self.in_doubt = self.in_flight.take().or(self.in_doubt);
    }

    /// The registry did not look at it, for want of memory. What came of it when it was sent before is not known by that.
    pub(super) fn on_turned_away(&mut self) {
        self.in_flight = None;
    }

    pub(super) fn on_answered(&mut self) {
        self.in_flight = None;
        self.in_doubt = None;
        self.granted = None;
    }

    /// Granted, but not confirmed. Asking again gives the same answer, and another chance to confirm it: a call is confirmed
    /// with all that was written before it. False when the patience is over.
    pub(super) fn wait_for_confirmation(&mut self, now: BootTime, grant: Grant) -> bool {
        self.granted = Some(grant);
        self.wait_for_registry(now, Refusal::Unconfirmed)
    }

    /// The room may have come free.
    pub(super) fn on_ring(&mut self, now: BootTime) {
        let at = self.rung_at.map_or(now, |last| now.max(last.plus(RING_EVERY)));
        if at < self.ask_at {
            self.ask_at = at;
            self.rung_at = Some(at);
        }
    }

    /// The registry cannot say yet. False when the patience is over.
    pub(super) fn wait_for_registry(&mut self, now: BootTime, last: Refusal) -> bool {
        self.ask_at = now.plus(RETRY_AFTER);
        self.waits_for = WaitsFor::Registry { last };
        now < self.deadline()
    }

    /// Somebody else holds the room, and was told. False when the patience is over.
    pub(super) fn wait_for_holder(&mut self, now: BootTime, holder: Holder, times: &LeaseTimes) -> bool {
        let until = match &self.waits_for {
            WaitsFor::Registry { .. } => {
                // The doorbell may be lost: one look by ourselves, while the wish is still noted.
                self.ask_at = now.plus(times.want_for * 3 / 4);
                now.plus(times.want_for)
            }
            WaitsFor::Holder { until, .. } => {
                self.ask_at = *until;
                *until
            }
        };
        self.waits_for = WaitsFor::Holder { holder, until };
        now < until
    }

    /// Whether the registry may have granted it without our knowing, and it is worth asking.
    pub(super) fn is_fate_unknown(&self, now: BootTime, times: &LeaseTimes) -> bool {
        // A grant that nobody renewed is found dead after this, by whoever wants the room next.
        let is_recent = |at: BootTime| now < at.plus(times.ttl).plus(times.grace);
        self.in_flight.or(self.in_doubt).is_some_and(is_recent) && self.abandoned_at.is_none_or(is_recent)
    }
}
