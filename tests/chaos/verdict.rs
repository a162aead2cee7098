//! What must hold of everything that was seen, and the figures of a run.

use std::collections::BTreeMap;
use std::fmt;

use crate::support::beliefs::{self, Belief};
use crate::support::crowd::{Attempt, Seen};
use crate::support::ledger::{Ledger, SessionRow};

/// All that is known of a run.
pub(crate) struct Evidence {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) ledger: Ledger,
    pub(crate) beliefs: Vec<Belief>,
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
        let sessions = self.ledger.by_attempt();
        let overlaps = beliefs::overlaps(&self.beliefs);
        faults.extend(overlaps.iter().map(|(a, b)| {
            let by = (a.until.min(b.until) - b.from) / 1_000_000;
            format!("two believers in {} for {by} ms: {a:?} and {b:?}", a.room)
        }));
        for attempt in self.attempts.iter().filter(|a| a.started_at.is_some()) {
            faults.extend(self.fault_of(attempt, sessions.get(&attempt.id).map_or(&[], |s| s)));
        }
        faults.extend(self.sessions_that_never_ended());
        faults.extend(self.epochs_that_fell(&sessions));
        faults.extend(self.seen.iter().flat_map(|seen| players_that_went_back(seen, &sessions)));
        Verdict { figures: self.figures(overlaps.len()), faults }
    }

    /// Exactly one `granted`, at most one `live`, exactly one `ended`: one row, and the messages that go with it.
    fn fault_of(&self, attempt: &Attempt, sessions: &[&SessionRow]) -> Option<String> {
        let [session] = sessions else {
            return Some(format!(
                "attempt {} was on air, and has {} sessions: {attempt:?}",
                attempt.id,
                sessions.len()
            ));
        };
        let id = &session.session_id;
        let told =
            |kind| self.ledger.messages.iter().filter(|m| m.event_id == format!("{id}/{kind}")).count();
        let expected = usize::from(session.live_at.is_some());
        if (told("live"), told("ended")) != (expected, expected) {
            return Some(format!(
                "{id}: {} starts and {} ends told, {expected} expected",
                told("live"),
                told("ended")
            ));
        }
        if session.live_at.is_none() && attempt.trouble.is_none() && attempt.pictures >= SURELY_LIVE {
            return Some(format!("{id}: {} pictures, and never live: {attempt:?}", attempt.pictures));
        }
        let times = [Some(session.granted_at), session.live_at, session.ended_at];
        let known: Vec<_> = times.into_iter().flatten().collect();
        (!known.is_sorted()).then(|| format!("{id}: granted, live and ended out of order: {session:?}"))
    }

    fn sessions_that_never_ended(&self) -> impl Iterator<Item = String> {
        self.ledger.sessions.iter().filter(|s| s.ended_at.is_none()).map(|s| format!("never ended: {s:?}"))
    }

    /// Who was let in before another asked has the lower epoch.
    fn epochs_that_fell(&self, sessions: &BTreeMap<u64, Vec<&SessionRow>>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut by_room: BTreeMap<&str, Vec<(&Attempt, i64)>> = BTreeMap::new();
        for attempt in &self.attempts {
            if let Some([session]) = sessions.get(&attempt.id).map(Vec::as_slice) {
                by_room.entry(&attempt.room).or_default().push((attempt, session.epoch));
            }
        }
        for (room, attempts) in by_room {
            for (later, epoch) in &attempts {
                let earlier =
                    attempts.iter().filter(|(a, _)| a.started_at.is_some_and(|at| at < later.asked_at));
                for (other, _) in earlier.filter(|(_, before)| before >= epoch) {
                    faults.push(format!(
                        "{room}: attempt {} has no higher epoch than {} before it",
                        later.id, other.id
                    ));
                }
            }
        }
        faults
    }

    fn figures(&self, overlaps: usize) -> Vec<(&'static str, String)> {
        let started = self.attempts.iter().filter(|a| a.started_at.is_some()).count();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for session in &self.ledger.sessions {
            *reasons.entry(session.end_reason.as_deref().unwrap_or("open")).or_default() += 1;
        }
        let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let live = self.ledger.sessions.iter().filter(|s| s.live_at.is_some()).count();
        let pictures: u64 = self.seen.iter().map(|seen| seen.pictures).sum();
        let switches: usize = self.seen.iter().map(|seen| seen.attempts().len().saturating_sub(1)).sum();
        vec![
            ("attempts", self.attempts.len().to_string()),
            ("let in", started.to_string()),
            ("sessions", format!("{} ({live} live)", self.ledger.sessions.len())),
            ("ended", reasons.join(", ")),
            ("messages", self.ledger.messages.len().to_string()),
            ("beliefs", format!("{}, {overlaps} overlap", self.beliefs.len())),
            ("players saw", format!("{pictures} pictures, {switches} changes of session")),
        ]
    }
}

/// A player of one node sees epochs that only rise: nothing of an older session, and so nothing interleaved.
fn players_that_went_back(seen: &Seen, sessions: &BTreeMap<u64, Vec<&SessionRow>>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut highest = None;
    for attempt in seen.attempts() {
        let Some([session]) = sessions.get(&attempt).map(Vec::as_slice) else {
            faults.push(format!("{}: a player saw attempt {attempt}, of which nothing is known", seen.room));
            continue;
        };
        if highest.is_some_and(|(epoch, _)| session.epoch < epoch) {
            faults.push(format!("{}: a player saw attempt {attempt} after {highest:?}", seen.room));
        }
        highest = highest.max(Some((session.epoch, attempt)));
    }
    faults
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
