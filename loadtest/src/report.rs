//! Report: what a run came to, for people and, as one line of JSON, for scripts.

use std::fmt;
use std::time::Duration;

use crate::client::ClientError;
use crate::player::Seen;
use crate::publisher::Published;

/// The sums of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Publishers that ran to their end.
    pub published: Vec<Published>,
    /// Players that ran to theirs.
    pub seen: Vec<Seen>,
    /// What went wrong, and how often.
    pub errors: Vec<(String, usize)>,
}

impl Report {
    /// Adds a publisher's outcome.
    pub fn publisher(&mut self, outcome: Result<Published, ClientError>) {
        match outcome {
            Ok(published) => self.published.push(published),
            Err(error) => self.error(format!("publisher: {error}")),
        }
    }

    /// Adds a player's outcome.
    pub fn player(&mut self, outcome: Result<Seen, ClientError>) {
        match outcome {
            Ok(seen) => self.seen.push(seen),
            Err(error) => self.error(format!("player: {error}")),
        }
    }

    fn error(&mut self, text: String) {
        match self.errors.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => self.errors.push((text, 1)),
        }
    }

    /// Pictures that players missed.
    pub fn lost(&self) -> u64 {
        self.seen.iter().map(|seen| seen.lost).sum()
    }

    /// Whether nothing was lost, nobody was refused, and every player saw something.
    pub fn holds(&self) -> bool {
        self.errors.is_empty() && self.lost() == 0 && self.seen.iter().all(|seen| seen.pictures > 0)
    }
}

/// The value below which a share of the values lies; zero when there are none.
pub fn quantile(mut values: Vec<Duration>, share: f64) -> Duration {
    values.sort_unstable();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list that fits in memory, rounded on purpose"
    )]
    let index = (values.len().saturating_sub(1) as f64 * share.clamp(0.0, 1.0)).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starts: Vec<_> = self.published.iter().map(|p| p.started_after).collect();
        let firsts: Vec<_> = self.seen.iter().filter_map(|s| s.first_picture_after).collect();
        let ages: Vec<_> = self.seen.iter().flat_map(|s| s.ages.iter().copied()).collect();
        let pictures: u64 = self.seen.iter().map(|s| s.pictures).sum();
        let line = |name: &str, values: &Vec<Duration>| {
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| ms(quantile(values.clone(), share)));
            format!("{name:<16} p50 {p50:8.2} ms   p99 {p99:8.2} ms   max {max:8.2} ms\n")
        };
        write!(f, "publishers {:>6}   players {:>6}\n\n", self.published.len(), self.seen.len())?;
        f.write_str(&line("publish start", &starts))?;
        f.write_str(&line("first picture", &firsts))?;
        f.write_str(&line("latency", &ages))?;
        write!(f, "\npictures received {pictures}, lost {}", self.lost())?;
        for (error, count) in &self.errors {
            write!(f, "\n{count:>6} × {error}")?;
        }
        Ok(())
    }
}
