//! The report as one HTML page, plots and all, without anything from elsewhere.

use std::fmt::Write as _;

use super::svg::{Line, plot};
use super::{Distribution, Point, Report};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2330;--dim:#6b7385;--line:#d9dde6;--back:#fbfbfd;--a:#2563eb;--b:#d9480f;--c:#2b8a3e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9f0;--dim:#9aa3b5;--line:#343b4a;--back:#14171f;--a:#7aa5ff;--b:#ff9b62;--c:#69db7c}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:1300px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.dim{color:var(--dim)}
.verdict{display:inline-block;padding:.2rem .7rem;border-radius:.4rem;color:#fff;font-weight:600;background:#2b8a3e}
.verdict.v1{background:#c92a2a}.verdict.v3{background:#b7791f}
table{border-collapse:collapse}th,td{padding:.15rem .8rem .15rem 0;text-align:right;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}th{color:var(--dim);font-weight:500}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:1rem}
svg{width:100%;border:1px solid var(--line);border-radius:.4rem}polyline{fill:none;stroke-width:2;stroke-linejoin:round}
polyline.a{stroke:var(--a)}polyline.b{stroke:var(--b)}polyline.c{stroke:var(--c)}text{font-size:12px;fill:var(--dim)}
text.t{fill:var(--ink);font-weight:600}text.a{fill:var(--a)}text.b{fill:var(--b)}text.c{fill:var(--c)}.g{stroke:var(--line)}
.no{color:#c92a2a;font-weight:600}";

pub(super) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>onair-loadtest {0}</title><style>{STYLE}</style>\
         <h1>onair-loadtest {0} <span class=\"verdict v{1}\">{2}</span></h1><p>{3}</p>\
         <p class=\"dim\">{4}; measured for {5:.1} s; seed {6}; ended {7}</p>",
        escape(&report.scenario),
        report.exit_code,
        report.word(),
        escape(&report.about),
        escape(&report.media),
        report.seconds,
        report.seed,
        utc(report.ended_at)
    );
    page += &promises(report);
    page += &figures(report);
    page += &times(report);
    let _fits = write!(page, "<h2>Second by second</h2><div class=\"plots\">{}</div>", plots(report));
    page += &counts(report);
    page + "</html>"
}

fn promises(report: &Report) -> String {
    let mut html = "<h2>Promises</h2><table>".to_owned();
    for promise in &report.verdict.promises {
        let word = if promise.held { "held" } else { "<span class=\"no\">broken</span>" };
        let _fits = write!(
            html,
            "<tr><td>{}</td><td>{word}</td><td class=\"dim\" style=\"text-align:left\">{}</td></tr>",
            escape(&promise.what),
            escape(&promise.detail)
        );
    }
    html += "</table>";
    for reason in &report.verdict.saturated {
        let _fits = write!(
            html,
            "<p class=\"no\">Saturated by the load test, not by the server: {}</p>",
            escape(reason)
        );
    }
    html
}

fn figures(report: &Report) -> String {
    let mut rows = vec![
        ("in, Mb/s", format!("{:.1}", report.sent_mbps)),
        ("out, Mb/s", format!("{:.1}", report.received_mbps)),
        ("publishes accepted a second", format!("{:.1}", report.publishes_per_second)),
    ];
    if let Some(server) = &report.server {
        rows.push(("server, cores", format!("{:.2}", server.cores)));
        let optional = [
            ("server, CPU seconds per gigabit", server.cpu_seconds_per_gbit),
            ("server, CPU ms per publish", server.cpu_ms_per_publish),
            ("server, KiB per connection", server.kib_per_connection),
        ];
        rows.extend(optional.into_iter().filter_map(|(name, value)| Some((name, format!("{:.3}", value?)))));
        rows.push(("server, KiB PSS: before", server.pss_before_kib.to_string()));
        rows.push(("at most", server.pss_most_kib.to_string()));
        rows.push(("in the end", server.pss_kib.to_string()));
    }
    rows.push(("load test, CPU seconds", format!("{:.2}", report.own.cpu_seconds)));
    rows.push(("load test, busiest thread", format!("{:.0} %", report.own.busiest * 100.0)));
    table("Figures", &rows)
}

fn times(report: &Report) -> String {
    let mut html = "<h2>Times in ms</h2><table><tr><th></th><th>count</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>"
        .to_owned();
    for (name, t) in &report.times {
        let Distribution { count, p50, p90, p99, p999, max, .. } = t;
        let _fits = write!(
            html,
            "<tr><td>{name}</td><td>{count}</td><td>{p50:.2}</td><td>{p90:.2}</td><td>{p99:.2}</td><td>{p999:.2}</td><td>{max:.2}</td></tr>"
        );
    }
    html += "</table><div class=\"plots\">";
    for name in ["latency", "publish start", "first picture"] {
        if let Some(times) = report.times.get(name) {
            html += &distribution(name, times);
        }
    }
    html + "</div>"
}

/// Shares are drawn by how many nines they have, so that the tail is seen.
fn distribution(name: &'static str, times: &Distribution) -> String {
    let nines = |share: f64| -(1.0 - share.min(0.99999)).log10();
    let points = times.curve.iter().map(|(share, value)| (nines(*share), *value)).collect();
    let ticks =
        [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999].map(|share| (nines(share), format!("{} %", share * 100.0)));
    plot(&format!("{name}: not above"), "ms", &[Line { name, class: 'a', points }], &ticks)
}

fn plots(report: &Report) -> String {
    let series = &report.series;
    let last = series.last().map_or(1.0, |point| point.at);
    let step = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0]
        .into_iter()
        .find(|step| last / step <= 10.0)
        .unwrap_or(3600.0);
    let ticks: Vec<_> = (0..=60)
        .map(|n| f64::from(n) * step)
        .take_while(|at| *at <= last)
        .map(|at| (at, format!("{at} s")))
        .collect();
    let line = |name: &'static str, class: char, value: &dyn Fn(&Point) -> Option<f64>| Line {
        name,
        class,
        points: series.iter().filter_map(|point| Some((point.at, value(point)?))).collect(),
    };
    let whole = |count: u64| Some(super::as_f64(count));
    let mut svg = plot(
        "Traffic",
        "Mb/s",
        &[line("in", 'a', &|p| Some(p.sent_mbps)), line("out", 'b', &|p| Some(p.received_mbps))],
        &ticks,
    );
    svg += &plot(
        "Connections",
        "accepted",
        &[line("publishers", 'a', &|p| whole(p.publishers)), line("players", 'b', &|p| whole(p.players))],
        &ticks,
    );
    svg += &plot(
        "Latency",
        "ms",
        &[line("p50", 'a', &|p| Some(p.latency_p50)), line("p99", 'b', &|p| Some(p.latency_p99))],
        &ticks,
    );
    svg += &plot(
        "Cores busy",
        "cores",
        &[line("server", 'a', &|p| p.server_cores), line("load test", 'b', &|p| Some(p.own_cores))],
        &ticks,
    );
    svg += &plot("Publishes accepted", "a second", &[line("", 'a', &|p| whole(p.publishes))], &ticks);
    svg += &plot(
        "Times",
        "ms",
        &[
            line("publish start p99", 'a', &|p| Some(p.publish_start_p99)),
            line("own lateness p99", 'b', &|p| Some(p.lateness_p99)),
        ],
        &ticks,
    );
    if report.server.is_some() {
        let mib = |point: &Point| point.server_pss_kib.map(|kib| super::as_f64(kib) / 1024.0);
        svg += &plot("Server's memory", "MiB of PSS", &[line("", 'a', &mib)], &ticks);
    }
    svg + &plot("Pictures lost", "a second", &[line("", 'b', &|p| whole(p.lost))], &ticks)
}

fn counts(report: &Report) -> String {
    let rows: Vec<_> = report.counts.iter().map(|(name, count)| (*name, count.to_string())).collect();
    let mut html = table("Counts", &rows);
    if !report.problems.is_empty() {
        html += "<h2>Problems</h2><table>";
        for (text, count) in &report.problems {
            let _fits = write!(html, "<tr><td>{}</td><td>{count}</td></tr>", escape(text));
        }
        html += "</table>";
    }
    html
}

fn table(title: &str, rows: &[(&str, String)]) -> String {
    let rows: String =
        rows.iter().map(|(name, value)| format!("<tr><td>{name}</td><td>{value}</td></tr>")).collect();
    format!("<h2>{title}</h2><table>{rows}</table>")
}

/// What servers say must not become markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A moment, given in seconds since 1970, as people write it.
fn utc(seconds: u64) -> String {
    let (mut day, mut year) = (seconds / 86_400, 1970);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!(
        "{year}-{month:02}-{:02} {:02}:{:02}:{:02} UTC",
        day + 1,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_795_449_600, "2026-11-23 16:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
