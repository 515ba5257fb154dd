"""From all figures of a row to what is shown: medians, spans, and ratios to the best product."""

import statistics
from dataclasses import dataclass

from .peers import FLOOR, OWN, PEERS, PRODUCT

RESERVING = {peer.name for peer in PEERS if peer.reserves}
KINDS = {peer.name: peer.kind for peer in PEERS}
OWN_NAME = PEERS[0].name
ORDER = [*KINDS, "other build"]

# Of these more is better; of all others less.
MORE_IS_BETTER = {"rate"}


@dataclass(frozen=True)
class Figure:
    median: float
    least: float
    most: float


class Summary:
    """One row: each peer's figures, and the best product of each."""

    def __init__(self, result):
        self.result = result
        self.is_idle = result["row"].endswith("-idle")
        self.peers = {
            name: {figure: of(values) for figure, values in taken.items()}
            for name, taken in result["peers"].items()
        }

    def names(self, by="cost"):
        """The best first."""
        sign = -1 if by in MORE_IS_BETTER else 1
        return sorted(
            (name for name in self.peers if by in self.peers[name]),
            key=lambda name: (sign * self.peers[name][by].median, ORDER.index(name)),
        )

    def best_product(self, by="cost"):
        products = [name for name in self.names(by) if is_product(name)]
        if self.is_idle:
            products = [name for name in products if name not in RESERVING]
        return products[0] if products else None

    def best_floor(self, by="cost"):
        floors = [name for name in self.names(by) if is_floor(name)]
        return floors[0] if floors else None

    def ratio(self, name, by="cost"):
        """How many times better than the best product; None if there is nothing to compare."""
        best = self.best_product(by)
        if not best or name not in self.peers or by not in self.peers[name]:
            return None
        own, other = self.peers[name][by].median, self.peers[best][by].median
        if by in MORE_IS_BETTER:
            own, other = other, own
        return other / own if own > 0 else None

    def more(self, name):
        """What a unit costs more than with oneloop as it is: the median over the rounds, in each of
        which both were measured. None if there is nothing to compare."""
        own = self.result["peers"].get(OWN_NAME, {}).get("cost", [])
        costs = self.result["peers"][name]["cost"]
        pairs = [cost / plain for cost, plain in zip(costs, own) if plain > 0]
        return statistics.median(pairs) - 1 if pairs and name != OWN_NAME else None

    def median(self, name, figure):
        known = self.peers.get(name, {}).get(figure)
        return known.median if known else None


def of(values):
    return Figure(statistics.median(values), min(values), max(values))


def is_own(name):
    return KINDS.get(name, OWN) == OWN


def is_product(name):
    return KINDS.get(name) == PRODUCT


def is_floor(name):
    return KINDS.get(name) == FLOOR
