"""The rows of the comparison: which service, under which load, and what counts in it."""

from dataclasses import dataclass

# What a row counts its cost by.
MESSAGE = "message"
CONNECTION = "connection"
GIBIBYTE = "GiB"
IDLE = "idle connection"
DATAGRAM = "datagram"
DELIVERY = "delivery"

ECHO, RELAY, UDP_ECHO, UDP_RELAY, HUB = "echo", "relay", "udp-echo", "udp-relay", "hub"

# An echo by oneloop alone, with one observer or another.
OBSERVED = "observed"

# Connections that play ping-pong beside the idle ones.
ACTIVE = 16


@dataclass(frozen=True)
class Row:
    """One comparison. `load` is what the load gets beside the target and the time."""

    name: str
    title: str
    service: str
    unit: str
    conns: int
    load: tuple
    # What the ratio to the best product is to be, at least; or what a unit may cost, at most.
    goal: float = 1.0
    most: float = 0.0
    quick: bool = False
    # A load of bulk needs a far end of its own instead of an echo.
    sink: bool = False

    def group(self):
        if self.unit == IDLE:
            return "idle"
        if self.unit == GIBIBYTE:
            return "stream"
        return "udp" if self.unit == DATAGRAM else self.service

    def of_settings(self):
        """Compares settings of oneloop, and no peers."""
        return self.service == OBSERVED


def echoes():
    """Messages over many connections, one or sixteen of each on the way."""
    goals = {1: 0.95, 64: 1.0, 1_000: 1.0, 9_000: 1.1}
    for depth in (1, 16):
        for conns, goal in goals.items():
            several = "connections" if conns > 1 else "connection"
            deep = f", {depth} on the way" if depth > 1 else ""
            yield Row(
                f"echo-64-{conns}-{depth}",
                f"echo, 64 B, {conns:,} {several}{deep}",
                ECHO,
                MESSAGE,
                conns,
                message(64, depth),
                goal=goal if depth == 1 else 1.0,
                quick=(conns, depth) in [(1, 1), (64, 1), (9_000, 1)],
            )
    yield Row(
        "echo-64k-64",
        "echo, 64 KiB, 64 connections",
        ECHO,
        MESSAGE,
        64,
        message(65_536, 1),
        quick=True,
    )
    once = message_once()
    yield Row("echo-churn", "echo, churn", ECHO, CONNECTION, 64, once, goal=1.05, quick=True)
    yield Row("echo-idle", "echo, 18,000 idle", ECHO, IDLE, 18_000, (), most=100, quick=True)


def relays():
    for conns, goal in {1: 0.95, 64: 1.0, 1_000: 1.0}.items():
        several = "connections" if conns > 1 else "connection"
        yield Row(
            f"relay-64-{conns}",
            f"relay, 64 B, {conns:,} {several}",
            RELAY,
            MESSAGE,
            conns,
            message(64, 1),
            goal=goal,
            quick=conns == 64,
        )
    large = message(65_536, 1)
    yield Row("relay-64k-16", "relay, 64 KiB, 16 connections", RELAY, MESSAGE, 16, large)
    for way, (word, goals) in STREAMS.items():
        for conns, goal in zip((1, 16), goals):
            yield Row(
                f"relay-stream-{conns}-{way}",
                f"relay, bulk, {conns} {'connections' if conns > 1 else 'connection'}, {word}",
                RELAY,
                GIBIBYTE,
                conns,
                stream(way),
                goal=goal,
                quick=way == "up",
                sink=True,
            )
    yield Row("relay-churn", "relay, churn", RELAY, CONNECTION, 64, message_once())
    yield Row("relay-idle", "relay, 9,000 idle pairs", RELAY, IDLE, 9_000, (), most=110, quick=True)


def datagrams():
    for service, goal in {UDP_ECHO: 1.0, UDP_RELAY: 1.05}.items():
        word = service.replace("udp-", "")
        for size in (64, 1_200):
            yield Row(
                f"{service}-{size}",
                f"UDP {word}, {size:,} B, 64 flows",
                service,
                DATAGRAM,
                64,
                message(size, 1),
                goal=goal,
                quick=size == 64,
            )
        yield Row(
            f"{service}-gso",
            f"UDP {word}, 1,200 B, 4 flows of a GSO sender",
            service,
            DATAGRAM,
            4,
            message(1_200, 32) + ("--gso",),
            goal=3.0 if service == UDP_ECHO else goal,
        )


def hubs():
    """Lines of one sender to all members of a hub, each when all have received the one before."""
    for members in (100, 1_000):
        yield Row(
            f"hub-64-{members}",
            f"hub, 64 B to {members:,} members",
            HUB,
            DELIVERY,
            members,
            ("--size", "64", "--depth", "1"),
            quick=members == 1_000,
        )


def observers():
    """What it costs to be looked at: the same load for each setting."""
    yield Row(
        "echo-observed",
        "echo, 64 B, 64 connections, by observer",
        OBSERVED,
        MESSAGE,
        64,
        message(64, 1),
    )


def message(size, depth):
    return ("--load", "echo", "--size", str(size), "--depth", str(depth))


# Whoever verifies each byte is slower than a good relay. Bytes that are only counted keep it busy.
STREAMS = {
    "up": ("one way", (2.5, 1.3)),
    "count": ("one way, only counted", (2.5, 1.3)),
    "both": ("both ways", (1.0, 1.0)),
}


def stream(way):
    if way == "count":
        return ("--load", "stream", "--direction", "up", "--no-verify")
    return ("--load", "stream", "--direction", way)


def message_once():
    """Connect, one message, close. From many addresses: a closed connection keeps its port for a
    while, and one address has not enough of them."""
    return ("--load", "churn", "--size", "64", "--source", "127.0.0.0/28")


ROWS = [*echoes(), *relays(), *hubs(), *datagrams(), *observers()]
