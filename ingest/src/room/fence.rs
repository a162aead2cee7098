//! Fence: the highest epoch of rooms that are no longer here. A room goes with its last user, but what it knew of epochs must not:
//! a node that thaws after a minute would bring old media into a room that nobody remembers.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use onair_cluster::{Epoch, RoomId};
use parking_lot::Mutex;

/// As long as the registry remembers how a room's last session ended: nobody rides out longer.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// Rooms remembered; beyond it the oldest is forgotten. Some 10 MB.
const ROOMS_MAX: usize = 50_000;

#[derive(Debug, Default)]
pub(super) struct Fence(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    epochs: HashMap<RoomId, (Epoch, Instant)>,
    /// In the order in which they are forgotten; an entry counts only if its time is still the room's.
    order: VecDeque<(RoomId, Instant)>,
}

impl Fence {
    /// Remembers that `room` has seen `epoch`, unless it has seen a higher one.
    pub(super) fn note(&self, room: &RoomId, epoch: Epoch, now: Instant) {
        if epoch == Epoch(0) {
            return;
        }
        let mut kept = self.0.lock();
        kept.forget(now);
        let epoch = kept.epochs.get(room).map_or(epoch, |(known, _)| epoch.max(*known));
        kept.epochs.insert(room.clone(), (epoch, now));
        kept.order.push_back((room.clone(), now));
    }

    /// The highest epoch known of a room; 0 when none is.
    pub(super) fn highest(&self, room: &RoomId) -> Epoch {
        self.0.lock().epochs.get(room).map_or(Epoch(0), |(epoch, _)| *epoch)
    }
}

impl Kept {
    fn forget(&mut self, now: Instant) {
        while let Some((room, at)) = self.order.front() {
            let is_due = now.saturating_duration_since(*at) > KEPT_FOR || self.order.len() >= ROOMS_MAX;
            if !is_due {
                return;
            }
            if self.epochs.get(room).is_some_and(|(_, noted)| noted == at) {
                self.epochs.remove(room);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(n: usize) -> RoomId {
        RoomId::parse(&format!("room-{n}")).unwrap()
    }

    #[test]
    fn the_highest_epoch_of_a_room_is_remembered_for_a_while() {
        let (fence, start) = (Fence::default(), Instant::now());
        fence.note(&room(1), Epoch(7), start);
        fence.note(&room(1), Epoch(5), start + KEPT_FOR / 2);
        assert_eq!(fence.highest(&room(1)), Epoch(7));
        fence.note(&room(2), Epoch(1), start + KEPT_FOR + KEPT_FOR / 4);
        assert_eq!(fence.highest(&room(1)), Epoch(7), "noted again since");
        fence.note(&room(2), Epoch(1), start + 2 * KEPT_FOR);
        assert_eq!((fence.highest(&room(1)), fence.highest(&room(2))), (Epoch(0), Epoch(1)));
    }

    #[test]
    fn no_more_rooms_are_remembered_than_there_may_be() {
        let (fence, now) = (Fence::default(), Instant::now());
        for n in 0..ROOMS_MAX + 10 {
            fence.note(&room(n), Epoch(1), now);
        }
        let kept = fence.0.lock();
        assert!(kept.order.len() <= ROOMS_MAX && kept.epochs.len() <= ROOMS_MAX);
        drop(kept);
        assert_eq!((fence.highest(&room(0)), fence.highest(&room(ROOMS_MAX))), (Epoch(0), Epoch(1)));
    }
}
