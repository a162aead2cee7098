//! The report as a page of text.

use std::fmt;

use super::Report;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.scenario, self.about)?;
        writeln!(f, "media: {}", self.media)?;
        writeln!(f, "measured for {:.1} s (seed {})\n", self.seconds, self.seed)?;
        writeln!(f, "in   {:>10.1} Mb/s from publishers", self.sent_mbps)?;
        writeln!(f, "out  {:>10.1} Mb/s to players", self.received_mbps)?;
        if self.scenario == "storm" {
            writeln!(f, "     {:>10.1} publishes a second", self.publishes_per_second)?;
        }
        self.times(f)?;
        self.costs(f)?;
        writeln!(f)?;
        for (name, count) in self.counts.iter().filter(|(_, count)| **count > 0) {
            writeln!(f, "{count:>12}  {name}")?;
        }
        if !self.problems.is_empty() {
            writeln!(f, "\nproblems:")?;
            for (text, count) in &self.problems {
                writeln!(f, "{count:>12} × {text}")?;
            }
        }
        writeln!(f)?;
        for promise in &self.verdict.promises {
            let word = if promise.held { "  held " } else { "BROKEN " };
            writeln!(f, "{word} {} ({})", promise.what, promise.detail)?;
        }
        for reason in &self.verdict.saturated {
            writeln!(f, "SATURATED by the load test, not by the server: {reason}")?;
        }
        write!(f, "\n{}", self.word())
    }
}

impl Report {
    fn times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<15}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "ms", "count", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for (name, t) in &self.times {
            writeln!(
                f,
                "{name:<15}{:>10}{:>11.2}{:>11.2}{:>11.2}{:>11.2}{:>11.2}",
                t.count, t.p50, t.p90, t.p99, t.p999, t.max
            )?;
        }
        Ok(())
    }

    fn costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            write!(f, "\nserver     {:.2} s of CPU, {:.2} cores", server.cpu_seconds, server.cores)?;
            if let Some(per_gbit) = server.cpu_seconds_per_gbit {
                write!(f, ", {per_gbit:.3} s per gigabit")?;
            }
            if let Some(per_publish) = server.cpu_ms_per_publish {
                write!(f, ", {per_publish:.3} ms per publish")?;
            }
            write!(
                f,
                "\n           {} KiB PSS before, {} at most, {} in the end (RSS {})",
                server.pss_before_kib, server.pss_most_kib, server.pss_kib, server.rss_kib
            )?;
            if let Some(each) = server.kib_per_connection {
                write!(f, ", {each:.1} KiB per connection")?;
            }
        }
        write!(
            f,
            "\nload test  {:.2} s of CPU, busiest thread {:.0} %",
            self.own.cpu_seconds,
            self.own.busiest * 100.0
        )?;
        if let Some(per_gbit) = self.own.cpu_seconds_per_gbit {
            write!(f, ", {per_gbit:.3} s per gigabit")?;
        }
        writeln!(f)
    }
}
