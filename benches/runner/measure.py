"""One measurement: a server, a load, and what the server spent for each unit of work."""

import time

from . import rows
from .pace import Pace
from .server import Failed
from .stand import Stand

# A load of which more than this share went wrong did not measure what it says.
WRONG_MOST = 0.001

# All idle connections speak at once every so often. The last time is at the end of the window, at
# which their memory is read: by then each has been used.
BURSTS = 3

# What counts as work in each step of a run.
WORK = {
    rows.MESSAGE: "answered",
    rows.DATAGRAM: "answered",
    rows.CONNECTION: "exchanged",
    rows.GIBIBYTE: "bytes",
    rows.DELIVERY: "delivered",
}


def measure(cores, row, peer, seconds):
    """The figures of one peer in one row, once."""
    with Stand(cores, row, peer) as stand:
        if row.unit == rows.IDLE:
            return idle(stand, seconds)
        with stand.watched() as others, Pace(cores, stand.server) as pace:
            load, began = stand.load(row.load, row.conns, seconds), time.monotonic()
            report = load.wait()
        stand.check_lookers()
        figures = work(row, report)
        line = report.told["timeline"]
        factor, clean = pace.correction(began, line["step_s"], line[WORK[row.unit]])
        for part in ("cost", "both"):
            if part in figures:
                figures[part] *= factor
        figures["clean"] = clean * line["step_s"]
        figures["busy"] = report.server["cpu_share"]
        figures["others"] = others.share()
        return figures


def work(row, report):
    """Cost and rate by the unit of the row."""
    if row.unit == rows.CONNECTION:
        load, field, latency = report.load("churn"), "exchanges", "lifetime_us"
        cost = report.cost("cpu_us_per_connection")
    elif row.unit == rows.GIBIBYTE:
        return stream(report)
    elif row.unit == rows.DELIVERY:
        return deliveries(report)
    else:
        load, field, latency = report.load("echo"), "messages", "latency_us"
        cost = report.cost("cpu_us_per_message")
    if report.wrong() > WRONG_MOST * load[field]:
        raise Failed(report.why())
    return {
        "cost": cost,
        "rate": load[f"{field}_per_second"],
        "p50": load[latency]["p50"],
        "p99": load[latency]["p99"],
        "lost": load["lost"],
    }


def deliveries(report):
    """What each member received counts. A load that misses one ends without a report."""
    load = report.load("fanout")
    return {
        "cost": report.cost("cpu_us_per_delivery"),
        "rate": load["deliveries_per_second"],
        "p50": load["latency_us"]["p50"],
        "p99": load["latency_us"]["p99"],
    }


def stream(report):
    """What came out of the relay counts, at both of its sides; each byte of it was verified."""
    loads = [report.load("stream"), report.load("sink")]
    received = sum(load["bytes_received"] for load in loads) / 2**30
    if not received:
        raise Failed(report.why() or "nothing came through")
    seconds = loads[0]["seconds"]
    cost, share = report.cost("cpu_s"), report.told["generator"]["cpu_share"]
    return {
        "cost": cost / received,
        # Who works off a packet, the relay or the load's core, is decided by who is quicker: so what
        # both spent is told too.
        "both": (cost + share * seconds) / received,
        "rate": received / seconds,
        "wrong": report.wrong(),
    }


def idle(stand, seconds):
    """Memory with all connections open and used; the latency beside them, and alone."""
    row = stand.row
    every = max(seconds, 2)
    bursts = ("--load", "echo", "--burst", "--burst-interval", f"{every}s")
    memory = stand.load(bursts, row.conns, every * BURSTS, warmup=0).wait()
    if memory.wrong() > WRONG_MOST * row.conns:
        raise Failed(memory.why())
    alone = stand.load(rows.message(64, 1), rows.ACTIVE, seconds).wait()
    held = ("--load", f"idle={row.conns}", "--active-conns", str(rows.ACTIVE), "--hold", "0s")
    beside = stand.load(held, row.conns, seconds).wait()
    return {
        "cost": memory.cost("user_bytes_per_connection_used"),
        "resident": memory.server["base"]["resident_bytes"],
        "resident_full": memory.server["end"]["resident_bytes"],
        "p50": beside.load("echo")["latency_us"]["p50"],
        "p99": beside.load("echo")["latency_us"]["p99"],
        "p50_alone": alone.load("echo")["latency_us"]["p50"],
    }
