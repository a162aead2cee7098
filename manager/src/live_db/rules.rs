//! The rules by which lifecycle events become rows: what is on record, and events, give what is to be written. Pure, and the
//! same for every store; a store only loads what [`wanted`] names and writes what comes out.
//!
//! A session is opened, goes live and ends, each once. Whatever the order in which events come, and however often, the row
//! ends up the same: `ended` carries everything; what comes after it can only fill in the start. A room has one open session:
//! a newer grant closes an older session that was left open, and an older one does not open under a newer.

use std::collections::{BTreeMap, HashMap, HashSet};

use onair_cluster::events::EndReason;
use onair_cluster::{
    Epoch, Event, EventKind, Facts, LiveKeyId, ProducerId, RoomId, SessionCard, SessionId, Shard, UnixMs,
};

use super::messages::Message;
use super::{Outcome, SessionEnd, SessionRow, Totals};

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// What a store must load before it asks for [`changes`]: these sessions, and the open ones of these rooms.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    pub(super) sessions: HashSet<SessionId>,
    pub(super) rooms: HashSet<&'a RoomId>,
}

/// What must be known to apply `events`.
pub(super) fn wanted(events: &[Event]) -> Wanted<'_> {
    Wanted {
        sessions: events.iter().map(|event| event.session.session_id).collect(),
        rooms: events.iter().map(|event| &event.session.room_id).collect(),
    }
}

/// What is to be written. Everything in `updates` before anything in `inserts`: a session may open where one is closed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// Sessions that are not on record yet, as they are to be.
    pub(super) inserts: Vec<SessionWrite>,
    /// Sessions that are, as they are to be.
    pub(super) updates: Vec<SessionWrite>,
    /// For the outbox, in order.
    pub(super) messages: Vec<Outgoing>,
    /// When keys were last used.
    pub(super) keys_used: BTreeMap<LiveKeyId, UnixMs>,
    /// What is to be added to the totals of rooms; never nothing.
    pub(super) totals: BTreeMap<RoomId, (ProducerId, Totals)>,
    /// The last event of each shard.
    pub(super) positions: BTreeMap<Shard, u64>,
    /// What became of each event.
    pub(super) outcomes: Vec<Outcome>,
}

/// A session's row, and what it means for its broadcast.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SessionWrite {
    pub(super) row: SessionRow,
    pub(super) broadcast: BroadcastWrite,
}

/// What is to be done about the broadcast of a session, which has the session's start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BroadcastWrite {
    /// Nothing: the session never went live, or it is on record as it is.
    Nothing,
    /// It is to be recorded, with its end if there is one.
    Insert,
    /// It is on record, without the end that there is now.
    End,
}

/// A message, and what orders it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    pub(super) room_id: RoomId,
    pub(super) epoch: Epoch,
    pub(super) message: Message,
}

/// Applies `events`, in their order, to what is on record: everything that [`wanted`] names and that is there.
pub(super) fn changes(on_record: Vec<SessionRow>, events: &[Event]) -> Changes {
    let mut book = Book::new(on_record);
    for event in events {
        let outcome = book.apply(event);
        book.changes.outcomes.push(outcome);
        if event.n > 0 {
            book.changes.positions.insert(event.shard, event.n);
        }
    }
    book.into_changes()
}

/// Ends every session in `open` as `lost`, at its last known media.
pub(super) fn lost(open: Vec<SessionRow>, detected_at: UnixMs) -> Changes {
    let ids: Vec<SessionId> = open.iter().map(|row| row.card.session_id).collect();
    let mut book = Book::new(open);
    for id in ids {
        let Some(row) = book.row(id) else { continue };
        let last = row.facts.last_media_at.or(row.facts.live_at);
        let end = SessionEnd {
            ended_at: last.unwrap_or(row.card.granted_at),
            detected_at,
            reason: EndReason::Lost,
        };
        book.close(id, end);
    }
    book.into_changes()
}

/// The rows under work, and what has come of it.
struct Book {
    sessions: HashMap<SessionId, Entry>,
    /// In the order in which they were first touched, so that what comes out does not depend on hashes.
    touched: Vec<SessionId>,
    open: HashMap<RoomId, SessionId>,
    changes: Changes,
}

struct Entry {
    row: SessionRow,
    origin: Origin,
    is_touched: bool,
    /// Downstream knows of its start, by this batch or one before.
    is_start_told: bool,
    /// Likewise of its end.
    is_end_told: bool,
}

/// Where a row comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    New,
    Found { is_live: bool, is_ended: bool },
}

impl Book {
    fn new(on_record: Vec<SessionRow>) -> Self {
        let is_open = |row: &&SessionRow| row.end.is_none();
        let open = on_record.iter().filter(is_open);
        let open = open.map(|row| (row.card.room_id.clone(), row.card.session_id)).collect();
        let entry = |row: SessionRow| {
            let (is_live, is_ended) = (row.facts.live_at.is_some(), row.end.is_some());
            let entry = Entry {
                origin: Origin::Found { is_live, is_ended },
                is_touched: false,
                is_start_told: is_live,
                is_end_told: is_live && is_ended,
                row,
            };
            (entry.row.card.session_id, entry)
        };
        let sessions = on_record.into_iter().map(entry).collect();
        Self { sessions, touched: Vec::new(), open, changes: Changes::default() }
    }

    fn row(&self, id: SessionId) -> Option<&SessionRow> {
        self.sessions.get(&id).map(|entry| &entry.row)
    }

    fn apply(&mut self, event: &Event) -> Outcome {
        let id = event.session.session_id;
        match (&event.kind, self.row(id)) {
            (EventKind::Granted, Some(_)) => Outcome::Repeat,
            (EventKind::Granted, None) => self.open(event),
            (EventKind::Live, Some(row)) if row.facts.live_at.is_some() => Outcome::Repeat,
            (EventKind::Live, Some(_)) => self.go_live(event),
            (EventKind::Live, None) => match self.open(event) {
                Outcome::Applied => self.go_live(event),
                other => other,
            },
            (EventKind::Ended { .. }, Some(row)) if row.end.is_some() => Outcome::Repeat,
            (EventKind::Ended { reason, ended_at }, row) => {
                if row.is_none() {
                    // It opens and ends at once, whoever has the room now.
                    self.insert(&event.session, Facts::default());
                }
                let end = SessionEnd { ended_at: *ended_at, detected_at: event.at, reason: *reason };
                self.change(id, |row| learn(row, &event.facts));
                self.close(id, end);
                Outcome::Applied
            }
        }
    }

    /// Opens the session's row, unless a newer session of its room is open. An older one that still is has ended unheard.
    fn open(&mut self, event: &Event) -> Outcome {
        let card = &event.session;
        if let Some(other) = self.open.get(&card.room_id).and_then(|id| self.row(*id)) {
            if other.card.epoch > card.epoch {
                return Outcome::Fenced;
            }
            let end = SessionEnd {
                ended_at: card.granted_at,
                detected_at: event.at,
                reason: EndReason::Superseded,
            };
            self.close(other.card.session_id, end);
        }
        // Not live yet, even if the event that opens it is `live`: that is the next step's.
        self.insert(card, Facts { live_at: None, ..event.facts.clone() });
        self.open.insert(card.room_id.clone(), card.session_id);
        Outcome::Applied
    }

    /// The first coded frame. If the session is known to have ended, `ended` came first and did not know of it.
    fn go_live(&mut self, event: &Event) -> Outcome {
        let live_at = event.facts.live_at.unwrap_or(event.at);
        let heard = Facts {
            live_at: Some(live_at),
            last_media_at: event.facts.last_media_at.max(Some(live_at)),
            ..event.facts.clone()
        };
        let id = event.session.session_id;
        self.change(id, |row| {
            if row.end.is_none() {
                learn(row, &heard);
            } else {
                // The rest of what the end told is newer.
                row.facts.live_at = heard.live_at;
                row.facts.last_media_at = row.facts.last_media_at.max(heard.last_media_at);
            }
        });
        self.tell(id);
        Outcome::Applied
    }

    fn close(&mut self, id: SessionId, end: SessionEnd) {
        self.change(id, |row| row.end = Some(end));
        if let Some(room) = self.row(id).map(|row| row.card.room_id.clone())
            && self.open.get(&room) == Some(&id)
        {
            self.open.remove(&room);
        }
        self.tell(id);
    }

    fn insert(&mut self, card: &SessionCard, facts: Facts) {
        let entry = Entry {
            row: SessionRow { card: card.clone(), facts, end: None },
            origin: Origin::New,
            is_touched: true,
            is_start_told: false,
            is_end_told: false,
        };
        self.sessions.insert(card.session_id, entry);
        self.touched.push(card.session_id);
        // Which of a room's keys has been idle longest decides which one is retired.
        let used = self.changes.keys_used.entry(card.live_key_id.clone()).or_default();
        *used = card.granted_at.max(*used);
    }

    fn change(&mut self, id: SessionId, change: impl FnOnce(&mut SessionRow)) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        if !entry.is_touched {
            entry.is_touched = true;
            self.touched.push(id);
        }
        change(&mut entry.row);
    }

    /// Tells downstream what viewers can see by now and what it has not been told: nothing, if the session never went live.
    fn tell(&mut self, id: SessionId) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let SessionRow { card, facts, end } = &entry.row;
        let Some(started_at) = facts.live_at else { return };
        let mut news = Totals::default();
        let mut say = |message| {
            let outgoing = Outgoing { room_id: card.room_id.clone(), epoch: card.epoch, message };
            self.changes.messages.push(outgoing);
        };
        if !entry.is_start_told {
            entry.is_start_told = true;
            news.broadcasts = 1;
            say(Message::started(card, facts, started_at));
        }
        if let Some(end) = end
            && !entry.is_end_told
        {
            entry.is_end_told = true;
            news.live_ms = end.ended_at.since(started_at);
            news.bytes_in = facts.bytes_in;
            say(Message::ended(card, facts, started_at, end));
        }
        if news != Totals::default() {
            let totals = &mut self.changes.totals;
            let of_room = totals
                .entry(card.room_id.clone())
                .or_insert_with(|| (card.producer_id.clone(), Totals::default()));
            of_room.1.add(&news);
        }
    }

    fn into_changes(mut self) -> Changes {
        for id in &self.touched {
            let Some(Entry { row, origin, .. }) = self.sessions.remove(id) else { continue };
            let broadcast = match (origin, row.facts.live_at.is_some(), row.end.is_some()) {
                (_, false, _) => BroadcastWrite::Nothing,
                (Origin::New | Origin::Found { is_live: false, .. }, true, _) => BroadcastWrite::Insert,
                (Origin::Found { is_ended: false, .. }, true, true) => BroadcastWrite::End,
                (Origin::Found { .. }, true, _) => BroadcastWrite::Nothing,
            };
            let writes = match origin {
                Origin::New => &mut self.changes.inserts,
                Origin::Found { .. } => &mut self.changes.updates,
            };
            writes.push(SessionWrite { row, broadcast });
        }
        self.changes
    }
}

/// Takes over newer facts. A start that is known stays known, and media once seen was seen.
fn learn(row: &mut SessionRow, facts: &Facts) {
    row.facts = Facts {
        live_at: facts.live_at.or(row.facts.live_at),
        last_media_at: facts.last_media_at.max(row.facts.last_media_at),
        ..facts.clone()
    };
}
