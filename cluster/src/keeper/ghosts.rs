//! Ghosts: grants to this node that nobody here knows of. A claim may lie in the socket of a frozen Redis for longer than its
//! publisher waits, and than the keeper asks what became of it; when Redis thaws, it grants the room to nobody. The next
//! publisher of the room meets that session as its holder, and need not wait until it is found dead.
//!
//! What is given back has never been renewed. Should this process have been frozen, and another have taken its name meanwhile,
//! the sessions of that one are not ours to end.

use futures_util::future::join_all;

use super::desk::{Desk, Table};
use crate::ids::{RoomId, SessionId};
use crate::registry::{Grant, Holder, LeaseView};

/// Looked into at once; more are left for the next claims of their rooms.
const GHOSTS_MAX: usize = 64;

/// A session that holds a room for this node, by what the registry says.
pub(super) struct Ghost {
    room: RoomId,
    session: SessionId,
}

impl Desk {
    /// Whoever holds `room`, if it should be this node and is not.
    pub(super) fn ghost(&self, table: &Table, room: &RoomId, holder: &Holder) -> Option<Ghost> {
        let is_ours = holder.node_id == self.node && !table.knows(holder.session_id);
        is_ours.then(|| Ghost { room: room.clone(), session: holder.session_id })
    }

    /// Gives back what ghosts hold. Whoever waits for their rooms asks again in the same call.
    pub(super) async fn lay(&self, ghosts: Vec<Ghost>) {
        let looks = join_all(ghosts.iter().take(GHOSTS_MAX).map(|ghost| self.registry.lease(&ghost.room)));
        // Without an answer the room comes free a little later, by itself.
        let Ok(found) = tokio::time::timeout(self.times.call_timeout, looks).await else { return };
        let mut table = self.table();
        for (ghost, view) in ghosts.iter().zip(found) {
            let Ok(Some(view)) = view else { continue };
            if view.card.session_id == ghost.session && !table.knows(ghost.session) && self.is_fresh(&view) {
                self.give_back(&mut table, Grant { card: view.card, max_duration: None, max_bitrate: None });
            }
        }
        self.count_outstanding(&table);
    }

    /// Granted and never renewed; asking for the same grant again, as a claim does a few times, is no renewal.
    fn is_fresh(&self, view: &LeaseView) -> bool {
        let unrenewed = view.card.granted_at.plus(self.times.ttl).plus(self.times.grace);
        view.facts.live_at.is_none() && view.until <= unrenewed
    }
}

impl Table {
    /// The session is ours, or on its way to be or not to be.
    fn knows(&self, session: SessionId) -> bool {
        self.leases.contains_key(&session)
            || self.claims.contains_key(&session)
            || self.releases.contains_key(&session)
    }
}
