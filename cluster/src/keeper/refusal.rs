//! Why a claim did not become a lease, for the metric and for the streamer.

use thiserror::Error;

use crate::registry::{Denial, Holder};

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
    /// The registry has no memory left for anything new.
    #[error("the registry is out of memory")]
    Full,
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
            Self::Full => "full",
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
            Self::Busy { holder } => format!("this room is already on air, since {}", holder.granted_at),
            Self::Denied(denial) => denial.to_string(),
            Self::Full => "the cluster is full: no new broadcasts can start; try again later".to_owned(),
            Self::Backlog | Self::Recovering | Self::Unreachable | Self::Unconfirmed | Self::TooMany => {
                "no new broadcasts can start right now; try again in a few seconds".to_owned()
            }
        }
    }
}
