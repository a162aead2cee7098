"""Scenarios: what is done to a server, and which figure of it counts. All load comes from onair-loadtest."""

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from peers import say
from servers import Failed, Running

# Pictures later than this are not in time.
IN_TIME_MS = 50


@dataclass
class Bench:
    """What all runs share."""

    loadtest: Path
    seconds: float
    threads: int | None
    out: Path
    server_cores: set | None = None
    load_cores: set | None = None


@dataclass
class Scenario:
    name: str
    about: str
    # (figure, unit, whether more is better): what ratios are made of.
    main: tuple = ("cpu_per_gbit", "CPU s / Gbit", False)
    arguments: list = field(default_factory=list)
    # Figures that the table shows beside the main one.
    also: tuple = ("latency_p50", "latency_p99", "cores", "own_per_gbit")
    # Seconds of measurement, as a share of what was asked for.
    share: float = 1.0
    # Of the load test, unless told otherwise.
    threads: int = 1

    def run(self, bench, server, tag):
        with Running(server, bench.server_cores) as running:
            return figures(load(bench, running, self, self.arguments, tag, bench.seconds * self.share))


class Saturation(Scenario):
    """More players each time, a fresh server each time, until media comes late."""

    def run(self, bench, server, tag):
        limit = IN_TIME_MS + server.gather_ms
        best, players = {"gbps_in_time": 0.0, "players": 0, "at_least": False}, 800
        while players <= 16000:
            arguments = ["fanout", "--players", players, "--kbps", 2000, "--ramp", 1000, "--warm-up", "1500ms"]
            with Running(server, bench.server_cores) as running:
                try:
                    report = load(bench, running, self, arguments, f"{tag}-{players}", min(bench.seconds, 8))
                except Failed as why:
                    say(f"{server.name}, {players} players: {why}")
                    break
            found = figures(report)
            expected = players * report["sent_mbps"]
            is_whole = report["received_mbps"] > 0.97 * expected and found["lost"] + found["dropped"] == 0
            if found.get("latency_p99", 1e9) > limit or not is_whole:
                best["at_least"] = found["saturated"]
                best["beyond_p99"] = found.get("latency_p99")
                break
            best.update({**found, "gbps_in_time": report["received_mbps"] / 1e3, "players": players})
            players = int(players * 1.25)
        return best


class Crowd(Scenario):
    """Others publish and are watched: alone, then beside one room with 5 000 players."""

    OTHERS = ["publish", "--rooms", 500, "--players", 50, "--kbps", 200, "--ramp", 500, "--warm-up", "2s"]
    CROWD = ["fanout", "--rooms", 1, "--players", 5000, "--kbps", 200, "--ramp", 1000, "--first", 100000]

    def run(self, bench, server, tag):
        seconds = bench.seconds * self.share
        with Running(server, bench.server_cores) as running:
            alone = figures(load(bench, running, self, self.OTHERS, f"{tag}-alone", seconds))
        with Running(server, bench.server_cores) as running:
            # Both measure at the same time: the crowd is in after 5.5 s, the others after 3.6.
            crowd = Load(bench, running, self, [*self.CROWD, "--warm-up", "4s"], f"{tag}-crowd", seconds)
            try:
                time.sleep(6)
                others = load(bench, running, self, self.OTHERS, f"{tag}-others", seconds)
            finally:
                crowd_report = crowd.result()
        found, beside = figures(crowd_report), figures(others)
        moved = sum(r["sent_mbps"] + r["received_mbps"] for r in (crowd_report, others)) / 1e3
        return {
            **found,
            "cpu_per_gbit": found["cores"] / moved,
            "others_p99_alone": alone.get("latency_p99"),
            "others_p99": beside.get("latency_p99"),
            "others_max": beside.get("latency_max"),
            "others_lost": beside["lost"] + beside["dropped"],
            "saturated": found["saturated"] or beside["saturated"],
        }


SCENARIOS = [
    Scenario(
        "ingest-200",
        "200 publishers at 1 Mb/s, 10 players",
        arguments=["publish", "--rooms", 200, "--players", 10, "--kbps", 1000],
    ),
    Scenario(
        "ingest-50",
        "50 publishers at 6 Mb/s, 10 players",
        arguments=["publish", "--rooms", 50, "--players", 10, "--kbps", 6000],
    ),
    Scenario(
        "fanout-300",
        "one room at 2 Mb/s to 300 players",
        arguments=["fanout", "--players", 300, "--kbps", 2000],
    ),
    Scenario(
        "fanout-2000",
        "one room at 2 Mb/s to 2 000 players",
        arguments=["fanout", "--players", 2000, "--kbps", 2000, "--ramp", 1000],
        threads=2,
    ),
    Scenario(
        "storm",
        "64 at a time connect, publish and leave; acknowledgements delayed as the kernel does",
        main=("cycles", "publishes / s", True),
        arguments=["storm", "--in-flight", 64, "--acks", "kernel"],
        also=("cpu_ms_per_publish", "start_p50", "start_p99", "cores", "own_cores"),
        share=0.5,
    ),
    Scenario(
        "storm-at-once",
        "the same, clients that acknowledge at once",
        main=("cycles", "publishes / s", True),
        arguments=["storm", "--in-flight", 64, "--acks", "at-once"],
        also=("cpu_ms_per_publish", "start_p50", "start_p99", "cores", "own_cores"),
        share=0.5,
    ),
    Scenario(
        "idle-5000",
        "5 000 quiet publishers: memory",
        main=("kib_per_connection", "KiB / connection", False),
        arguments=["idle", "--connections", 5000, "--ramp", 1000, "--patience", "20s"],
        also=("pss_before", "pss_end", "cores", "own_cores"),
        share=0.5,
    ),
    Scenario(
        "first-picture",
        "200 players come to 5 rooms at 2 Mb/s, 20 a second",
        main=("first_p50", "ms", False),
        arguments=["fanout", "--rooms", 5, "--players", 200, "--kbps", 2000, "--ramp", 20, "--warm-up", "1s"],
        also=("first_p99", "play_p50", "latency_p99", "cores"),
        share=0.1,
    ),
    Saturation(
        "saturation",
        f"one room at 2 Mb/s, a quarter more players each time, until p99 is above {IN_TIME_MS} ms (and what it gathers by design)",
        main=("gbps_in_time", "Gbit/s in time", True),
        also=("players", "latency_p99", "cores", "own_cores"),
        threads=2,
    ),
    Crowd(
        "room-5000",
        "one room at 200 kb/s to 5 000 players, beside 500 publishers at 200 kb/s with 50 players",
        also=("others_p99_alone", "others_p99", "others_max", "others_lost", "latency_p99", "cores"),
    ),
]


class Load:
    """One run of onair-loadtest, begun."""

    def __init__(self, bench, running, scenario, arguments, tag, seconds):
        self.json = bench.out / "runs" / f"{tag}.json"
        self.json.parent.mkdir(parents=True, exist_ok=True)
        command = [bench.loadtest, *arguments, *running.rooms, "--server-pid", running.pid, "--json", self.json]
        command += ["--seconds", f"{max(seconds, 1)}s", "--threads", bench.threads or scenario.threads]
        pin = None
        if bench.load_cores:
            pin = lambda: os.sched_setaffinity(0, bench.load_cores)  # noqa: E731
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=pin,
        )

    def result(self):
        """Its report. A promise that was broken is a figure like others; a load test that could not run is not."""
        told, _ = self.process.communicate()
        if self.process.returncode == 2 or not self.json.exists():
            raise Failed(f"the load test could not run:\n{told[-1500:]}")
        report = json.loads(self.json.read_text())
        if report["verdict"]["unreachable"]:
            raise Failed(f"nobody got in:\n{told[-1500:]}")
        return report


def load(bench, running, scenario, arguments, tag, seconds):
    run = Load(bench, running, scenario, arguments, tag, seconds)
    try:
        return run.result()
    except BaseException:
        run.process.kill()
        run.process.wait()
        raise


def figures(report):
    """What is told of a run, by short names."""
    server, own, times, counts = report["server"] or {}, report["own"], report["times"], report["counts"]
    found = {
        "cpu_per_gbit": server.get("cpu_seconds_per_gbit"),
        "own_per_gbit": own["cpu_seconds_per_gbit"],
        "cores": server.get("cores"),
        "own_cores": own["cpu_seconds"] / max(report["seconds"], 1e-9),
        "in_mbps": report["sent_mbps"],
        "out_mbps": report["received_mbps"],
        "cycles": report["publishes_per_second"],
        "cpu_ms_per_publish": server.get("cpu_ms_per_publish"),
        "kib_per_connection": server.get("kib_per_connection"),
        "pss_before": server.get("pss_before_kib"),
        "pss_end": server.get("pss_kib"),
        "lost": counts.get("pictures lost", 0),
        "dropped": counts.get("dropped", 0) + counts.get("refused", 0),
        "exit_code": report["exit_code"],
        "saturated": bool(report["verdict"]["saturated"]),
        "broken": [p["what"] + ": " + p["detail"] for p in report["verdict"]["promises"] if not p["held"]],
        "problems": report["problems"],
    }
    for short, name in (("latency", "latency"), ("start", "publish start"), ("play", "play start"), ("first", "first picture")):
        if name in times:
            found |= {f"{short}_p50": times[name]["p50"], f"{short}_p99": times[name]["p99"], f"{short}_max": times[name]["max"]}
    return found
