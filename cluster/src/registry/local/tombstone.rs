//! Tombstones: what a room remembers of its past sessions, so that `ended` is final.

use std::collections::VecDeque;

use crate::events::SessionCard;
use crate::ids::{Epoch, SessionId};
use crate::time::UnixMs;

/// A room's memory of its past. One per room, replaced at every end, forgotten after
/// [`LeaseTimes::tombstone_for`](crate::registry::LeaseTimes::tombstone_for).
#[derive(Clone, Debug)]
pub(super) struct Tombstone {
    /// The newest session that ended here.
    pub(super) session: SessionId,
    /// Its epoch: no session with this or a lower one comes back.
    pub(super) epoch: Epoch,
    /// The sessions that ended before it. A claim carries no epoch, so one that was late on its way is known by its id alone.
    earlier: VecDeque<SessionId>,
    /// When a session here last yielded to a newcomer.
    pub(super) superseded_at: Option<UnixMs>,
    until: UnixMs,
}

/// A claim would have to be overtaken by this many sessions of its room to be taken for a new one.
const EARLIER_MAX: usize = 16;

impl Tombstone {
    pub(super) fn of(card: &SessionCard, until: UnixMs) -> Self {
        Self {
            session: card.session_id,
            epoch: card.epoch,
            earlier: VecDeque::new(),
            superseded_at: None,
            until,
        }
    }

    /// The tombstone that replaces `before`.
    pub(super) fn after(before: Self, card: &SessionCard, until: UnixMs) -> Self {
        let mut earlier = before.earlier;
        earlier.push_front(before.session);
        earlier.truncate(EARLIER_MAX);
        Self { earlier, superseded_at: before.superseded_at, ..Self::of(card, until) }
    }

    pub(super) fn stands(&self, now: UnixMs) -> bool {
        now < self.until
    }

    /// Whether this very session ended here.
    pub(super) fn knows(&self, session: SessionId) -> bool {
        self.session == session || self.earlier.contains(&session)
    }

    /// Whether a session of this id and epoch is over: it ended here, or a newer one did.
    pub(super) fn covers(&self, card: &SessionCard) -> bool {
        self.epoch >= card.epoch || self.knows(card.session_id)
    }
}
