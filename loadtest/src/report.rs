//! Report: what a run came to, in figures, for people and for scripts. Text, JSON and HTML say the same.

mod html;
mod svg;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::engine::{Outcome, Second};
use crate::measure::Times;
use crate::plan::Job;
use crate::verdict::Verdict;

/// All that is told. Times are in milliseconds, unless they say otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// What it did.
    pub about: String,
    /// What was published.
    pub media: String,
    /// When it ended, in seconds since 1970.
    pub ended_at: u64,
    /// Seconds measured.
    pub seconds: f64,
    /// Seed of all chance.
    pub seed: u64,
    /// The exit code.
    pub exit_code: u8,
    /// Whether promises held, and whether to believe it.
    pub verdict: Verdict,
    /// Megabits per second written by publishers during the measurement.
    pub sent_mbps: f64,
    /// Megabits per second read by players during the measurement.
    pub received_mbps: f64,
    /// Publishes accepted per second during the measurement.
    pub publishes_per_second: f64,
    /// Distributions of times. What begins is told of the whole run, what flows of the measurement.
    pub times: BTreeMap<&'static str, Distribution>,
    /// Counts of the whole run.
    pub counts: BTreeMap<&'static str, u64>,
    /// What the server used, if its process is known.
    pub server: Option<Server>,
    /// What the load test itself used.
    pub own: Own,
    /// What went wrong, and how often.
    pub problems: BTreeMap<String, u64>,
    /// Second by second.
    pub series: Vec<Point>,
}

/// A distribution in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Distribution {
    /// How many values.
    pub count: u64,
    /// Half were not above.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// 99 in a hundred.
    pub p99: f64,
    /// 999 in a thousand.
    pub p999: f64,
    /// None.
    pub max: f64,
    /// Shares and values, for a plot.
    pub curve: Vec<(f64, f64)>,
}

/// What the server used during the measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// Seconds of CPU.
    pub cpu_seconds: f64,
    /// Cores busy on average.
    pub cores: f64,
    /// Seconds of CPU per gigabit that publishers wrote and players read.
    pub cpu_seconds_per_gbit: Option<f64>,
    /// Milliseconds of CPU per accepted publish.
    pub cpu_ms_per_publish: Option<f64>,
    /// Memory before the run, KiB of PSS.
    pub pss_before_kib: u64,
    /// The most seen.
    pub pss_most_kib: u64,
    /// At the end of the measurement.
    pub pss_kib: u64,
    /// Resident at the end of the measurement.
    pub rss_kib: u64,
    /// KiB that each connection added, from before the run to the end of the measurement.
    pub kib_per_connection: Option<f64>,
}

/// What the load test used.
#[derive(Clone, Debug, Serialize)]
pub struct Own {
    /// Seconds of CPU during the measurement.
    pub cpu_seconds: f64,
    /// The busiest thread's share of a core.
    pub busiest: f64,
    /// Seconds of CPU per gigabit moved.
    pub cpu_seconds_per_gbit: Option<f64>,
}

/// One second.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Seconds since the beginning.
    pub at: f64,
    /// Whether it belongs to the measurement.
    pub measured: bool,
    /// Accepted and there.
    pub publishers: u64,
    /// Accepted and there.
    pub players: u64,
    /// Megabits per second.
    pub sent_mbps: f64,
    /// Megabits per second.
    pub received_mbps: f64,
    /// Publishes accepted in it.
    pub publishes: u64,
    /// Pictures that players missed.
    pub lost: u64,
    /// Latency, half.
    pub latency_p50: f64,
    /// Latency, 99 in a hundred.
    pub latency_p99: f64,
    /// `Publish.Start`, 99 in a hundred.
    pub publish_start_p99: f64,
    /// Our own lateness, 99 in a hundred.
    pub lateness_p99: f64,
    /// Cores that the server used.
    pub server_cores: Option<f64>,
    /// Its memory, KiB of PSS.
    pub server_pss_kib: Option<u64>,
    /// Cores that the load test used.
    pub own_cores: f64,
}

impl Report {
    /// Works out the figures.
    pub fn of(job: &Job, media: &str, outcome: &Outcome, verdict: Verdict) -> Self {
        let (whole, measured) = (&outcome.whole, &outcome.measured);
        let seconds = outcome.length.as_secs_f64();
        let moved = outcome.sent_bytes + outcome.received_bytes;
        let gbit = as_f64(moved) * 8.0 / 1e9;
        let publishes = measured.counts.publishes;
        let is_storm = job.scenario == "storm";
        let server = outcome.server.zip(outcome.server_memory).map(|(usage, (before, most))| {
            let last = outcome.seconds.last().map_or(0, |s| s.gauges.publishers + s.gauges.players);
            Server {
                cpu_seconds: usage.cpu_seconds,
                cores: usage.cpu_seconds / seconds.max(1e-9),
                cpu_seconds_per_gbit: (!is_storm && gbit > 0.01).then(|| usage.cpu_seconds / gbit),
                cpu_ms_per_publish: (is_storm && publishes > 0)
                    .then(|| usage.cpu_seconds * 1e3 / as_f64(publishes)),
                pss_before_kib: before,
                pss_most_kib: most,
                pss_kib: usage.pss_kib,
                rss_kib: usage.rss_kib,
                kib_per_connection: (!is_storm && last > 0)
                    .then(|| (as_f64(usage.pss_kib) - as_f64(before)) / as_f64(last)),
            }
        });
        // A storm has no beginning: what begins is all there is.
        let begins = if is_storm { measured } else { whole };
        let times = [
            ("connect", &begins.connect),
            ("publish start", &begins.publish_start),
            ("play start", &begins.play_start),
            ("first picture", &whole.first_picture),
            ("latency", &measured.latency),
            ("reconnect", &whole.reconnect),
            ("takeover", &whole.takeover),
            ("own lateness", &measured.lateness),
            ("own turn", &measured.turn),
        ];
        let counts = &whole.counts;
        Self {
            scenario: job.scenario.clone(),
            about: job.about.clone(),
            media: media.to_owned(),
            ended_at: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            seconds,
            seed: job.seed,
            exit_code: verdict.exit_code(),
            verdict,
            sent_mbps: mbps(outcome.sent_bytes, seconds),
            received_mbps: mbps(outcome.received_bytes, seconds),
            publishes_per_second: as_f64(publishes) / seconds.max(1e-9),
            times: times
                .into_iter()
                .filter(|(_, t)| t.count() > 0)
                .map(|(name, t)| (name, distribution(t)))
                .collect(),
            counts: [
                ("connections", counts.attempts),
                ("publishes", counts.publishes),
                ("plays", counts.plays),
                ("pictures sent", counts.sent_pictures),
                ("pictures received", counts.pictures),
                ("pictures lost", counts.lost),
                ("pictures repeated", counts.repeated),
                ("pictures mixed up", counts.mixed_up),
                ("pictures of nobody", counts.strange_pictures),
                ("two publishers", counts.two_publishers),
                ("rivals refused", counts.rivals_refused),
                ("rivals let in", counts.rivals_accepted),
                ("gave way", counts.taken_over),
                ("refused", counts.refused),
                ("refused, room taken", counts.busy),
                ("dropped", counts.dropped),
            ]
            .into_iter()
            .collect(),
            server,
            own: Own {
                cpu_seconds: outcome.own_cpu,
                busiest: outcome.busiest,
                cpu_seconds_per_gbit: (!is_storm && gbit > 0.01).then(|| outcome.own_cpu / gbit),
            },
            problems: whole.problems.clone(),
            series: outcome.seconds.iter().map(point).collect(),
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// None that can happen: all of it can be said in JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// As a page that needs nothing else.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// What to make of it, in one word or a few.
    fn word(&self) -> &'static str {
        match (self.exit_code, self.verdict.unreachable) {
            (0, _) => "promises held",
            (3, true) => "nobody got in",
            (3, false) => "saturated by the load test",
            _ => "a promise was broken",
        }
    }
}

fn point(second: &Second) -> Point {
    let length = second.length.as_secs_f64().max(1e-9);
    let tally = &second.tally;
    Point {
        at: second.at.as_secs_f64(),
        measured: second.is_measured,
        publishers: second.gauges.publishers,
        players: second.gauges.players,
        sent_mbps: mbps(second.sent_bytes, length),
        received_mbps: mbps(second.received_bytes, length),
        publishes: tally.counts.publishes,
        lost: tally.counts.lost,
        latency_p50: ms(tally.latency.quantile(0.5)),
        latency_p99: ms(tally.latency.quantile(0.99)),
        publish_start_p99: ms(tally.publish_start.quantile(0.99)),
        lateness_p99: ms(tally.lateness.quantile(0.99)),
        server_cores: second.server.map(|usage| usage.cpu_seconds / length),
        server_pss_kib: second.server.map(|usage| usage.pss_kib),
        own_cores: second.gauges.cpu,
    }
}

fn distribution(times: &Times) -> Distribution {
    let at = |share| ms(times.quantile(share));
    Distribution {
        count: times.count(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
        curve: times.curve().into_iter().map(|(share, time)| (share, ms(time))).collect(),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mbps(bytes: u64, seconds: f64) -> f64 {
    as_f64(bytes) * 8.0 / 1e6 / seconds.max(1e-9)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Want;
    use crate::measure::{Gauges, Tally};
    use crate::plan::{Acks, Plan};
    use crate::server::Usage;

    /// The report of a made-up run: ten seconds, 100 Mb/s in, half a core.
    fn report() -> Report {
        let job = Job {
            scenario: "publish".to_owned(),
            about: "made <up>".to_owned(),
            targets: Vec::new(),
            plans: vec![Plan::steady(0, Want::Publish, Duration::ZERO, None)],
            threads: 1,
            from: Vec::new(),
            acks: Acks::Kernel,
            warm_up: Duration::ZERO,
            measure: Duration::from_secs(10),
            patience: Duration::from_secs(1),
            seed: 1,
            expects_drops: false,
        };
        let mut tally = Tally::default();
        (1..=1000).for_each(|n| tally.latency.note(n * 10));
        tally.counts.publishes = 1;
        let second = |at: u64| Second {
            at: Duration::from_secs(at),
            is_measured: true,
            gauges: Gauges { publishers: 10, players: 0, pending: 0, cpu: 0.2 },
            tally: tally.clone(),
            length: Duration::from_secs(1),
            sent_bytes: 12_500_000,
            received_bytes: 0,
            server: Some(Usage { cpu_seconds: 0.5, pss_kib: 2000, rss_kib: 3000, processes: 1 }),
        };
        let outcome = Outcome {
            seconds: (1..=10).map(second).collect(),
            whole: tally.clone(),
            measured: tally.clone(),
            length: Duration::from_secs(10),
            sent_bytes: 125_000_000,
            server: Some(Usage { cpu_seconds: 5.0, pss_kib: 2000, rss_kib: 3000, processes: 1 }),
            server_memory: Some((1000, 2500)),
            own_cpu: 2.0,
            busiest: 0.2,
            ..Outcome::default()
        };
        let verdict = Verdict::of(&job, &outcome, Vec::new());
        Report::of(&job, "none", &outcome, verdict)
    }

    #[test]
    fn figures_are_worked_out_from_what_was_counted() {
        let report = report();
        assert_eq!(report.exit_code, 0);
        assert!((report.sent_mbps - 100.0).abs() < 1e-6);
        let server = report.server.as_ref().unwrap();
        assert!((server.cpu_seconds_per_gbit.unwrap() - 5.0).abs() < 1e-6);
        assert!((server.kib_per_connection.unwrap() - 100.0).abs() < 1e-6);
        assert!((report.times["latency"].p50 - 5.0).abs() < 0.01);
    }

    #[test]
    fn every_form_says_the_same_and_the_page_needs_nothing_else() {
        let report = report();
        let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!(json["series"].as_array().map(Vec::len), Some(10));
        let text = report.to_string();
        assert!(text.contains("promises held") && text.contains("latency"), "{text}");
        let page = report.to_html();
        assert!(page.contains("made &lt;up&gt;") && page.contains("<svg") && page.contains("promises held"));
        for outside in ["src=", "href=", "url(", "@import", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
