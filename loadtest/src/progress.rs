//! Progress: one line on the terminal that says how it goes, rewritten each second.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use crate::engine::Second;

/// The line; silent when nobody looks.
#[derive(Debug)]
pub struct Progress {
    is_seen: bool,
    until: Duration,
}

impl Progress {
    /// Of a run that takes so long.
    pub fn new(until: Duration) -> Self {
        Self { is_seen: stderr().is_terminal(), until }
    }

    /// Shows a second.
    pub fn show(&self, second: &Second) {
        if self.is_seen {
            // A terminal that is gone is no reason to stop.
            let _gone = write!(stderr(), "\r\x1b[K{}", line(second, self.until));
        }
    }

    /// Clears the line.
    pub fn clear(&self) {
        if self.is_seen {
            let _gone = write!(stderr(), "\r\x1b[K");
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn line(second: &Second, until: Duration) -> String {
    let seconds = second.length.as_secs_f64().max(1e-9);
    let mbps = |bytes: u64| bytes as f64 * 8.0 / 1e6 / seconds;
    let gauges = &second.gauges;
    let counts = &second.tally.counts;
    let mut line = format!(
        "{:>4.0}/{:.0} s {} | {} publishing, {} playing, {} pending | in {:.1}, out {:.1} Mb/s | {} starts | latency p99 {:.1} ms",
        second.at.as_secs_f64(),
        until.as_secs_f64(),
        if second.is_measured { "measuring" } else { "ramp" },
        gauges.publishers,
        gauges.players,
        gauges.pending,
        mbps(second.sent_bytes),
        mbps(second.received_bytes),
        counts.publishes,
        second.tally.latency.quantile(0.99).as_secs_f64() * 1e3,
    );
    if let Some(server) = &second.server {
        line += &format!(" | server {:.0} %", server.cpu_seconds / seconds * 100.0);
    }
    line += &format!(" | own {:.0} %", gauges.cpu * 100.0);
    let bad = counts.lost + counts.refused + counts.dropped + counts.two_publishers + counts.mixed_up;
    if bad > 0 {
        line += &format!(" | {} lost, {} refused, {} dropped", counts.lost, counts.refused, counts.dropped);
    }
    line
}
