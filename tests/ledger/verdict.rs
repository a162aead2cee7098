//! What must hold of the Live DB, of Kafka and of the event feed when all is quiet again, and the figures of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use onair_cluster::UnixMs;
use onair_testkit::kafka::Record;
use serde_json::Value;

use super::producers::End;
use super::schemas::Schemas;
use crate::support::crowd::{Attempt, attempt_of_agent};
use crate::support::ledger::{Ledger, SessionRow};
use crate::support::sse::Followed;

/// All that is known of a run.
pub(crate) struct Evidence {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) intentions: BTreeMap<u64, End>,
    /// Nodes that were killed: what was on air there ended otherwise than it was meant to.
    pub(crate) killed: BTreeSet<SocketAddr>,
    /// Whether anything else went wrong that may change how a session ends.
    pub(crate) is_calm: bool,
    pub(crate) ledger: Ledger,
    pub(crate) records: Vec<Record>,
    pub(crate) followed: Option<Followed>,
    /// What the fence in the database saw; see `super::fence`.
    pub(crate) trespasses: Vec<String>,
    /// Processes that ended by themselves.
    pub(crate) gone: Vec<String>,
    /// How often shards changed hands.
    pub(crate) owners: String,
}

/// What came of it.
pub(crate) struct Verdict {
    figures: Vec<(&'static str, String)>,
    pub(crate) faults: Vec<String>,
}

/// After so many pictures a session that ended by its own will was seen to be live.
const SURELY_LIVE: u64 = 10;

impl Evidence {
    pub(crate) fn judge(&self) -> Verdict {
        let mut faults = self.ledger.faults_of_messages();
        faults.extend(self.faults_of_numbers());
        faults.extend(self.faults_of_sessions());
        faults.extend(self.faults_of_records());
        faults.extend(self.faults_of_the_feed());
        faults.extend(self.trespasses.iter().cloned());
        faults.extend(self.gone.iter().map(|id| format!("{id} ended by itself")));
        Verdict { figures: self.figures(), faults }
    }

    /// Messages are numbered without gaps in each shard, and all are shipped.
    fn faults_of_numbers(&self) -> Vec<String> {
        let mut last: BTreeMap<i64, i64> = BTreeMap::new();
        let mut faults = Vec::new();
        for message in &self.ledger.messages {
            let before = last.insert(message.shard, message.seq).unwrap_or_default();
            if message.seq != before + 1 {
                faults.push(format!("shard {}: {} follows {before}", message.shard, message.seq));
            }
            if message.shipped_at.is_none() {
                faults.push(format!("never shipped: {message:?}"));
            }
        }
        faults
    }

    /// Each attempt that was let in has one session, which ended once, for the reason that belongs to it.
    fn faults_of_sessions(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let sessions = self.ledger.by_attempt();
        for attempt in self.attempts.iter().filter(|a| a.started_at.is_some()) {
            match sessions.get(&attempt.id).map_or(&[][..], Vec::as_slice) {
                [session] => faults.extend(self.fault_of(attempt, session)),
                more => faults.push(format!("{attempt:?} was on air, and has {} sessions", more.len())),
            }
        }
        let open = self.ledger.sessions.iter().filter(|s| s.ended_at.is_none());
        faults.extend(open.map(|session| format!("never ended: {session:?}")));
        faults
    }

    fn fault_of(&self, attempt: &Attempt, session: &SessionRow) -> Option<String> {
        let times: Vec<_> =
            [Some(session.granted_at), session.live_at, session.ended_at].into_iter().flatten().collect();
        if !times.is_sorted() {
            return Some(format!("granted, live and ended out of order: {session:?}"));
        }
        if session.live_at.is_none() && attempt.trouble.is_none() && attempt.pictures >= SURELY_LIVE {
            return Some(format!("{} pictures, and never live: {session:?}", attempt.pictures));
        }
        let reason = session.end_reason.as_deref()?;
        let meant = self.intentions.get(&attempt.id)?.reason();
        let is_excused = !self.is_calm || self.killed.contains(&attempt.to);
        (reason != meant && !is_excused)
            .then(|| format!("meant to be {meant}, told as {reason}: {session:?}, {attempt:?}"))
    }

    /// A room is in one partition. First occurrences tell started, ended, started, ended with rising epochs, exactly what the
    /// Live DB tells; repeats say the same as the first.
    fn faults_of_records(&self) -> Vec<String> {
        let schemas = Schemas::read();
        let mut faults = Vec::new();
        let mut first: BTreeMap<&str, &Record> = BTreeMap::new();
        let mut rooms: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in &self.records {
            faults.extend(schemas.faults_of(record));
            let room = record.key.as_deref().unwrap_or_default();
            match first.get(record.header("ce_id")) {
                Some(earlier)
                    if (&earlier.value, &earlier.key, &earlier.headers)
                        == (&record.value, &record.key, &record.headers) => {}
                Some(earlier) => faults.push(format!("one id, two messages: {earlier:?} and {record:?}")),
                None => {
                    first.insert(record.header("ce_id"), record);
                    rooms.entry(room).or_default().push(record);
                }
            }
        }
        let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for message in &self.ledger.messages {
            told.entry(&message.room_id).or_default().push(&message.event_id);
        }
        for (room, records) in &rooms {
            if records.iter().any(|record| record.partition != records[0].partition) {
                faults.push(format!("{room} is in more than one partition"));
            }
            faults.extend(faults_of_room(room, records));
        }
        for room in rooms.keys().chain(told.keys()).collect::<BTreeSet<_>>() {
            let shipped: Vec<_> = rooms.get(*room).into_iter().flatten().map(|r| r.header("ce_id")).collect();
            let stored = told.get(*room).map_or(&[][..], Vec::as_slice);
            if shipped != stored {
                faults.push(format!("{room}: Kafka has {shipped:?}, the Live DB {stored:?}"));
            }
        }
        faults.extend(self.faults_of_rows(&first));
        faults
    }

    /// Row by row: what went live has a start and an end in Kafka that tell what the row tells.
    fn faults_of_rows(&self, first: &BTreeMap<&str, &Record>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expected = 0;
        for session in self.ledger.sessions.iter().filter(|s| s.live_at.is_some()) {
            expected += 2;
            for kind in ["live", "ended"] {
                let Some(record) = first.get(format!("{}/{kind}", session.session_id).as_str()) else {
                    faults.push(format!("Kafka lacks {kind} of {session:?}"));
                    continue;
                };
                let told: Value = serde_json::from_str(&record.value).unwrap_or_default();
                let time = |at: Option<i64>| at.map(|at| UnixMs(at.unsigned_abs()).to_rfc3339());
                let mut row = vec![
                    ("session_id", Some(session.session_id.clone())),
                    ("room_id", Some(session.room_id.clone())),
                    ("node_id", Some(session.node_id.clone())),
                    ("started_at", time(session.live_at)),
                ];
                if kind == "ended" {
                    row.push(("ended_at", time(session.ended_at)));
                    row.push(("end_reason", session.end_reason.clone()));
                }
                for (field, value) in row {
                    if told[field].as_str() != value.as_deref() {
                        faults.push(format!(
                            "{kind} says {field} {}, the row {value:?}: {session:?}",
                            told[field]
                        ));
                    }
                }
                if told["epoch"].as_i64() != Some(session.epoch) {
                    faults.push(format!("{kind} says epoch {}: {session:?}", told["epoch"]));
                }
            }
        }
        if first.len() != expected {
            faults.push(format!("Kafka has {} messages, the rows make {expected}", first.len()));
        }
        faults
    }

    /// The feed tells what Kafka tells, in the same order per room, and nothing twice.
    fn faults_of_the_feed(&self) -> Vec<String> {
        let Some(followed) = &self.followed else { return Vec::new() };
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        let mut rooms: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in &followed.events {
            let Some((id, room)) = identity(&event.data) else {
                faults.push(format!("the feed said {event:?}"));
                continue;
            };
            if !seen.insert(id.clone()) {
                faults.push(format!("the feed told {id} twice"));
            }
            rooms.entry(room).or_default().push(id);
        }
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in &self.ledger.messages {
            told.entry(message.room_id.clone()).or_default().push(message.event_id.clone());
        }
        for room in rooms.keys().chain(told.keys()).collect::<BTreeSet<_>>() {
            let (fed, stored) = (rooms.get(room), told.get(room));
            if fed != stored {
                faults.push(format!("{room}: the feed has {fed:?}, the Live DB {stored:?}"));
            }
        }
        faults
    }

    fn figures(&self) -> Vec<(&'static str, String)> {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for session in &self.ledger.sessions {
            *reasons.entry(session.end_reason.as_deref().unwrap_or("open")).or_default() += 1;
        }
        let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let live = self.ledger.sessions.iter().filter(|s| s.live_at.is_some()).count();
        let ids: BTreeSet<_> = self.records.iter().map(|record| record.header("ce_id")).collect();
        let ours = self.ledger.sessions.iter().filter(|s| attempt_of_agent(&s.client_agent).is_some());
        let feed = self.followed.as_ref().map_or_else(
            || "not followed".to_owned(),
            |followed| format!("{} events over {} connections", followed.events.len(), followed.connections),
        );
        vec![
            ("attempts", self.attempts.len().to_string()),
            ("sessions", format!("{} ({live} live, {} ours)", self.ledger.sessions.len(), ours.count())),
            ("ended", reasons.join(", ")),
            ("outbox", format!("{} messages", self.ledger.messages.len())),
            ("Kafka", format!("{} records, {} repeats", self.records.len(), self.records.len() - ids.len())),
            ("feed", feed),
            ("owners", self.owners.clone()),
        ]
    }
}

fn faults_of_room(room: &str, records: &[&Record]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut open: Option<&str> = None;
    let mut epoch = 0;
    for record in records {
        let told: Value = serde_json::from_str(&record.value).unwrap_or_default();
        let session = record.header("ce_id").split('/').next().unwrap_or_default();
        let now = told["epoch"].as_u64().unwrap_or_default();
        let is_right = match record.header("ce_type") {
            "onair.broadcast.started.v1" => open.replace(session).is_none() && now > epoch,
            "onair.broadcast.ended.v1" => open.take() == Some(session) && now == epoch,
            _ => false,
        };
        if !is_right {
            faults.push(format!("{room}: out of order after epoch {epoch}: {record:?}"));
        }
        epoch = now;
    }
    faults.extend(open.map(|session| format!("{room}: Kafka does not know the end of {session}")));
    faults
}

/// The event's id and its room, as the feed tells them.
pub(crate) fn identity(data: &str) -> Option<(String, String)> {
    let event: Value = serde_json::from_str(data).ok()?;
    Some((event["id"].as_str()?.to_owned(), event["subject"].as_str()?.to_owned()))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.figures {
            writeln!(f, "{name:>12}  {value}")?;
        }
        writeln!(f, "{:>12}  {}", "faults", self.faults.len())?;
        self.faults.iter().take(20).try_for_each(|fault| writeln!(f, "              {fault}"))
    }
}
