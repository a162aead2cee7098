"""Report: medians, and ratios of paired rounds, as Markdown, JSON and a page with plots."""

import html
import json
from statistics import median

UNITS = {
    "cpu_per_gbit": "CPU s/Gbit",
    "own_per_gbit": "load test CPU s/Gbit",
    "latency_p50": "latency p50 ms",
    "latency_p99": "latency p99 ms",
    "start_p50": "start p50 ms",
    "start_p99": "start p99 ms",
    "play_p50": "play start p50 ms",
    "first_p50": "first picture p50 ms",
    "first_p99": "first picture p99 ms",
    "cores": "server cores",
    "own_cores": "load test cores",
    "cycles": "publishes/s",
    "cpu_ms_per_publish": "CPU ms/publish",
    "kib_per_connection": "KiB/connection",
    "pss_before": "PSS before KiB",
    "pss_end": "PSS in the end KiB",
    "gbps_in_time": "Gbit/s in time",
    "players": "players",
    "others_p99_alone": "others' p99 alone ms",
    "others_p99": "others' p99 beside it ms",
    "others_max": "others' max ms",
    "others_lost": "others lost, dropped",
}
STYLE = """:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}th,td{padding:.15rem .8rem .15rem 0;text-align:right;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}th,.dim{opacity:.65;font-weight:500}h2{margin:2rem 0 .3rem}
svg{width:100%;max-width:760px}rect{fill:#2563eb}rect.peer{fill:#8a94a6}rect.floor{fill:#c9ced8}text{font-size:12px;fill:currentColor}
line{stroke:currentColor;stroke-width:1.5}"""


def number(value):
    if value is None:
        return "–"
    if value != 0 and abs(value) < 0.1:
        return f"{value:.4f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"


def brief(scenario, figures):
    keys = [scenario.main[0], *[key for key in scenario.also if key != scenario.main[0]]]
    text = ", ".join(f"{UNITS[key]} {number(figures.get(key))}" for key in keys)
    return text + (" (the load test was saturated)" if figures.get("saturated") else "")


def write(results, out):
    (out / "report.json").write_text(json.dumps(results, indent=1))
    (out / "report.md").write_text(markdown(results))
    (out / "report.html").write_text(page(results))


def rounds(results, scenario, server, key):
    """The figure's values, by round."""
    return {
        run["round"]: run["figures"][key]
        for run in results["runs"]
        if run["scenario"] == scenario and run["server"] == server and run.get("figures", {}).get(key) is not None
    }


def rows(results, scenario):
    """For each server that ran: its name, the medians, min, max, and the ratios min, median, max."""
    told = results["scenarios"][scenario]
    key = told["main"][0]
    base = rounds(results, scenario, results["against"], key)
    for server in results["servers"]:
        runs = [r for r in results["runs"] if r["scenario"] == scenario and r["server"] == server]
        if not runs:
            continue
        mine = rounds(results, scenario, server, key)
        ratios = sorted(mine[n] / base[n] for n in mine if base.get(n))
        medians = {}
        for name in (key, *told["also"]):
            values = list(rounds(results, scenario, server, name).values())
            medians[name] = median(values) if values else None
        found = [r["figures"] for r in runs if "figures" in r]
        notes = []
        if len(found) < len(runs):
            notes.append(f"{len(runs) - len(found)} of {len(runs)} failed")
        saturated = sum(1 for f in found if f.get("saturated") or f.get("at_least"))
        if saturated:
            notes.append(f"load test saturated in {saturated}")
        lost = sum(f.get("lost", 0) + f.get("dropped", 0) for f in found)
        if lost:
            notes.append(f"{lost} lost or dropped")
        yield server, medians, (min(mine.values()), max(mine.values())) if mine else None, ratios, notes


def markdown(results):
    told = results["machine"]
    lines = [
        "# Servers compared",
        "",
        f"{told['time']}, {told['cores']} × {told['cpu']}, kernel {told['kernel']}, everything on loopback; Onair at {told['commit']}.",
        f"Each figure is the median of its rounds; ratios are of paired rounds, against {results['against']}: min / median / max.",
        f"`{results['command']}`",
        "",
        *(f"- **{name}**: {about['about']} {about['version']}".rstrip() for name, about in results["servers"].items()),
    ]
    for scenario, about in results["scenarios"].items():
        key, unit, more_is_better = about["main"]
        also = [name for name in about["also"] if name != key]
        lines += ["", f"## {scenario}", "", f"{about['about']}. {'More' if more_is_better else 'Less'} is better.", ""]
        header = ["server", unit, "min – max", f"ratio to {results['against']}", *[UNITS[a] for a in also], ""]
        lines += ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        for server, medians, ends, ratios, notes in rows(results, scenario):
            spread = f"{number(ends[0])} – {number(ends[1])}" if ends else "–"
            ratio = " / ".join(f"{r:.2f}" for r in (ratios[0], median(ratios), ratios[-1])) if ratios else "–"
            cells = [server, f"**{number(medians[key])}**", spread, ratio, *[number(medians[a]) for a in also], "; ".join(notes)]
            lines.append("| " + " | ".join(cells) + " |")
    loads = [run["load_average"] for run in results["runs"]]
    if loads:
        lines += ["", f"Load average before the runs: {min(loads):.1f} to {max(loads):.1f}."]
    return "\n".join(lines) + "\n"


def page(results):
    """The same, with a bar for each server."""
    told = results["machine"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Servers compared</title><style>{STYLE}</style>",
        f"<h1>Servers compared</h1><p class=dim>{html.escape(str(told))}<br><code>{html.escape(results['command'])}</code></p><ul>",
    ]
    for name, about in results["servers"].items():
        parts.append(f"<li><b>{name}</b>: {html.escape(about['about'] + ' ' + about['version'])}")
    parts.append("</ul>")
    for scenario, about in results["scenarios"].items():
        key, unit, more_is_better = about["main"]
        found = list(rows(results, scenario))
        if not found:
            continue
        better = "more" if more_is_better else "less"
        parts.append(f"<h2>{scenario}</h2><p>{html.escape(about['about'])}: {unit}, {better} is better</p>{bars(found, key)}")
        also = [name for name in about["also"] if name != key]
        heads = "".join(f"<th>{html.escape(UNITS[a])}" for a in also)
        parts.append(f"<table><tr><th>server<th>{unit}<th>ratio to {results['against']}{heads}<th>")
        for server, medians, _, ratios, notes in found:
            ratio = " / ".join(f"{r:.2f}" for r in (ratios[0], median(ratios), ratios[-1])) if ratios else "–"
            cells = [server, number(medians[key]), ratio, *[number(medians[a]) for a in also], html.escape("; ".join(notes))]
            parts.append("<tr>" + "".join(f"<td>{cell}" for cell in cells))
        parts.append("</table>")
    return "".join(parts) + "</html>"


def bars(found, key):
    top = max((ends[1] for _, _, ends, _, _ in found if ends), default=0) or 1
    height = 24 * len(found) + 8
    svg = [f'<svg viewBox="0 0 760 {height}" role="img">']
    for at, (server, medians, ends, _, _) in enumerate(found):
        y = 24 * at + 4
        svg.append(f'<text x="130" y="{y + 14}" text-anchor="end">{server}</text>')
        if not ends:
            continue
        kind = "floor" if server.startswith("floor") else "" if server.startswith("onair") else "peer"
        x = [140 + 540 * value / top for value in (ends[0], medians[key], ends[1])]
        svg.append(f'<rect class="{kind}" x="140" y="{y}" width="{x[1] - 140:.1f}" height="18"/>')
        svg.append(f'<line x1="{x[0]:.1f}" x2="{x[2]:.1f}" y1="{y + 9}" y2="{y + 9}"/>')
        svg.append(f'<text x="{x[2] + 6:.1f}" y="{y + 14}">{number(medians[key])}</text>')
    return "".join(svg) + "</svg>"
