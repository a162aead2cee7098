//! Away: which shards of the registry do not answer. For the log and the metric only; leases judge by their own renewals.

use std::time::Duration;

use crate::ids::{RoomId, Shard};
use crate::registry::{Batch, BatchReply, RegistryError};
use crate::time::BootTime;

/// A shard that nobody asked again for this long is not said to be away any more.
const FORGET_AFTER: Duration = Duration::from_secs(10);

/// When each shard last failed, since it last answered.
pub(super) struct Away([Option<BootTime>; Shard::COUNT as usize]);

impl Default for Away {
    fn default() -> Self {
        Self([None; Shard::COUNT as usize])
    }
}

impl Away {
    /// Takes note of a call that ended at `now`. Returns how many items had no answer.
    pub(super) fn note(&mut self, batch: &Batch, reply: &BatchReply, now: BootTime) -> usize {
        let releases = batch.releases.iter().map(|release| &release.card.room_id);
        let renewals = batch.renewals.iter().map(|renewal| &renewal.card.room_id);
        let claims = batch.claims.iter().map(|claim| &claim.room_id);
        self.note_all(releases, &reply.releases, now)
            + self.note_all(renewals, &reply.renewals, now)
            + self.note_all(claims, &reply.claims, now)
    }

    fn note_all<'a, T>(
        &mut self,
        rooms: impl Iterator<Item = &'a RoomId>,
        answers: &[Result<T, RegistryError>],
        now: BootTime,
    ) -> usize {
        let mut failed = 0;
        for (at, room) in rooms.enumerate() {
            let has_answer = matches!(answers.get(at), Some(Ok(_) | Err(RegistryError::Full)));
            failed += usize::from(!has_answer);
            self.0[room.shard().index()] = (!has_answer).then_some(now);
        }
        failed
    }

    /// How many shards are away.
    pub(super) fn count(&self, now: BootTime) -> usize {
        self.0.iter().flatten().filter(|failed| now < failed.plus(FORGET_AFTER)).count()
    }
}
