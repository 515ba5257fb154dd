"""The rounds of a row: every peer once a round, in an order that is drawn anew for each."""

import json
import random
import re

from . import machine, paths
from .measure import measure
from .peers import version
from .server import Failed

# With more than this share of a core spent by others, or when no moment of it was clean, a
# measurement is taken again, so often. (Who shares a real core may do so for many minutes.)
OTHERS_MOST = 0.35
AGAIN_MOST = 1

# Who is patient waits until others spend less than this share of a core.
QUIET = 0.2

# A peer that failed so often in a row is left out of its other rounds.
FAILURES_MOST = 2


class Rounds:
    """How often, how long, in which order, on which cores; how long to wait for quiet; and whom to
    tell of it."""

    def __init__(self, cores, count, seconds, seed, patience, say):
        self.cores, self.count, self.seconds = cores, count, seconds
        self.seed, self.patience, self.say = seed, patience, say

    def run(self, row, peers):
        """All figures of a row: a list of values for each figure of each peer."""
        order = random.Random(f"{self.seed}/{row.name}")
        taken = {peer.name: {} for peer in peers}
        failed = {}
        knowing = [peer for peer in peers if row.service in peer.services]
        able = [peer for peer in knowing if peer.can(row.service, row.conns)]
        left_out = {peer.name: peer.reason for peer in knowing if peer not in able}
        for number in range(self.count):
            for peer in order.sample(able, len(able)):
                if len(failed.get(peer.name, [])) >= FAILURES_MOST:
                    continue
                try:
                    note(taken[peer.name], self.once(row, peer))
                except Failed as failure:
                    failed.setdefault(peer.name, []).append(str(failure))
                self.say(f"{row.name}: round {number + 1} of {self.count}, {peer.name}")
        return {
            "row": row.name,
            "machine": machine.facts(),
            "rounds": self.count,
            "seconds": self.seconds,
            "seed": self.seed,
            "versions": {p.name: version(p) for p in knowing if version(p)},
            "peers": {name: values for name, values in taken.items() if values},
            "failed": {name: reasons[-1] for name, reasons in failed.items()},
            "left_out": left_out,
        }

    def once(self, row, peer):
        """One measurement; the least disturbed of several, if they were disturbed."""
        best = None
        for _ in range(1 + AGAIN_MOST):
            machine.wait_until_quiet(self.patience, QUIET)
            figures = measure(self.cores, row, peer, self.seconds)
            if best is None or disturbance(figures) < disturbance(best):
                best = figures
            if disturbance(best) <= OTHERS_MOST:
                break
        return best


def disturbance(figures):
    """The share of a core that others had; and more than all of one if no moment was clean."""
    return figures.get("others", 0) + (figures.get("clean", 1) == 0)


def note(taken, figures):
    for name, value in figures.items():
        taken.setdefault(name, []).append(rounded(value))


def rounded(value):
    """Four digits say all that such a measurement knows."""
    return value if isinstance(value, int) else float(f"{value:.4g}")


def save(result, folder=paths.RESULTS):
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / f"{result['row']}.json").write_text(flatten(text) + "\n")


def flatten(text):
    """A list of numbers belongs on one line."""

    def on_one_line(found):
        return "".join(found.group(0).split()).replace(",", ", ")

    return re.sub(r"\[[^][{}]*\]", on_one_line, text)


def load_all(folder=paths.RESULTS):
    """Every row that was measured, by name."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {result["row"]: result for result in found if "row" in result}
