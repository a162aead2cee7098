//! Measure: what a worker counts, second by second; sums of it are what a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Problems of different texts that are told apart.
const PROBLEMS_MAX: usize = 200;

/// A distribution of times in microseconds, three digits exact, whatever their range.
#[derive(Clone, Debug)]
pub struct Times(Option<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        // Three digits are always accepted.
        Self(Histogram::new(3).ok())
    }
}

impl Times {
    /// Adds one.
    pub(crate) fn note(&mut self, micros: u64) {
        if let Some(times) = &mut self.0 {
            // It grows by itself.
            let _fits = times.record(micros);
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The time that this share of them did not exceed; zero when there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let micros = self.0.as_ref().filter(|t| !t.is_empty()).map_or(0, |t| t.value_at_quantile(share));
        Duration::from_micros(micros)
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.quantile(1.0)
    }

    /// For a plot: shares that close in on 1, each with its time.
    pub fn curve(&self) -> Vec<(f64, Duration)> {
        let shares = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];
        shares.map(|share| (share, self.quantile(share))).to_vec()
    }

    fn add(&mut self, other: &Self) {
        if let (Some(mine), Some(more)) = (&mut self.0, &other.0)
            && !more.is_empty()
        {
            let _fits = mine.add(more);
        }
    }
}

/// What happened, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// TCP connections begun.
    pub attempts: u64,
    /// Publishes that the server accepted.
    pub publishes: u64,
    /// Plays that it accepted.
    pub plays: u64,
    /// Bytes written by publishers.
    pub sent_bytes: u64,
    /// Bytes read by players.
    pub received_bytes: u64,
    /// Pictures sent.
    pub sent_pictures: u64,
    /// Pictures received with a stamp.
    pub pictures: u64,
    /// Pictures received without one: somebody else's broadcast.
    pub strange_pictures: u64,
    /// Players that got a first picture.
    pub watched: u64,
    /// Pictures that never came, between two of one publish that did.
    pub lost: u64,
    /// Holes that they make.
    pub gaps: u64,
    /// Pictures that came again, or late.
    pub repeated: u64,
    /// Pictures of another room.
    pub mixed_up: u64,
    /// Times that two publishers of one address were accepted at once.
    pub two_publishers: u64,
    /// Publishers that asked for an address in use, and were refused.
    pub rivals_refused: u64,
    /// Those that were let in.
    pub rivals_accepted: u64,
    /// Requests that the server refused.
    pub refused: u64,
    /// Requests refused while another client of ours held the room, or the server could still believe so: as it should be.
    pub busy: u64,
    /// Connections that failed, or that the server ended.
    pub dropped: u64,
    /// Publishers that gave way to another of the same address.
    pub taken_over: u64,
}

impl Counts {
    fn add(&mut self, more: &Self) {
        macro_rules! sum {
            ($($field:ident),*) => { $(self.$field += more.$field;)* };
        }
        sum!(
            attempts,
            publishes,
            plays,
            sent_bytes,
            received_bytes,
            sent_pictures,
            pictures,
            strange_pictures,
            watched,
            lost,
            gaps,
            repeated,
            mixed_up,
            two_publishers,
            rivals_refused,
            rivals_accepted,
            refused,
            busy,
            dropped,
            taken_over
        );
    }
}

/// Counts and distributions.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// What happened.
    pub counts: Counts,
    /// From the first packet to the server's answer to `connect`.
    pub connect: Times,
    /// From the first packet to `NetStream.Publish.Start`.
    pub publish_start: Times,
    /// From the first packet to `NetStream.Play.Start`, or to media where the server says none.
    pub play_start: Times,
    /// From the request to play to the first picture.
    pub first_picture: Times,
    /// From the publisher's write to the player's read, of pictures sent while the player was there.
    pub latency: Times,
    /// From a drop to the next accepted publish of the same encoder, its pauses included.
    pub reconnect: Times,
    /// From the first attempt to the accepted publish, while the server still held the frozen connection before it.
    pub takeover: Times,
    /// How late messages were written, by our own clock. Our fault, never the server's.
    pub lateness: Times,
    /// How long one turn of a worker took: what a byte may have waited before it was noticed.
    pub turn: Times,
    /// What went wrong, and how often.
    pub problems: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds what another one counted.
    pub fn add(&mut self, more: &Self) {
        self.counts.add(&more.counts);
        let pairs = [
            (&mut self.connect, &more.connect),
            (&mut self.publish_start, &more.publish_start),
            (&mut self.play_start, &more.play_start),
            (&mut self.first_picture, &more.first_picture),
            (&mut self.latency, &more.latency),
            (&mut self.reconnect, &more.reconnect),
            (&mut self.takeover, &more.takeover),
            (&mut self.lateness, &more.lateness),
            (&mut self.turn, &more.turn),
        ];
        for (mine, more) in pairs {
            mine.add(more);
        }
        for (text, count) in &more.problems {
            self.problem_times(text, *count);
        }
    }

    /// Notes something that went wrong.
    pub(crate) fn problem(&mut self, text: &str) {
        self.problem_times(text, 1);
    }

    fn problem_times(&mut self, text: &str, count: u64) {
        let is_known = self.problems.contains_key(text);
        let text = if is_known || self.problems.len() < PROBLEMS_MAX { text } else { "others" };
        *self.problems.entry(text.to_owned()).or_default() += count;
    }
}

/// What a worker was doing at the end of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Publishers accepted and there.
    pub publishers: u64,
    /// Players accepted and there.
    pub players: u64,
    /// Connections on their way.
    pub pending: u64,
    /// Share of a core that the worker's thread used.
    pub cpu: f64,
}

/// One second of one worker.
#[derive(Debug)]
pub(crate) struct Interval {
    pub(crate) worker: usize,
    pub(crate) gauges: Gauges,
    pub(crate) tally: Tally,
    /// The last one of this worker, with how often each target was published to.
    pub(crate) ended: Option<Vec<Published>>,
}

/// What became of the publishes of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Which target.
    pub target: usize,
    /// Publishes that were accepted.
    pub accepted: u64,
    /// Those that sent a picture and then stayed for a second, or said goodbye: the server must know of them.
    pub certain: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_seconds_are_what_was_noted() {
        let mut whole = Tally::default();
        for second in 0..3_u64 {
            let mut tally = Tally::default();
            tally.counts.lost = second;
            for n in 0..100 {
                tally.latency.note(second * 100 + n);
            }
            tally.problem("closed");
            whole.add(&tally);
        }
        assert_eq!((whole.counts.lost, whole.latency.count(), whole.problems["closed"]), (3, 300, 3));
        assert_eq!(whole.latency.quantile(0.5), Duration::from_micros(149));
        assert_eq!(whole.latency.longest(), Duration::from_micros(299));
        assert_eq!(Times::default().quantile(0.99), Duration::ZERO);
    }

    #[test]
    fn endless_kinds_of_problems_are_not_kept_apart() {
        let mut tally = Tally::default();
        (0..1000).for_each(|n| tally.problem(&n.to_string()));
        assert!(tally.problems.len() <= PROBLEMS_MAX + 1);
        assert_eq!(tally.problems.values().sum::<u64>(), 1000);
    }
}
