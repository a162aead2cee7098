//! Release, and the end of a lease however it comes: the lease goes, `ended` and a tombstone stay, and whoever wanted the room is rung.

use super::shard::ShardState;
use super::tombstone::Tombstone;
use crate::events::{EndReason, EventKind, Facts, SessionCard};
use crate::ids::RoomId;
use crate::registry::{Release, Released};
use crate::time::UnixMs;

impl ShardState {
    /// Ends a session for its holder. Also when the lease is not here and nothing says that the session is over: then the
    /// registry lost it, and the true reason shall survive.
    pub fn release(&mut self, now: UnixMs, release: &Release) -> Released {
        let card = &release.card;
        let room = &card.room_id;
        match self.leases.get(room) {
            Some(lease) if lease.card.session_id == card.session_id => {
                self.end_held(now, room, release.reason, &release.facts);
                Released::Ended
            }
            Some(other) if other.card.epoch >= card.epoch => Released::AlreadyOver,
            older => {
                if older.is_some() {
                    // That the newer one was granted proves that this one had ended, in a past that the shard has lost.
                    self.end_lost(now, room);
                }
                if self.tombs.get(room).is_some_and(|t| t.stands(now) && t.covers(card)) {
                    return Released::AlreadyOver;
                }
                self.raise_epochs(card.epoch);
                self.bury(now, card, release.reason, &release.facts);
                Released::Ended
            }
        }
    }

    /// Ends the room's lease because nobody was left to report.
    pub(super) fn end_lost(&mut self, now: UnixMs, room: &RoomId) {
        if let Some(facts) = self.leases.get(room).map(|lease| lease.facts.clone()) {
            self.end_held(now, room, EndReason::Lost, &facts);
        }
    }

    fn end_held(&mut self, now: UnixMs, room: &RoomId, reason: EndReason, facts: &Facts) {
        let Some(lease) = self.leases.remove(room) else { return };
        self.deadlines.remove(&(lease.until, room.clone()));
        let facts = Facts { live_at: lease.facts.live_at.or(facts.live_at), ..facts.clone() };
        if lease.facts.live_at.is_none() && facts.live_at.is_some() {
            // It went live and ended between two renewals. Every broadcast that ends has started.
            self.append(now, EventKind::Live, &lease.card, &facts);
        }
        self.bury(now, &lease.card, reason, &facts);
        if let Some(want) = lease.want.filter(|want| now < want.until) {
            self.rings.push((want.node_id, room.clone()));
        }
    }

    fn bury(&mut self, now: UnixMs, card: &SessionCard, reason: EndReason, facts: &Facts) {
        let ended_at = ended_at(now, card, reason, facts);
        self.append(now, EventKind::Ended { reason, ended_at }, card, facts);
        let until = now.plus(self.times.tombstone_for);
        let mut tomb = match self.tombs.remove(&card.room_id).filter(|tomb| tomb.stands(now)) {
            Some(before) => Tombstone::after(before, card, until),
            None => Tombstone::of(card, until),
        };
        if reason == EndReason::Superseded {
            tomb.superseded_at = Some(now);
        }
        self.tombs.insert(card.room_id.clone(), tomb);
    }
}

/// A session that fell silent ended with its last media; any other when it said so. Never before it was granted, nor in
/// the future, whatever the node's clock said of its media.
fn ended_at(now: UnixMs, card: &SessionCard, reason: EndReason, facts: &Facts) -> UnixMs {
    let end = match reason {
        EndReason::Lost | EndReason::Timeout => facts.last_media_at.unwrap_or(card.granted_at),
        _ => now,
    };
    end.min(now).max(card.granted_at)
}
