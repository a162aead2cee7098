//! Verdict: which promises a run was about, which of them held, and whether the run can be trusted to say so.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::Want;
use crate::engine::Outcome;
use crate::onair::{Onair, Recorded};
use crate::plan::{Again, Job};

/// A worker busier than this share of a core is the bottleneck.
const BUSY_MAX: f64 = 0.9;
/// A picture written later than this, one time in a hundred, was late because of us: a third of what lies between two.
const LATE_MAX: Duration = Duration::from_millis(10);
/// How long the record may take to catch up with the end of the run: what fell silent must first be missed.
const RECORD_MAX: Duration = Duration::from_secs(40);

/// Something that a server promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// What.
    pub what: String,
    /// Whether it held.
    pub held: bool,
    /// In figures.
    pub detail: String,
    /// It cannot be our slowness that broke it.
    pub is_certain: bool,
}

/// What to make of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What was promised.
    pub promises: Vec<Promise>,
    /// Why the run says nothing of the server, if so.
    pub saturated: Vec<String>,
    /// Nobody got in.
    pub unreachable: bool,
}

impl Verdict {
    /// Judges `outcome`; what the API told is judged already.
    pub fn of(job: &Job, outcome: &Outcome, record: Vec<Promise>) -> Self {
        let mut promises = media_promises(job, outcome);
        promises.extend(record);
        let whole = &outcome.whole.counts;
        Self { promises, saturated: saturation(outcome), unreachable: whole.publishes + whole.plays == 0 }
    }

    /// Whether all promises held.
    pub fn holds(&self) -> bool {
        self.promises.iter().all(|promise| promise.held)
    }

    /// The exit code: 0 held, 1 broken, 3 the run says nothing.
    pub fn exit_code(&self) -> u8 {
        let is_broken_for_sure = self.promises.iter().any(|promise| !promise.held && promise.is_certain);
        match () {
            () if is_broken_for_sure => 1,
            () if self.unreachable || !self.saturated.is_empty() => 3,
            () if !self.holds() => 1,
            () => 0,
        }
    }
}

fn saturation(outcome: &Outcome) -> Vec<String> {
    let mut reasons = Vec::new();
    if outcome.busiest > BUSY_MAX {
        reasons.push(format!(
            "a thread of the load test was busy for {:.0} % of the time",
            outcome.busiest * 100.0
        ));
    }
    let late = outcome.measured.lateness.quantile(0.99);
    if late > LATE_MAX {
        reasons.push(format!(
            "its own pacing was late: 1 % of writes by more than {:.1} ms",
            late.as_secs_f64() * 1e3
        ));
    }
    reasons.extend(outcome.failure.clone());
    reasons
}

fn media_promises(job: &Job, outcome: &Outcome) -> Vec<Promise> {
    let counts = &outcome.whole.counts;
    let mut promises = Vec::new();
    let mut promise = |what: &str, held: bool, is_certain: bool, detail: String| {
        promises.push(Promise { what: what.to_owned(), held, detail, is_certain });
    };
    let tolerant = job.expects_drops;
    let has = |want| job.plans.iter().any(|plan| plan.want == want);
    promise(
        "everybody who may come in comes in and stays",
        tolerant || counts.refused + counts.dropped == 0,
        false,
        format!("{} refused, {} dropped, of {} connections", counts.refused, counts.dropped, counts.attempts),
    );
    if has(Want::Play) {
        promise(
            "a player who keeps up misses nothing",
            tolerant || counts.lost == 0,
            false,
            format!("{} pictures received, {} missing in {} gaps", counts.pictures, counts.lost, counts.gaps),
        );
        promise(
            "nothing comes twice or out of order",
            counts.repeated == 0,
            true,
            format!("{} pictures came again", counts.repeated),
        );
        promise(
            "a player sees the room that it asked for, and none else",
            counts.mixed_up + counts.strange_pictures == 0,
            true,
            format!("{} pictures of other rooms, {} of nobody", counts.mixed_up, counts.strange_pictures),
        );
        let steady =
            job.plans.iter().filter(|plan| plan.want == Want::Play && plan.again == Again::Never).count();
        if steady > 0 {
            promise(
                "every player sees a picture",
                tolerant || counts.watched >= steady as u64,
                false,
                format!("{} of {steady}", counts.watched),
            );
        }
    }
    if has(Want::Publish) {
        promise(
            "a room never has two publishers",
            counts.two_publishers == 0,
            true,
            format!(
                "{} times; {} rivals refused, {} let in, {} publishers gave way",
                counts.two_publishers, counts.rivals_refused, counts.rivals_accepted, counts.taken_over
            ),
        );
    }
    promises
}

/// What the API had on record of the rooms before a run.
#[derive(Debug)]
pub struct Record {
    onair: Onair,
    rooms: Vec<String>,
    before: Vec<usize>,
}

impl Record {
    /// Remembers what was there.
    ///
    /// # Errors
    /// When the API does not tell.
    pub fn before(onair: Onair, rooms: Vec<String>) -> anyhow::Result<Self> {
        let before = onair.records(&rooms)?.iter().map(Vec::len).collect();
        Ok(Self { onair, rooms, before })
    }

    /// Holds what is on record now against what the clients saw: each accepted publish that showed a picture has one start and one
    /// end, and no two of a room overlap. Waits until the record is complete, for a while.
    pub fn judge(&self, outcome: &Outcome) -> Vec<Promise> {
        let began = Instant::now();
        loop {
            let promises = self.look(outcome);
            if promises.iter().all(|promise| promise.held) || began.elapsed() > RECORD_MAX {
                return promises;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn look(&self, outcome: &Outcome) -> Vec<Promise> {
        let promise =
            |what: &str, held, detail| Promise { what: what.to_owned(), held, detail, is_certain: true };
        let (records, held) = match (self.onair.records(&self.rooms), self.onair.held(&self.rooms)) {
            (Ok(records), Ok(held)) => (records, held),
            (Err(e), _) | (_, Err(e)) => return vec![promise("the API answers", false, format!("{e:#}"))],
        };
        let mut sums = Sums::default();
        for (target, records) in records.iter().enumerate() {
            let published = outcome.published.iter().find(|one| one.target == target);
            let (certain, accepted) = published.map_or((0, 0), |one| (one.certain, one.accepted));
            sums.room(records, self.before[target], certain, accepted);
        }
        vec![
            promise(
                "every accepted publish that showed a picture has one start on record",
                sums.wrong == 0,
                format!(
                    "{} on record, {} to {} expected; {} rooms differ",
                    sums.starts, sums.certain, sums.accepted, sums.wrong
                ),
            ),
            promise("and one end", sums.starts == sums.ends, format!("{} ends", sums.ends)),
            promise(
                "by the record, no two broadcasts of a room overlap",
                sums.overlaps == 0,
                format!("{} do", sums.overlaps),
            ),
            promise("when all have left, no room is held", held == 0, format!("{held} are")),
        ]
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    starts: u64,
    ends: u64,
    certain: u64,
    accepted: u64,
    wrong: u64,
    overlaps: u64,
}

impl Sums {
    /// Adds a room, of which `before` broadcasts are older than the run.
    fn room(&mut self, records: &[Recorded], before: usize, certain: u64, accepted: u64) {
        let mut records: Vec<_> = records.iter().collect();
        records.sort_by_key(|record| record.epoch);
        let new = &records[before.min(records.len())..];
        let mut sessions: Vec<_> = new.iter().map(|record| &record.session).collect();
        sessions.sort_unstable();
        sessions.dedup();
        let starts = new.len() as u64;
        self.starts += starts;
        self.ends += new.iter().filter(|record| record.ended_at.is_some()).count() as u64;
        self.certain += certain;
        self.accepted += accepted;
        self.wrong += u64::from(starts < certain || starts > accepted || sessions.len() != new.len());
        let pairs = new.windows(2);
        self.overlaps += pairs
            .filter(|pair| pair[0].ended_at.as_ref().is_none_or(|end| *end > pair[1].started_at))
            .count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(epoch: u64, from: &str, to: Option<&str>) -> Recorded {
        let at = |second: &str| format!("2026-01-01T00:00:{second}.000Z");
        Recorded { session: format!("s{epoch}"), epoch, started_at: at(from), ended_at: to.map(at) }
    }

    #[test]
    fn a_record_without_fault_is_found_to_have_none() {
        let mut sums = Sums::default();
        let old = recorded(1, "00", Some("01"));
        sums.room(&[recorded(3, "05", Some("09")), old, recorded(2, "02", Some("05"))], 1, 1, 3);
        assert_eq!(sums, Sums { starts: 2, ends: 2, certain: 1, accepted: 3, wrong: 0, overlaps: 0 });
    }

    #[test]
    fn missing_starts_missing_ends_and_overlaps_are_found() {
        let mut sums = Sums::default();
        sums.room(&[recorded(2, "02", Some("06")), recorded(3, "05", None)], 0, 3, 3);
        assert_eq!((sums.wrong, sums.starts - sums.ends, sums.overlaps), (1, 1, 1));
        let mut twice = Sums::default();
        twice.room(&[recorded(2, "02", Some("03")), recorded(2, "05", Some("06"))], 0, 1, 2);
        assert_eq!(twice.wrong, 1, "one session with two starts");
    }

    #[test]
    fn a_saturated_run_breaks_only_what_slowness_cannot_break() {
        let promise =
            |held, is_certain| Promise { what: String::new(), held, detail: String::new(), is_certain };
        let verdict = |promises, saturated: bool| Verdict {
            promises,
            saturated: if saturated { vec!["late".to_owned()] } else { Vec::new() },
            unreachable: false,
        };
        assert_eq!(verdict(vec![promise(true, false)], false).exit_code(), 0);
        assert_eq!(verdict(vec![promise(false, false)], false).exit_code(), 1);
        assert_eq!(verdict(vec![promise(false, false)], true).exit_code(), 3);
        assert_eq!(verdict(vec![promise(false, true)], true).exit_code(), 1);
        assert_eq!(Verdict { unreachable: true, ..verdict(vec![], false) }.exit_code(), 3);
    }
}
