//! A lease in the hands of its session: the guard that gives it back, and what the session may believe meanwhile.
//!
//! The [`Lease`] belongs to the connection; whoever drops it without [`Lease::end`] gives it back as `crash`. The [`Pass`]
//! belongs to the media path. What the registry says reaches both through the [`Keeper`](crate::keeper::Keeper).

mod doubt;
mod held;
mod meter;
mod pass;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::events::{EndReason, Facts, SessionCard};
use crate::ids::Epoch;
use crate::keeper::Desk;
use crate::registry::{Order, Released};

pub(crate) use doubt::{Cause, Failure};
pub(crate) use held::{Held, Limits, Wanted};
pub use pass::{Belief, Pass};

/// What a session is told while it holds its lease. The last word wins: after anything but `Held` the session must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseSignal {
    /// All is well.
    Held,
    /// Somebody with the right to wants the session to end. It still holds the lease, and ends it with the order's reason.
    Ordered(Order),
    /// The session yielded to a newcomer. Its pass is fenced and its release on the way: only the socket is left to close.
    Superseded,
    /// The lease is someone else's, or was found dead. The pass is fenced; there is nothing to give back.
    Lost {
        /// The epoch that took its place, if there is one.
        by: Option<Epoch>,
    },
    /// The registry has not answered for longer than the [policy](crate::keeper::Policy) bears. The pass is fenced and the
    /// release, as [`EndReason::Unconfirmed`], waits for the registry to come back.
    Abandoned,
}

/// A session's ownership of its room. Dropping it without [`Lease::end`] releases the room with [`EndReason::Crash`].
#[must_use = "dropping a lease ends the session as a crash"]
pub struct Lease {
    desk: Arc<Desk>,
    held: Arc<Held>,
}

impl Lease {
    pub(crate) fn new(desk: Arc<Desk>, held: Arc<Held>) -> Self {
        Self { desk, held }
    }

    /// What is fixed about the session.
    pub fn card(&self) -> &SessionCard {
        &self.held.card
    }

    /// The longest the session may last, by its key. The session ends itself, with [`EndReason::Policy`].
    pub fn max_duration(&self) -> Option<Duration> {
        self.held.limits.duration
    }

    /// The most media it may send, in bits per second as a mean over some seconds, by its key. The session ends itself, with
    /// [`EndReason::Policy`].
    pub fn max_bitrate(&self) -> Option<u64> {
        self.held.limits.bitrate
    }

    /// The media path's view of the lease.
    pub fn pass(&self) -> Pass {
        self.held.pass.clone()
    }

    /// From now on `ear` hears each word to the session; at once the last one that was said, if there was any. See
    /// [`LeaseSignal`]. There is one ear; a later one takes its place.
    ///
    /// It is called by the keeper and must only pass the word on: neither wait nor touch a lease.
    pub fn on_signal(&self, ear: impl Fn(LeaseSignal) + Send + 'static) {
        self.held.listen(Box::new(ear));
    }

    /// Changes the facts that the media path does not count by itself: codecs, sizes, rates, players. They travel with the
    /// next renewal; if `f` changed anything, an extra one is made for it, at most one a second.
    ///
    /// `live_at`, `last_media_at`, `bytes_in`, `bitrate_kbps` and `unreplicated` are the [`Pass`]'s and the keeper's: changes to
    /// them are ignored.
    pub fn set_facts(&self, f: impl FnOnce(&mut Facts)) {
        if self.held.set_facts(f) {
            self.desk.wake();
        }
    }

    /// Ends the session: fences the pass at once, hands the release to the keeper, and waits until the registry has
    /// recorded it, or for two call timeouts at most; the keeper goes on trying after that.
    ///
    /// The release is handed over by the call itself: the future need not be polled for it.
    pub fn end(self, reason: EndReason) -> impl Future<Output = Ending> + Send + use<> {
        let desk = Arc::clone(&self.desk);
        let answer = desk.end(&self.held, reason);
        async move { desk.wait_for_end(answer).await }
    }

    /// The same without waiting.
    pub fn end_detached(self, reason: EndReason) {
        drop(self.desk.end(&self.held, reason));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // After `end` there is nothing left to give back, and this does nothing.
        drop(self.desk.end(&self.held, EndReason::Crash));
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("card", &self.held.card).finish_non_exhaustive()
    }
}

/// What came of [`Lease::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The registry answered.
    Recorded(Released),
    /// The registry has not answered yet; the keeper goes on trying.
    Queued,
}
