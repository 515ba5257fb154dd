"""What a reload does to connections: of ten routes of a relay, with live connections on each, one
gets another target, while clients connect all the time. Compares oneloop, haproxy and nginx.

For each program: connections cut by one reload and by ten, found by an echo through each; connects
that failed meanwhile; processes and resident memory afterwards, where some connections of each
time stay open; and whether a shorter idle timeout applies to connections that are open."""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from . import build, lookers, machine, paths, rounds
from .reloadable import CHANGED, PROGRAMS, ROUTES, Running
from .server import END_SECONDS, Failed, free_port, is_bound, kill, start

PATIENCE_SECONDS = 5
RELOADS = 10

# Threads that connect, and the pause of each after a connection, in seconds.
CONNECTORS, CONNECT_INTERVAL = 4, 0.001

# Connects before a reload, and after its effect was seen.
BEFORE_SECONDS, AFTER_SECONDS = 0.3, 0.5

# The idle timeout that the last reload sets, and how long it may take to fire. Longer than the
# interval in which some of these programs look at their timers.
SHORT_SECONDS, FIRE_SECONDS = 2, 3


def main():
    asked = parse()
    if not asked.no_build:
        build.oneloop()
    os.sched_setaffinity(0, {asked.load_cpu})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    here = [program for program in PROGRAMS if program.is_there()]
    order = random.Random(asked.seed)
    figures = {program.name: [] for program in here}
    for _ in range(asked.rounds):
        for program in order.sample(here, len(here)):
            figures[program.name].append(once(program, asked))
    result = {
        "machine": machine.facts(),
        "conns": asked.conns,
        "stay": asked.stay,
        "reloads": RELOADS,
        "versions": {program.name: program.shown_version for program in here},
        "programs": figures,
    }
    print(table(result))
    if asked.json:
        text = json.dumps(result, indent=1, ensure_ascii=False)
        asked.json.write_text(rounds.flatten(text) + "\n")
    return 0


def parse():
    parser = argparse.ArgumentParser(prog="benches/reloading", description=__doc__)
    add = parser.add_argument
    add("--conns", type=int, default=1_000, metavar="N", help="connections that are live")
    add("--stay", type=int, default=20, metavar="N", help="more of them after each reload")
    add("--rounds", type=int, default=3, metavar="N", help="measure every program so often")
    add("--seed", type=int, default=1, help="what the order in a round is drawn from")
    add("--server-cpu", type=int, default=0, metavar="N", help="the core of the relays")
    add("--load-cpu", type=int, default=1, metavar="N", help="the core of all others")
    add("--json", type=Path, metavar="FILE", help="keep the figures of all rounds here")
    add("--no-build", action="store_true", help="take what was built before")
    return parser.parse_args()


def once(program, asked):
    """Measures a program once."""
    with Target(asked.load_cpu) as target:
        with Running(program, target.ports[0], asked.server_cpu) as it, Live() as live:
            live.open(it.plan.ports, asked.conns)
            figures = {"start": it.held()}
            with Connectors(it.plan.ports) as connectors:
                time.sleep(BEFORE_SECONDS)
                took = []
                for number in range(1, RELOADS + 1):
                    took.append(reload(it, target, number))
                    if number == 1:
                        figures["one"] = it.held() | {"cut": live.cut()}
                    live.open(it.plan.ports, asked.stay)
                figures["ten"] = it.held() | {"cut": live.cut()}
            figures |= connectors.counts
            figures["seconds"] = median(took)
            return figures | timeouts(it, live, target)


def reload(it, target, number):
    """Gives the route another target, and waits for a connection to it. Returns the time taken."""
    began = time.monotonic()
    it.reload(changed_target=target.ports[number])
    while not target.accepted(number):
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise Failed(f"{it.program.name} did not reload")
        time.sleep(0.005)
    took = time.monotonic() - began
    time.sleep(AFTER_SECONDS)
    return took


def timeouts(it, live, target):
    """How many connections of the route a shorter idle timeout closes: those that were open, and
    those that were opened afterwards."""
    known = live.of_route(CHANGED)
    it.reload(changed_target=target.ports[RELOADS + 1], changed_timeout=SHORT_SECONDS)
    until = time.monotonic() + PATIENCE_SECONDS
    with Live() as later:
        while not target.accepted(RELOADS + 1):
            if time.monotonic() > until:
                raise Failed(f"{it.program.name} did not take the timeout")
            later.open([it.plan.ports[CHANGED]], 1)
        # Some of these programs serve with the old and the new settings for a moment.
        time.sleep(AFTER_SECONDS)
        later.open([it.plan.ports[CHANGED]], ROUTES)
        new = later.sockets[-ROUTES:]
        time.sleep(SHORT_SECONDS + FIRE_SECONDS)
        return {
            "live": len(known),
            "live_closed": sum(map(is_closed, known)),
            "new": len(new),
            "new_closed": sum(map(is_closed, new)),
        }


class Target:
    """An echo with a port for each reload, so that its effect can be seen. Use it in a `with`."""

    def __init__(self, cpu):
        self.cpu = cpu

    def __enter__(self):
        # A copy, so that the relay under measurement shares no pages with its target.
        self.folder = tempfile.TemporaryDirectory(prefix="oneloop-bench-")
        program = shutil.copy2(paths.ONELOOP, self.folder.name)
        # The first one, one for each reload, and one for the change of the timeout.
        self.ports = [free_port() for _ in range(RELOADS + 2)]
        self.admin = free_port()
        addresses = [f"127.0.0.1:{port}" for port in self.ports]
        command = [program, "echo", "-q", *addresses]
        command += ["--admin", f"127.0.0.1:{self.admin}"]
        self.process = start(command, self.cpu, None)
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_bound(self.admin, "tcp"):
            if time.monotonic() > until:
                self.__exit__()
                raise Failed("the target did not start")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        kill(self.process.pid, signal.SIGKILL)
        self.process.wait(END_SECONDS)
        self.folder.cleanup()

    def accepted(self, number):
        """How many connections one of its ports has accepted."""
        client = lookers.connect(str(self.admin))
        with client:
            client.sendall(lookers.request(str(self.admin), "/routes"))
            text = b""
            while not text.endswith(b"\r\n0\r\n\r\n") and b"]}" not in text[-8:]:
                more = client.recv(64 * 1024)
                if not more:
                    break
                text += more
        return accepted_in(body_of(text), self.ports[number])


def body_of(answer):
    """The JSON of an answer, whole or in chunks."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return json.loads(body)
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + body[:length], body[length + 2 :]
        if not length:
            break
    return json.loads(whole)


def accepted_in(routes, port):
    ending = f":{port}"
    found = [each["accepted"] for each in routes["routes"] if each["name"].endswith(ending)]
    return sum(found)


class Live:
    """Connections that stay open. Use it in a `with`."""

    def __init__(self):
        # The number of its route is known by the position in each round of `open`.
        self.sockets, self.routes, self.sent = [], [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()

    def open(self, ports, count):
        """Opens so many, on each port in turn, and sends bytes through each of them."""
        made = []
        for number in range(count):
            made.append(connect(ports[number % len(ports)]))
            self.routes.append(number % len(ports))
        if not all(echo(made, self.sent)):
            raise Failed("a new connection does not echo")
        self.sockets += made

    def of_route(self, route):
        return [each for each, of in zip(self.sockets, self.routes) if of == route]

    def cut(self):
        """How many of them no longer echo."""
        self.sent += 1
        return echo(self.sockets, self.sent).count(False)


def connect(port):
    made = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def echo(sockets, salt):
    """Sends different bytes through each of them; whether the same came back."""
    texts = [f"{salt}:{number:06}\n".encode() for number in range(len(sockets))]
    for each, text in zip(sockets, texts):
        try:
            each.sendall(text)
        except OSError:
            pass
    return [receive(each, len(text)) == text for each, text in zip(sockets, texts)]


def receive(each, length):
    """So many bytes, or less if there are no more."""
    received = b""
    try:
        while len(received) < length and (more := each.recv(length - len(received))):
            received += more
    except OSError:
        pass
    return received


def is_closed(each):
    """Whether the other side has ended it, without waiting."""
    each.setblocking(False)
    try:
        return each.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        each.settimeout(PATIENCE_SECONDS)


class Connectors:
    """Clients that connect, exchange some bytes and close, all the time. Use it in a `with`."""

    def __init__(self, ports):
        self.ports, self.over = ports, threading.Event()
        self.counts = dict.fromkeys(("connects", *FAILURES), 0)
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self.run, args=(number,), daemon=True)
            for number in range(CONNECTORS)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE_SECONDS)

    def run(self, number):
        while not self.over.wait(CONNECT_INTERVAL):
            number += 1
            failure = exchange(self.ports[number % len(self.ports)])
            with self.lock:
                self.counts["connects"] += 1
                if failure:
                    self.counts[failure] += 1


FAILURES = ("refused", "reset", "late")


def exchange(port):
    """Connects, sends some bytes, and closes when they have come back; how it failed, if so."""
    try:
        with connect(port) as client:
            client.sendall(b"hello\n")
            received = b""
            while len(received) < 6:
                more = client.recv(6)
                if not more:
                    return "reset"
                received += more
    except OSError as error:
        return failure_of(error)
    return None


def failure_of(error):
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "late" if isinstance(error, TimeoutError) else "reset"


def table(result):
    """The medians as a table, and under which conditions they were measured."""
    head = ["", *(f"{name} {result['versions'][name]}" for name in result["programs"])]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for title, cell in rows(result):
        cells = [cell(figures) for figures in result["programs"].values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    facts, known = result["machine"], next(iter(result["programs"].values()))
    lines += ["", f"Medians of {len(known)} rounds, on {facts['cores']} cores of {facts['cpu']}."]
    return "\n".join(lines)


def rows(result):
    """Title, and how its cell is made from the figures of all rounds of a program."""
    conns, stay, count = result["conns"], result["stay"], result["reloads"]
    later = conns + count * stay

    def middle(*path):
        def value(figures):
            for name in path:
                figures = figures[name]
            return figures

        return lambda all_rounds: median(value(figures) for figures in all_rounds)

    def number(*path):
        return lambda figures: f"{middle(*path)(figures):,.0f}"

    def megabytes(*path):
        return lambda figures: f"{middle(*path)(figures) / 1e6:,.1f} MB"

    def share(part, whole):
        return lambda figures: f"{number(part)(figures)} of {number(whole)(figures)}"

    return [
        (f"connections cut by one reload, of {conns:,}", number("one", "cut")),
        (f"connections cut by {count} reloads, of {later:,}", number("ten", "cut")),
        (f"connects during the {count} reloads", number("connects")),
        ("of these refused / reset / without an answer", failures),
        ("new target in use after", lambda f: f"{middle('seconds')(f) * 1000:,.0f} ms"),
        ("processes before, after 1, after 10", counts_of("processes", "{:,.0f}", 1)),
        ("resident MB before, after 1, after 10", counts_of("resident", "{:,.1f}", 1e6)),
        ("the same, shared pages once", counts_of("proportional", "{:,.1f}", 1e6)),
        ("live connections closed by a shorter idle timeout", share("live_closed", "live")),
        ("new connections closed by it", share("new_closed", "new")),
    ]


def failures(all_rounds):
    """All failures of all rounds: a median would hide a rare one."""
    return " / ".join(f"{sum(figures[name] for figures in all_rounds):,}" for name in FAILURES)


def counts_of(name, form, unit):
    """The medians of a figure before the reloads, after one and after all."""

    def cell(all_rounds):
        steps = ("start", "one", "ten")
        known = [median(figures[step][name] for figures in all_rounds) for step in steps]
        return ", ".join(form.format(value / unit) for value in known)

    return cell
