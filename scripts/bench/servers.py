"""Servers: how each is started and stopped, one at a time, in a folder and on ports of its own. Their settings are files in conf/."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import tomllib
import urllib.request
from pathlib import Path

import peers
from peers import say

CONF = Path(__file__).resolve().parent / "conf"
START_MAX = 20
STOP_MAX = 20


class Failed(Exception):
    """A server that does not start, or a load test that cannot be run."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server that can be started. Subclasses say with what."""

    gather_ms = 0

    def __init__(self, name, about, version=""):
        self.name, self.about, self.version = name, about, version

    def command(self, home, ports):
        """The command line and the environment's additions."""
        raise NotImplementedError

    def rooms(self, home, ports):
        """How the load test is told where to go."""
        return ["--publish", f"rtmp://127.0.0.1:{ports['RTMP']}/live/r{{n}}"]

    def is_up(self, ports):
        return connects(ports["RTMP"])

    def before(self, home, ports):
        """Starts what it needs; processes to stop behind it."""
        return []


def settings(name, home, ports, **more):
    """Writes conf/NAME, filled in, into `home`."""
    text = (CONF / name).read_text()
    for key, value in {**ports, "DIR": home, **more}.items():
        text = text.replace(f"@{key}@", str(value))
    path = Path(home) / name
    path.write_text(text)
    return path


class Onair(Server):
    def __init__(self, name, binary, variant):
        super().__init__(name, variant.get("about", ""))
        self.binary, self.variant = binary, variant
        self.gather_ms = variant.get("gather_ms", 0)
        told = subprocess.run([binary, "--version"], capture_output=True, text=True)
        self.version = told.stdout.strip()

    def command(self, home, ports):
        config = settings("onair.toml", home, ports)
        environment = {}
        for key, value in self.variant.get("set", {}).items():
            environment["ONAIR__" + key.upper().replace(".", "__")] = str(value)
        if self.variant.get("redis"):
            environment["ONAIR__REDIS__URL"] = f"redis://127.0.0.1:{ports['REDIS']}"
        environment.update(self.variant.get("env", {}))
        return [self.binary, "serve", "--config", config, *self.variant.get("flags", [])], environment

    def rooms(self, home, ports):
        return ["--api", f"http://127.0.0.1:{ports['HTTP']}", "--token-file", f"{home}/data/admin-token"]

    def is_up(self, ports):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{ports['HTTP']}/readyz", timeout=1).status == 200
        except OSError:
            return False

    def before(self, home, ports):
        if not self.variant.get("redis"):
            return []
        options = ["--port", ports["REDIS"], "--bind", "127.0.0.1", "--save", "", "--dir", home]
        redis = spawn(["redis-server", *options], {}, Path(home) / "redis.log")
        wait("Redis", redis, lambda: connects(ports["REDIS"]))
        return [redis]


class Nginx(Server):
    def __init__(self, binary, module, version):
        super().__init__("nginx", "nginx-rtmp, one worker", version)
        self.binary, self.module = binary, module

    def command(self, home, ports):
        config = settings("nginx.conf", home, ports, MODULE=self.module)
        return [self.binary, "-p", home, "-c", config, "-e", "stderr"], {}


class Xiu(Server):
    def __init__(self, binary, version):
        super().__init__("xiu", "xiu, one worker thread", version)
        self.binary = binary

    def command(self, home, ports):
        config = settings("xiu.toml", home, ports)
        return [self.binary, "--config", config], {"TOKIO_WORKER_THREADS": "1"}


class Srs(Server):
    def __init__(self, name, about, config, binary, version, gather_ms):
        super().__init__(name, about, version)
        self.binary, self.config, self.gather_ms = binary, config, gather_ms

    def command(self, home, ports):
        return [self.binary, "-c", settings(self.config, home, ports)], {}


class Floor(Server):
    def __init__(self, name, about, binary, gather_ms):
        super().__init__(name, about)
        self.binary, self.gather_ms = binary, gather_ms

    def command(self, home, ports):
        return [self.binary, "--listen", f"127.0.0.1:{ports['RTMP']}", "--gather", str(self.gather_ms)], {}


FLOORS = {
    "floor": ("bare sockets: a read for each message, and a write for each player", 0),
    "floor-20ms": ("bare sockets, reads and writes for what came in 20 ms", 20),
    "floor-350ms": ("bare sockets, reads and writes for what came in 350 ms", 350),
}


def variants():
    """The Onairs that conf/onair-variants.toml tells of."""
    return tomllib.loads((CONF / "onair-variants.toml").read_text())


def names():
    return [*variants(), "nginx", "xiu", "srs", "srs-low-latency", *FLOORS]


def find(name, binaries, tools, builds):
    """The server of this name, or None when it cannot be had, which is said. `builds`: other binaries of Onair, by name."""
    if name in builds:
        binary, _, variant = builds[name].partition(",")
        of = variants()[variant or "onair"]
        return Onair(name, binary, {**of, "about": f"another build, {of.get('about', '')}"})
    if name in variants():
        if variants()[name].get("redis") and not shutil.which("redis-server"):
            return skip(name, "there is no redis-server")
        return Onair(name, binaries / "onair", variants()[name])
    if name in FLOORS:
        return Floor(name, FLOORS[name][0], binaries / "onair-floor", FLOORS[name][1])
    if name == "nginx":
        found = peers.nginx(tools)
        return Nginx(*found) if found else skip(name, "Debian's packages could not be had")
    if name == "xiu":
        found = peers.xiu(tools)
        return Xiu(*found) if found else skip(name, "it could not be built")
    if name in ("srs", "srs-low-latency"):
        found = peers.srs()
        if not found:
            return skip(name, "no srs on the PATH, and SRS=/path/to/srs is not set")
        if name == "srs":
            return Srs(name, "SRS as it comes", "srs.conf", *found, 350)
        return Srs(name, "SRS, its sample for low latency", "srs-low-latency.conf", *found, 0)
    raise Failed(f"no server is called {name}; there are {', '.join(names())}")


def skip(name, why):
    say(f"SKIPPED {name}: {why}")


def connects(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def spawn(command, environment, log, cores=None):
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    with open(log, "wb") as out:
        return subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=pin,
        )


def wait(what, process, is_there):
    until = time.monotonic() + START_MAX
    while not is_there():
        if process.poll() is not None or time.monotonic() > until:
            raise Failed(f"{what} did not start")
        time.sleep(0.05)


def stop(process):
    """By pid, and whatever it started, by its group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_MAX)
        except subprocess.TimeoutExpired:
            say(f"process {process.pid} did not stop: killed")
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Running:
    """A server while it runs: `with Running(server) as running`."""

    def __init__(self, server, cores=None):
        self.server, self.cores, self.processes = server, cores, []

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix=f"bench-{self.server.name}-")
        self.ports = {name: free_port() for name in ("RTMP", "HTTP", "REDIS")}
        try:
            self.processes += self.server.before(self.home, self.ports)
            command, environment = self.server.command(self.home, self.ports)
            self.log = Path(self.home) / "log"
            process = spawn(command, environment, self.log, self.cores)
            self.processes.append(process)
            wait(self.server.name, process, lambda: self.server.is_up(self.ports))
            self.pid = process.pid
            self.rooms = self.server.rooms(self.home, self.ports)
            return self
        except BaseException as error:
            tail = self.log.read_text(errors="replace")[-2000:] if hasattr(self, "log") else ""
            self.__exit__()
            if isinstance(error, Failed):
                raise Failed(f"{error}\n{tail}") from None
            raise

    def __exit__(self, *_):
        for process in reversed(self.processes):
            stop(process)
        shutil.rmtree(self.home, ignore_errors=True)
