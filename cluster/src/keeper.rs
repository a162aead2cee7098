//! The LeaseKeeper: one per node, it speaks with the registry for every session of the node.
//!
//! **Group commit.** One call is in flight at a time; whatever waits meanwhile goes into the next one. No timer gathers.
//! The table of leases, claims and releases lives outside the running task, so [`Keeper::run`] may be dropped, panic and be
//! started again at any point: nothing is lost, since everything not answered is simply asked again, under the same session id.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as Metrics;
use thiserror::Error;

use crate::clock::{Clock, SystemClock};
use crate::events::{EndReason, Facts};
use crate::ids::NodeId;
use crate::lease::{Ending, Held, Lease};
use crate::registry::{Claim, Denial, Holder, Registry};

/// Claims, renews and releases for a whole node. Cheap to clone.
#[derive(Clone)]
pub struct Keeper(Arc<Desk>);

/// What outlives the running task.
pub(crate) struct Desk {}

impl Keeper {
    /// A keeper for the leases of `node`. Nothing happens until [`Keeper::run`] runs. Registers the `onair_lease_*` metrics.
    pub fn new(registry: Arc<dyn Registry>, node: NodeId, metrics: &mut Metrics) -> Self {
        Self::with_clock(registry, node, metrics, Arc::new(SystemClock))
    }

    /// The same with another clock than the machine's, for tests.
    pub fn with_clock(
        registry: Arc<dyn Registry>,
        node: NodeId,
        metrics: &mut Metrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        unimplemented!()
    }

    /// The loop. Never returns; may be dropped and called again at any time. A second one waits until the first is gone.
    pub async fn run(&self) {
        unimplemented!()
    }

    /// Claims a room for a publisher: waits for the next call to the registry and its answer, for as long as
    /// [`LeaseTimes::want_for`](crate::registry::LeaseTimes::want_for) for a holder that may yield, and for up to 4 s for a
    /// registry that does not answer. Dropping the future gives back whatever was or will be granted, as `unconfirmed`.
    ///
    /// # Errors
    /// Why the room is not the publisher's.
    pub async fn claim(&self, claim: Claim) -> Result<Lease, Refusal> {
        unimplemented!()
    }

    /// Waits until no release is outstanding, for at most `patience`. Returns how many still are.
    pub async fn idle(&self, patience: Duration) -> usize {
        unimplemented!()
    }

    /// How many leases the node holds.
    pub fn lease_count(&self) -> usize {
        unimplemented!()
    }
}

impl Desk {
    pub(crate) fn set_facts(&self, held: &Arc<Held>, f: impl FnOnce(&mut Facts)) {
        unimplemented!()
    }
    pub(crate) fn end(&self, held: &Arc<Held>, reason: EndReason) {
        unimplemented!()
    }
    pub(crate) async fn end_and_wait(&self, held: &Arc<Held>, reason: EndReason) -> Ending {
        unimplemented!()
    }
}

/// Why a claim did not become a lease.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody else is on air in the room, and stays there.
    #[error("the room is busy")]
    Busy {
        /// Who.
        holder: Holder,
    },
    /// Not with this key, or not now.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The registry holds more unread events than it may.
    #[error("the registry's events are not being read")]
    Backlog,
    /// The registry lost its memory a moment ago; incumbents come back first.
    #[error("the registry is recovering")]
    Recovering,
    /// The registry did not answer.
    #[error("the registry does not answer")]
    Unreachable,
    /// The registry answered, its replicas did not. The grant was given back.
    #[error("the grant could not be confirmed")]
    Unconfirmed,
    /// The node has more claims waiting than it may.
    #[error("too many claims are waiting")]
    TooMany,
}

impl Refusal {
    /// A short name out of a closed set, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Denied(Denial::UnknownKey) => "unknown_key",
            Self::Denied(Denial::Revoked) => "revoked",
            Self::Denied(Denial::WrongRoom) => "wrong_room",
            Self::Denied(Denial::Held { .. }) => "held",
            Self::Denied(Denial::Ended) => "ended",
            Self::Backlog => "backlog",
            Self::Recovering => "recovering",
            Self::Unreachable => "unreachable",
            Self::Unconfirmed => "unconfirmed",
            Self::TooMany => "too_many",
        }
    }

    /// Whether the same publisher may succeed by trying again in a few seconds, without anybody doing anything about it.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Denied(_))
    }

    /// What the streamer reads. Names no node and no other session: whoever shows a valid key may still not be the holder.
    pub fn public_text(&self) -> String {
        match self {
            Self::Busy { holder } => {
                format!("this room is already on air, since {}", holder.granted_at)
            }
            Self::Denied(denial) => denial.to_string(),
            Self::Backlog | Self::Recovering | Self::Unreachable | Self::Unconfirmed | Self::TooMany => {
                "the service cannot start new broadcasts right now; try again in a few seconds".to_owned()
            }
        }
    }
}
