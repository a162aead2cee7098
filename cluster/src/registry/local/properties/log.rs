//! What must be true of a shard's events, whoever wrote them and why: numbers without gaps, one session after the other in
//! every room, and for each session at most one `granted`, `live` and `ended`, in that order.

use std::collections::HashMap;

use crate::events::{Event, EventKind};
use crate::ids::{Epoch, RoomId, SessionId};

#[derive(Clone, Default)]
pub(in crate::registry) struct Log {
    last_n: u64,
    rooms: HashMap<RoomId, Room>,
    sessions: HashMap<SessionId, Told>,
}

#[derive(Clone, Default)]
struct Room {
    on: Option<SessionId>,
    newest: Epoch,
}

/// What has been told of a session, in this life of the registry and before.
#[derive(Clone, Default)]
struct Told {
    granted: Option<Event>,
    live: bool,
    live_now: bool,
    ended: bool,
}

impl Log {
    /// Takes in what is new among `unread`; returns it.
    pub(in crate::registry) fn read(&mut self, unread: &[Event]) -> Result<Vec<Event>, String> {
        let new: Vec<_> = unread.iter().filter(|event| event.n > self.last_n).cloned().collect();
        for event in &new {
            if event.n != self.last_n + 1 {
                return Err(format!("event {} comes after {}", event.n, self.last_n));
            }
            self.last_n = event.n;
            self.check(event)?;
        }
        Ok(new)
    }

    pub(in crate::registry) fn last_n(&self) -> u64 {
        self.last_n
    }

    pub(in crate::registry) fn is_ended(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|told| told.ended)
    }

    /// The newest epoch ever granted to a session other than `these`.
    pub(in crate::registry) fn newest_epoch_except(&self, these: &[SessionId]) -> Epoch {
        let granted = self.sessions.values().filter_map(|told| told.granted.as_ref());
        let others = granted.filter(|event| !these.contains(&event.session.session_id));
        others.map(|event| event.session.epoch).max().unwrap_or_default()
    }

    /// The registry starts from nothing: numbers begin again, and what is on air may be told again under the same ids.
    /// Epochs go on above `epoch`, and above those that come back.
    pub(in crate::registry) fn wiped(&mut self, epoch: Epoch) {
        self.last_n = 0;
        self.rooms.values_mut().for_each(|room| *room = Room { on: None, newest: epoch });
        self.sessions.values_mut().for_each(|told| told.live_now = false);
    }

    /// The registry goes on from what it knew at `copy`; these sessions come back to it, told as before.
    pub(in crate::registry) fn rewound(&mut self, copy: &Self, coming_back: &[SessionId]) {
        let now = std::mem::replace(self, copy.clone());
        for (session, told) in now.sessions {
            if coming_back.contains(&session) {
                self.sessions.entry(session).or_insert(Told { live_now: false, ..told });
            }
        }
    }

    fn check(&mut self, event: &Event) -> Result<(), String> {
        let session = event.session.session_id;
        let room = self.rooms.entry(event.session.room_id.clone()).or_default();
        let told = self.sessions.entry(session).or_default();
        let wrong = |what: &str| Err(format!("{what}: {event:?}"));
        if told.ended {
            return wrong("an event after the session's end");
        }
        if event.facts.live_at.is_none() && (told.live_now || event.kind == EventKind::Live) {
            return wrong("a live session forgot since when");
        }
        match &event.kind {
            EventKind::Granted => {
                if room.on.is_some() {
                    return wrong("granted while another session has not ended");
                }
                if let Some(before) = &told.granted {
                    if before.session != event.session || before.at != event.at || before.id() != event.id() {
                        return wrong("told again, but not the same");
                    }
                } else if event.session.epoch <= room.newest {
                    return wrong("an epoch that does not rise");
                }
                room.newest = room.newest.max(event.session.epoch);
                room.on = Some(session);
                told.granted = Some(event.clone());
            }
            EventKind::Live => {
                if room.on != Some(session) || told.live_now {
                    return wrong("live without a lease, or twice");
                }
                told.live = true;
                told.live_now = true;
            }
            EventKind::Ended { ended_at, .. } => {
                // After a wipe, an end may be all that is left to tell.
                if room.on.is_some_and(|on| on != session) {
                    return wrong("the end of a session that is not on");
                }
                if *ended_at < event.session.granted_at || *ended_at > event.at.max(event.session.granted_at)
                {
                    return wrong("an end before the beginning, or in the future");
                }
                if room.on == Some(session) && event.facts.live_at.is_some() && !told.live {
                    return wrong("the end of a broadcast of which nobody was told that it started");
                }
                room.on = None;
                told.ended = true;
            }
        }
        Ok(())
    }
}
