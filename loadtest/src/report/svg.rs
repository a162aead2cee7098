//! Plots as inline SVG: lines over time, or over the shares of a distribution.

use std::fmt::Write as _;

/// Width and height of a plot, and its margins: left, right, top, bottom.
const SIZE: (f64, f64) = (620.0, 240.0);
const MARGINS: (f64, f64, f64, f64) = (58.0, 12.0, 34.0, 30.0);
/// Lines of the grid.
const GRID: u32 = 4;

/// One line of a plot.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// The class that gives it its colour: `a`, `b`, `c`.
    pub(super) class: char,
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot of `lines`, from zero up. `ticks` says what stands below which value of x.
pub(super) fn plot(title: &str, unit: &str, lines: &[Line], ticks: &[(f64, String)]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let top = nice(all().map(|(_, y)| *y).fold(0.0, f64::max));
    let first = all().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let last = all().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max);
    let span = (last - first).max(1e-9);
    let (left, right, above, below) = MARGINS;
    let x = |value: f64| left + (value - first) / span * (SIZE.0 - left - right);
    let y = |value: f64| SIZE.1 - below - value / top * (SIZE.1 - above - below);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\"><title>{title}</title><text class=\"t\" x=\"{left}\" y=\"14\">{title}, {unit}</text>",
        SIZE.0, SIZE.1
    );
    for step in 0..=GRID {
        let value = top * f64::from(step) / f64::from(GRID);
        let at = y(value);
        let _fits = write!(
            svg,
            "<line class=\"g\" x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"n\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
            SIZE.0 - right,
            left - 6.0,
            at + 4.0,
            number(value)
        );
    }
    for (at, text) in ticks.iter().filter(|(at, _)| *at >= first && *at <= last) {
        let _fits = write!(
            svg,
            "<text class=\"n\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{}\">{text}</text>",
            x(*at),
            SIZE.1 - 10.0
        );
    }
    let mut legend = SIZE.0 - right;
    for line in lines.iter().rev() {
        let points: Vec<_> =
            line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let _fits = write!(
            svg,
            "<polyline class=\"{0}\" points=\"{1}\"/><text class=\"l {0}\" text-anchor=\"end\" x=\"{legend:.0}\" y=\"14\">{2}</text>",
            line.class,
            points.join(" "),
            line.name
        );
        legend -= 9.0 * f64::from(u32::try_from(line.name.len()).unwrap_or(0)) + 10.0;
    }
    svg + "</svg>"
}

/// The next number up that is easy to read.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= value)
        .unwrap_or(value)
}

fn number(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.0}k", v / 1000.0),
        v if v >= 10.0 || v == 0.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_numbers_that_are_easy_to_read() {
        for (value, top) in [(0.0, 1.0), (0.7, 0.8), (3.0, 4.0), (99.0, 100.0), (410.0, 500.0)] {
            assert!((nice(value) - top).abs() < 1e-9, "{value}: {}", nice(value));
        }
    }

    #[test]
    fn a_plot_without_points_is_still_a_plot() {
        let line = Line { name: "x", class: 'a', points: Vec::new() };
        let empty = plot("t", "u", &[line], &[]);
        assert!(empty.ends_with("</svg>") && !empty.contains("NaN") && !empty.contains("inf"));
    }
}
