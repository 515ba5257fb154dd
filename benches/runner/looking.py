"""What looking into a daemon costs its connections: the latency of an echo and of /readyz while
nobody looks and while many do, in turns, beside thousands of idle connections; and its memory.

The load sends at a fixed rate, or as fast as the answers come back. It shares a core with those who
look: these run at a lower priority, or the load would wait for them instead of for the daemon."""

import argparse
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from . import build, lookers, paths
from .server import Failed, free_port, is_bound, kill, start
from .stand import Lookers

# Connections beside those that are idle: of the load, of those that come and go.
SPARE_CONNS = 1_000

# Connections that come and go meanwhile, for each second.
CHURN = ("--load", "churn=2", "--connect-rate", "50/s")

LOWEST_NICE = "19"

READY_INTERVAL = 0.005
MEMORY_INTERVAL = 0.1
WARMUP_SECONDS = 0.5
OPEN_SECONDS = 120
LOAD_SPARE_SECONDS = 60

FIGURES = {
    "echo_p50": "echo p50",
    "echo_p99": "echo p99",
    "ready_p50": "/readyz p50",
    "ready_p99": "/readyz p99",
}

# Title, unit, digits.
OTHER_FIGURES = [
    ("echo_rate", "echoes/s", 1, 0),
    ("busy", "share of a core", 1, 2),
    ("memory", "resident MB", 1e6, 1),
]


def main():
    asked = parse()
    if not asked.no_build:
        build.oneloop()
    os.sched_setaffinity(0, {asked.load_cpu})
    if asked.realtime:
        first(1)
    with Daemon(asked) as daemon, Held(daemon, asked):
        rounds = measure(daemon, asked)
        memory = daemon.memory()
    print(shown(rounds, memory, asked))
    if asked.json:
        asked.json.write_text(json.dumps(rounds, indent=1) + "\n")
    return 0


def parse():
    parser = argparse.ArgumentParser(prog="benches/looking", description=__doc__)
    add = parser.add_argument
    add("--idle", type=int, default=15_000, metavar="N", help="connections that are held")
    add("--conns", type=int, default=16, metavar="N", help="connections of the echo")
    add("--rate", default="2k/s", help="messages in all; off: as fast as they come back")
    add("--rounds", type=int, default=7, metavar="N", help="measure both so often")
    add("--seconds", type=float, default=4.0, metavar="S", help="each time for so long")
    add("--seed", type=int, default=1, help="what the order in a round is drawn from")
    add("--lists", type=int, default=2, metavar="N", help="clients that list in a loop")
    add("--scrapes", type=int, default=1, metavar="N", help="clients that scrape every 100 ms")
    add("--viewers", type=int, default=6, metavar="N", help="viewers of events")
    add("--unread", type=int, default=2, metavar="N", help="viewers that never read")
    add("--server-cpu", type=int, default=0, metavar="N", help="the core of the daemon")
    add("--load-cpu", type=int, default=1, metavar="N", help="the core of all others")
    add("--realtime", action="store_true", help="daemon and load before all others (for root)")
    add("--json", type=Path, metavar="FILE", help="keep the figures of all rounds here")
    add("--no-build", action="store_true", help="take what was built before")
    return parser.parse_args()


def measure(daemon, asked):
    """The figures of all rounds, without and with lookers, in an order drawn for each."""
    order = random.Random(asked.seed)
    rounds = []
    for _ in range(asked.rounds):
        figures = {}
        for name in order.sample(["without", "with"], 2):
            figures[name] = once(daemon, asked, name == "with")
        rounds.append(figures)
    return rounds


def once(daemon, asked, looked_at):
    watching = looking(daemon, asked) if looked_at else None
    try:
        with Probe(daemon, asked) as probe, Churn(daemon, asked):
            figures = echo(daemon, asked)
        figures |= probe.figures()
    finally:
        counted = watching.end() if watching else {}
    if "failure" in counted:
        raise Failed(counted["failure"])
    return figures | counted


def echo(daemon, asked):
    """The latencies of the echo, while whatever else runs."""
    rate = [] if asked.rate == "off" else ["--rate", asked.rate]
    with tempfile.TemporaryDirectory(prefix="oneloop-bench-") as folder:
        report = Path(folder, "report.json")
        words = ["--load", f"echo={asked.conns}", *rate, "--warmup", f"{WARMUP_SECONDS:g}s"]
        words += ["--duration", f"{asked.seconds:g}s", "--json", str(report)]
        command = [str(paths.ONELOOP), "stress", daemon.target(), *words]
        load = start(command, asked.load_cpu, subprocess.DEVNULL)
        try:
            load.wait(asked.seconds + LOAD_SPARE_SECONDS)
        finally:
            end(load)
        told = json.loads(report.read_text())
    one = next(one for one in told["loads"] if one["load"] == "echo")
    if one["integrity_errors"] or one["failures"]:
        raise Failed(f"the echo failed: {one['failures']}")
    latency = one["latency_us"]
    rate = one["messages_per_second"]
    return {"echo_p50": latency["p50"], "echo_p99": latency["p99"], "echo_rate": rate}


def first(priority):
    """Lets this thread, and what it starts, run before all that have no such priority."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))


def stand_back(pid):
    """Lets a session run behind all others. Where sessions are scheduled as groups, the priority of
    a process counts in its session only."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(LOWEST_NICE)
    except FileNotFoundError:
        os.setpriority(os.PRIO_PROCESS, pid, int(LOWEST_NICE))


class Daemon:
    """The daemon that is looked at. Use it in a `with`."""

    def __init__(self, asked):
        self.asked = asked

    def __enter__(self):
        self.port, self.admin = free_port(), free_port()
        most = self.asked.idle + SPARE_CONNS
        command = [str(paths.ONELOOP), "echo", "-q", f"127.0.0.1:{self.port}", "-m", str(most)]
        command += ["--admin", f"127.0.0.1:{self.admin}"]
        self.process = start(command, self.asked.server_cpu, None)
        until(lambda: is_bound(self.admin, "tcp") or self.process.poll() is not None, "serves")
        return self

    def __exit__(self, *_):
        end(self.process)

    def target(self):
        return f"tcp://127.0.0.1:{self.port}"

    def memory(self):
        """Its resident memory in bytes, now and at its largest."""
        words = Path(f"/proc/{self.process.pid}/status").read_text().split()
        return [int(words[words.index(name) + 1]) * 1024 for name in ("VmRSS:", "VmHWM:")]

    def cpu_seconds(self):
        path = Path(f"/proc/{self.process.pid}/schedstat")
        return int(path.read_text().split()[0]) / 1e9


class Load:
    """A load that runs until it is ended. Use it in a `with`."""

    def __init__(self, daemon, asked, words):
        self.daemon, self.asked = daemon, asked
        self.command = [str(paths.ONELOOP), "stress", daemon.target(), *words]

    def __enter__(self):
        self.process = start(self.command, self.asked.load_cpu, subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        end(self.process, signal.SIGINT)


class Held(Load):
    """Connections that are idle."""

    def __init__(self, daemon, asked):
        words = ["--load", f"idle={asked.idle}", "--hold", "1d", "--probe", "none"]
        super().__init__(daemon, asked, words)

    def __enter__(self):
        super().__enter__()
        until(self.are_open, "opens its connections")
        return self

    def are_open(self):
        client = lookers.Client(str(self.daemon.admin))
        client.socket.sendall(lookers.request(client.address, "/routes"))
        text = client.more().partition(b"\r\n\r\n")[2]
        client.socket.close()
        return json.loads(text)["routes"][0]["active"] >= self.asked.idle


class Churn(Load):
    """Connections that come and go."""

    def __init__(self, daemon, asked):
        super().__init__(daemon, asked, [*CHURN, "--duration", "1d"])


def looking(daemon, asked):
    """Starts those who look."""
    words = [str(daemon.admin), "--usual-priority"]
    for name in ("lists", "scrapes", "viewers", "unread"):
        words += [f"--{name}", str(getattr(asked, name))]
    running = Lookers(words, asked.load_cpu)
    if not asked.realtime:
        stand_back(running.process.pid)
    return running


class Probe:
    """Asks /readyz again and again, and watches the memory. Use it in a `with`."""

    def __init__(self, daemon, asked):
        self.daemon, self.asked, self.over = daemon, asked, threading.Event()
        self.latencies, self.memory, self.failure = [], [], None
        self.threads = [
            threading.Thread(target=self.ask, daemon=True),
            threading.Thread(target=self.watch, daemon=True),
        ]

    def __enter__(self):
        self.began, self.spent = time.monotonic(), self.daemon.cpu_seconds()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        spent = self.daemon.cpu_seconds() - self.spent
        self.busy = spent / (time.monotonic() - self.began)

    def ask(self):
        client = lookers.Client(str(self.daemon.admin))
        if self.asked.realtime:
            # Before the load, which shares the core.
            first(2)
        try:
            while not self.over.wait(READY_INTERVAL):
                began = time.perf_counter()
                client.get("/readyz")
                self.latencies.append((time.perf_counter() - began) * 1e6)
        except OSError as error:
            self.failure = error

    def watch(self):
        while not self.over.wait(MEMORY_INTERVAL):
            self.memory.append(self.daemon.memory()[0])

    def figures(self):
        if self.failure or not self.latencies:
            raise Failed(f"/readyz: {self.failure}")
        known = {f"ready_p{part}": percentile(self.latencies, part) for part in (50, 99)}
        return known | {"memory": max(self.memory), "busy": self.busy}


def percentile(values, part):
    """The value that `part` in a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * part // 100) - 1)]


def until(is_so, what):
    begun = time.monotonic()
    while not is_so():
        if time.monotonic() - begun > OPEN_SECONDS:
            raise Failed(f"too late: {what}")
        time.sleep(0.1)


def end(process, how=signal.SIGKILL):
    if process.poll() is None:
        kill(process.pid, how)
    try:
        process.wait(LOAD_SPARE_SECONDS)
    except subprocess.TimeoutExpired:
        kill(process.pid, signal.SIGKILL)
        process.wait()


# What those who look have received: figure, unit, digits.
LOOKED = [
    ("lists", "lists", 2),
    ("list_bytes", "bytes of them", 0),
    ("scrapes", "scrapes", 1),
    ("event_bytes", "bytes of events", 0),
    ("resets", "resets of those that do not read", 2),
]


def shown(rounds, memory, asked):
    """The table of all rounds: medians, and the ratio of both in the same round."""
    lines = ["| | nobody looks | many look | ratio | min–max |", "|---|---:|---:|---:|---:|"]
    for name, title in FIGURES.items():
        without, looked_at = values(rounds, name)
        ratios = [b / a for a, b in zip(without, looked_at)]
        cells = [f"{title} µs", f"{median(without):.0f}", f"{median(looked_at):.0f}"]
        cells += [f"{median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    for name, title, unit, digits in OTHER_FIGURES:
        cells = [f"{median(known) / unit:,.{digits}f}" for known in values(rounds, name)]
        lines.append(f"| {title} | {' | '.join(cells)} | | |")
    looks = [one["with"] for one in rounds]
    seconds = sum(one["seconds"] for one in looks)
    counted = []
    for name, title, digits in LOOKED:
        counted.append(f"{sum(one.get(name, 0) for one in looks) / seconds:,.{digits}f} {title}")
    lines += ["", f"{asked.rounds} rounds of {asked.seconds:g} s, {asked.idle:,} idle connections."]
    lines.append(f"For each second: {', '.join(counted)}.")
    lines.append(f"Resident at the end {memory[0] / 1e6:.1f} MB, at most {memory[1] / 1e6:.1f} MB.")
    return "\n".join(lines)


def values(rounds, name):
    """A figure of all rounds, without and with those who look."""
    return [[one[kind][name] for one in rounds] for kind in ("without", "with")]
