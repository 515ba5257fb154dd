"""How fast the cores run. The core of a virtual machine may be half of a real one, and is slower by
a third or more whenever somebody else uses the other half: for a second, then not, then again. No
counter of the machine tells of it; the same piece of work, done again and again, does. What a unit
of work cost is then reckoned from those moments alone in which both cores were all ours."""

import subprocess
import sys
import threading
import time
from statistics import median

# Slower than the fastest piece ever seen on this core by so much: it is not all ours. A core that
# sleeps now and then, and finds its caches cold, is slower by a fifth; one that is shared, by three
# or four.
SLOW = 1.4

# Fewer clean steps than this tell nothing.
ENOUGH = 5

# Processor time of a piece, not the time that passes: others may have their turn meanwhile. Some
# 0.3 ms, fifty times a second.
PROBE = """
import os, select, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
while not select.select([sys.stdin], [], [], 0.02)[0]:
    at, began = time.monotonic(), time.thread_time_ns()
    sum(range(20_000))
    print(at, time.thread_time_ns() - began)
"""

# The server's processor time is read so often.
READ_SECONDS = 0.025


class Pace:
    """Use it in a `with`, around a measurement of a server."""

    fastest = {}

    def __init__(self, cores, server):
        self.cores, self.server = cores, server
        self.spent, self.pieces = [], {}
        self.over = threading.Event()

    def __enter__(self):
        self.probes = {core: probe(core) for core in {self.cores.server, self.cores.load}}
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.reader.join()
        for core, running in self.probes.items():
            told, _ = running.communicate()
            pieces = [tuple(map(float, line.split())) for line in told.splitlines()]
            known = [Pace.fastest.get(core, float("inf")), *(took for _, took in pieces)]
            Pace.fastest[core], self.pieces[core] = min(known), pieces

    def read(self):
        while not self.over.wait(READ_SECONDS):
            self.spent.append((time.monotonic(), self.server.cpu_seconds()))

    def correction(self, began, step, work):
        """By what the cost of the whole run is to be multiplied to be that of its clean steps, and
        how many those are; 0, if they are too few. `work` is what was done in each step since
        `began`."""
        steps = []
        for number, done in busy(work):
            since, until = began + number * step, began + (number + 1) * step
            cost = at(self.spent, until) - at(self.spent, since)
            steps.append((done, cost, self.is_clean(since, until)))
        return correction(steps)

    def is_clean(self, since, until):
        for core, pieces in self.pieces.items():
            within = [took for when, took in pieces if since <= when < until]
            if not within or median(within) > SLOW * Pace.fastest[core]:
                return False
        return True


def probe(core):
    words = [sys.executable, "-c", PROBE, str(core)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)


def busy(work):
    """The steps in the midst of the work, each with its number: not the first and the last two."""
    most = sorted(work)[len(work) * 3 // 4] if work else 0
    full = [(number, done) for number, done in enumerate(work) if done > most / 4]
    return full[2:-2]


def correction(steps):
    """Of steps with their work, their cost, and whether they were clean."""
    clean = [(done, cost) for done, cost, is_clean in steps if is_clean]
    if len(clean) < ENOUGH:
        return 1.0, 0
    every = [(done, cost) for done, cost, _ in steps]
    return unit_cost(clean) / unit_cost(every), len(clean)


def unit_cost(steps):
    return sum(cost for _, cost in steps) / sum(done for done, _ in steps)


def at(readings, when):
    """What had been spent then, between two readings."""
    before = readings[0]
    for after in readings:
        if after[0] >= when:
            if after[0] == before[0]:
                return after[1]
            share = (when - before[0]) / (after[0] - before[0])
            return before[1] + share * (after[1] - before[1])
        before = after
    return before[1]
