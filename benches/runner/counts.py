"""What one message costs in system calls and in instructions: figures that no noise can move.

Each is counted in a short run and in a longer one; what the longer one has more, divided by the
messages it has more, leaves out the start, the connecting and the end."""

import json
import re
import shutil
import tempfile
from pathlib import Path

from . import machine, paths
from .rounds import flatten, rounded
from .server import Failed
from .stand import Stand

ROWS = ["echo-64-1-1", "echo-64-64-1", "relay-64-1", "relay-64-64", "echo-observed"]
SHORT_SECONDS, LONG_SECONDS = 1.0, 3.0


def run(cores, chosen, peers, out, say):
    """Counts all that can be counted here, and shows it."""
    results = {"machine": machine.facts(), "counts": {}}
    for row in [row for row in chosen if row.name in ROWS]:
        # What looks into a server from time to time does so more often for each message here.
        able = [p for p in peers if p.can(row.service, row.conns) and not p.lookers]
        for peer in able:
            say(f"{row.name}: {peer.name}")
            known = count(cores, row, peer)
            if known:
                results["counts"].setdefault(row.name, {})[peer.name] = known
        say("")
        print(f"{plain(row, results['counts'].get(row.name, {}))}\n", flush=True)
    if out:
        save(results, out)
    return 0


def count(cores, row, peer):
    known = {}
    if shutil.which("strace"):
        calls = per_message(cores, row, peer, strace)
        known |= {"calls": calls} if calls else {}
    if shutil.which("valgrind") and peer.native:
        counted = per_message(cores, row, peer, callgrind)
        known |= {"instructions": counted["instructions"]} if counted else {}
    return known


def per_message(cores, row, peer, tool):
    """Each count of the longer run beyond the shorter one, for one message."""
    try:
        short, few = counted(cores, row, peer, tool, SHORT_SECONDS)
        long, many = counted(cores, row, peer, tool, LONG_SECONDS)
    except Failed:
        return {}
    more = {name: long[name] - short.get(name, 0) for name in long}
    each = {name: value / max(many - few, 1) for name, value in more.items()}
    return {name: rounded(value) for name, value in each.items() if value > 0.005}


def counted(cores, row, peer, tool, seconds):
    """The counts of one run, and its messages."""
    with tempfile.TemporaryDirectory(prefix="oneloop-bench-") as folder:
        wrapper, read = tool(Path(folder, "counted"))
        with Stand(cores, row, peer, wrapper) as stand:
            report = stand.load(row.load, row.conns, seconds, warmup=0).wait()
        if report.wrong():
            raise Failed(report.why())
        return read(), report.load("echo")["messages"]


def strace(path):
    """Counts the calls of all threads and processes."""

    def read():
        found = {}
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) >= 5 and re.fullmatch(r"[\d.]+", words[0]) and words[-1] != "total":
                found[words[-1]] = int(words[3])
        return found

    return ["strace", "-f", "-c", "-o", str(path)], read


def callgrind(path):
    """Counts the instructions of the program itself; the kernel's are not among them."""

    def read():
        found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
        if not found:
            raise Failed("nothing was counted")
        return {"instructions": int(found.group(1))}

    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}"], read


def cells(known):
    """The table of a row, headings first, the fewest calls on top."""
    yield ["server", "calls", "which", "instructions"]
    for name, counts in sorted(known.items(), key=lambda item: total(item[1])):
        calls = sorted(counts.get("calls", {}).items(), key=lambda call: (-call[1], call[0]))
        which = ", ".join(f"{call} {value:.2f}" for call, value in calls)
        instructions = counts.get("instructions")
        number = f"{instructions:.0f}" if instructions else "–"
        yield [name, f"{total(counts):.2f}", which, number]


def total(counts):
    return sum(counts.get("calls", {}).values())


def plain(row, known):
    lines = [f"{row.name}: {row.title}, for each message"]
    lines += [f"  {a:16} {b:>6}  {d:>6}  {c}" for a, b, c, d in cells(known)]
    return "\n".join(lines)


def save(results, folder):
    """Beside those of rows and peers that were not counted this time."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "counts.json"
    if path.exists():
        earlier = json.loads(path.read_text())["counts"]
        for row, known in earlier.items():
            results["counts"][row] = known | results["counts"].get(row, {})
    path.write_text(flatten(json.dumps(results, indent=1)) + "\n")


def load(folder=paths.RESULTS):
    path = folder / "counts.json"
    return json.loads(path.read_text()) if path.exists() else {"counts": {}}
