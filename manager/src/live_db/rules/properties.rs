//! Goal: whatever becomes of the order in which events arrive, the record stays true. Method: random lives of sessions, their
//! events shuffled, repeated and cut into batches, applied to a record in memory that has the constraints of the schema.

use std::collections::{BTreeMap, BTreeSet};

use onair_cluster::{Event, RoomId, SessionCard, SessionId};
use proptest::prelude::*;

use super::fixtures::{card, ended, facts, granted, live};
use super::{BroadcastWrite, SessionWrite, changes, wanted};
use crate::live_db::{Outcome, SessionRow, Totals};

/// What a store holds, with its constraints as assertions.
#[derive(Debug, Default, PartialEq)]
struct Record {
    sessions: BTreeMap<SessionId, SessionRow>,
    /// Sessions with a broadcast, and whether it is over.
    broadcasts: BTreeMap<SessionId, bool>,
    messages: Vec<String>,
    totals: BTreeMap<RoomId, Totals>,
}

impl Record {
    fn apply(&mut self, events: &[Event]) -> Vec<Outcome> {
        let wanted = wanted(events);
        let is_wanted = |row: &&SessionRow| {
            wanted.sessions.contains(&row.card.session_id)
                || (row.end.is_none() && wanted.rooms.contains(&row.card.room_id))
        };
        let on_record = self.sessions.values().filter(is_wanted).cloned().collect();
        let done = changes(on_record, events);
        for write in &done.updates {
            assert!(self.sessions.contains_key(&write.row.card.session_id), "an update of nothing");
            self.write(write);
        }
        for write in &done.inserts {
            assert!(!self.sessions.contains_key(&write.row.card.session_id), "a session twice");
            self.write(write);
        }
        for out in done.messages {
            assert!(!self.messages.contains(&out.message.event_id), "{} twice", out.message.event_id);
            self.messages.push(out.message.event_id);
        }
        for (room, (_, totals)) in done.totals {
            self.totals.entry(room).or_default().add(&totals);
        }
        assert_eq!(done.outcomes.len(), events.len());
        done.outcomes
    }

    fn write(&mut self, write: &SessionWrite) {
        let SessionRow { card, end, .. } = &write.row;
        self.sessions.insert(card.session_id, write.row.clone());
        let open = self.sessions.values().filter(|row| row.end.is_none() && row.card.room_id == card.room_id);
        assert!(open.count() <= 1, "two open sessions in {}", card.room_id);
        match write.broadcast {
            BroadcastWrite::Nothing => {}
            BroadcastWrite::Insert => {
                let before = self.broadcasts.insert(card.session_id, end.is_some());
                assert_eq!(before, None, "a broadcast twice");
            }
            BroadcastWrite::End => {
                let before = self.broadcasts.insert(card.session_id, true);
                assert_eq!(before, Some(false), "an end without a start, or twice");
            }
        }
    }

    /// What must hold of every record, whatever happened.
    fn check(&self) {
        let mut totals: BTreeMap<RoomId, Totals> = BTreeMap::new();
        let mut expected = BTreeSet::new();
        for (id, row) in &self.sessions {
            let broadcast = row.facts.live_at.map(|_| row.end.is_some());
            assert_eq!(self.broadcasts.get(id).copied(), broadcast);
            let Some(live_at) = row.facts.live_at else { continue };
            expected.insert(format!("{id}/live"));
            let of_room = totals.entry(row.card.room_id.clone()).or_default();
            of_room.broadcasts += 1;
            if let Some(end) = row.end {
                expected.insert(format!("{id}/ended"));
                of_room.live_ms += end.ended_at.since(live_at);
                of_room.bytes_in += row.facts.bytes_in;
                let place = |kind: &str| self.messages.iter().position(|m| *m == format!("{id}/{kind}"));
                assert!(place("live") < place("ended"), "an end was told before its start");
            }
        }
        assert_eq!(self.messages.iter().cloned().collect::<BTreeSet<_>>(), expected);
        assert_eq!(self.totals, totals);
    }
}

/// How a session fared.
#[derive(Clone, Debug)]
struct Life {
    goes_live: bool,
    ends: bool,
    /// Whether its end knows of its start.
    end_knows: bool,
    bytes: u64,
}

fn life() -> impl Strategy<Value = Life> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 0..1_000_u64)
        .prop_map(|(goes_live, ends, end_knows, bytes)| Life { goes_live, ends, end_knows, bytes })
}

impl Life {
    fn events(&self, card: &SessionCard) -> Vec<Event> {
        let began = card.granted_at.0;
        let mut events = vec![granted(card)];
        if self.goes_live {
            events.push(live(card, began + 2));
        }
        if self.ends {
            let live_at = (self.goes_live && self.end_knows).then_some(began + 2);
            events.push(ended(card, began + 8, facts(live_at, live_at.map(|at| at + 5), self.bytes)));
        }
        events
    }
}

/// Cuts `events` into batches at `cuts`, which may fall anywhere.
fn batches<'a>(events: &'a [Event], cuts: &'a [prop::sample::Index]) -> impl Iterator<Item = &'a [Event]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(events.len() + 1)).collect();
    places.extend([0, events.len()]);
    places.sort_unstable();
    let pairs: Vec<(usize, usize)> = places.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.into_iter().map(|(from, to)| &events[from..to])
}

/// `events` in an order given by `keys`, each up to three times.
fn stirred(events: &[Event], keys: &[u32]) -> Vec<Event> {
    let mut keyed: Vec<(u32, &Event)> = Vec::new();
    for (n, event) in events.iter().cycle().take(events.len() * 3).enumerate() {
        let key = keys[n % keys.len()].rotate_left(u32::try_from(n).unwrap());
        // Each comes once for certain, and again two times out of three.
        if n < events.len() || key % 3 != 0 {
            keyed.push((key, event));
        }
    }
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, event)| event.clone()).collect()
}

proptest! {
    #[test]
    fn rooms_with_one_session_end_up_the_same_in_any_order(
        lives in prop::collection::vec(life(), 1..6),
        keys in prop::collection::vec(any::<u32>(), 24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let events: Vec<Event> = lives.iter().enumerate()
            .flat_map(|(n, life)| life.events(&card(&format!("room-{n}"), 100)))
            .collect();
        let mut once = Record::default();
        once.apply(&events);
        once.check();
        let mut stirred_in = Record::default();
        let stirred = stirred(&events, &keys);
        for batch in batches(&stirred, &cuts) {
            stirred_in.apply(batch);
        }
        stirred_in.check();
        prop_assert_eq!(&stirred_in.sessions, &once.sessions);
        prop_assert_eq!(&stirred_in.totals, &once.totals);
    }

    #[test]
    fn a_room_with_many_sessions_stays_true_in_any_order(
        lives in prop::collection::vec(life(), 1..7),
        keys in prop::collection::vec(any::<u32>(), 24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let of = |n: usize| card("room", 100 * (n as u64 + 1));
        let events: Vec<Event> =
            lives.iter().enumerate().flat_map(|(n, life)| life.events(&of(n))).collect();
        let mut record = Record::default();
        let stirred = stirred(&events, &keys);
        for batch in batches(&stirred, &cuts) {
            record.apply(batch);
        }
        record.check();
        for (n, life) in lives.iter().enumerate().filter(|(_, life)| life.ends) {
            let row = &record.sessions[&of(n).session_id];
            prop_assert!(row.end.is_some());
            prop_assert!(life.goes_live || row.facts.live_at.is_none());
        }
    }

    #[test]
    fn what_is_read_again_from_anywhere_changes_nothing(
        lives in prop::collection::vec(life(), 1..7),
        again in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
    ) {
        // In order, as the registry tells them; but a successor begins again at what was not acknowledged.
        let events: Vec<Event> = lives.iter().enumerate()
            .flat_map(|(n, life)| life.events(&card("room", 100 * (n as u64 + 1))))
            .collect();
        let mut once = Record::default();
        once.apply(&events);
        let mut record = Record::default();
        let mut done = 0;
        for (from, to) in &again {
            let to = to.index(events.len() + 1);
            let from = from.index(done.min(to) + 1);
            record.apply(&events[from..to]);
            done = done.max(to);
        }
        record.apply(&events[done..]);
        record.check();
        prop_assert_eq!(record, once);
    }
}
