"""The load: `oneloop stress`, or `fanout` for a hub, and what it tells when it is over.

It reads what the server has spent at both ends of its window, so nothing is measured here."""

import json
import subprocess
import tempfile
import time
from pathlib import Path

from . import paths, rows
from .server import Failed, kill, start

# Beside the measured time: to connect, to warm up, to close.
SPARE_SECONDS = 60


class Load:
    """One run of the load generator of a service, on its own core."""

    def __init__(self, service, arguments, cpu, seconds):
        self.folder = tempfile.TemporaryDirectory(prefix="oneloop-bench-")
        self.report = Path(self.folder.name, "report.json")
        command = [*generator(service), *arguments, "--json", str(self.report)]
        self.said = tempfile.TemporaryFile()
        self.process = start(command, cpu, self.said)
        self.until = time.monotonic() + seconds + SPARE_SECONDS

    def wait(self):
        """Waits for its end, and reads its report. That it found errors is for the reader."""
        try:
            self.process.wait(max(0.0, self.until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failed("the load did not come to its end") from None
        finally:
            self.end()
        if not self.report.exists():
            raise Failed(f"the load failed: {self.last_words()}")
        report = Report(json.loads(self.report.read_text()))
        self.folder.cleanup()
        return report

    def end(self):
        if self.process.poll() is None:
            kill(self.process.pid, 9)
            self.process.wait()

    def last_words(self):
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else f"exit code {self.process.returncode}"


def generator(service):
    return [str(paths.FANOUT)] if service == rows.HUB else [str(paths.ONELOOP), "stress"]


class Report:
    """The figures that are needed here, out of all that the load generator tells."""

    def __init__(self, told):
        self.told = told
        self.server = told.get("server") or {}

    def load(self, kind):
        """What one of its loads came to."""
        return next(load for load in self.told["loads"] if load["load"] == kind)

    def cost(self, name):
        """What the server spent for a unit; without it there is nothing to compare."""
        value = self.server.get(name)
        if value is None:
            raise Failed(self.why() or "nothing came through")
        return value

    def wrong(self):
        """How much of the work went wrong; datagrams may be lost."""
        loads = self.told["loads"]
        failures = sum(one["count"] for load in loads for one in load["failures"])
        deaths = sum(load["deaths"]["count"] for load in loads)
        return failures + deaths + sum(load["integrity_errors"] for load in loads)

    def why(self):
        """The first thing that went wrong, in words."""
        for load in self.told["loads"]:
            for one in load["failures"]:
                return f"{one['count']:,} times {one['stage']}: {one['error']}"
            if load["deaths"]["count"]:
                return f"{load['deaths']['count']:,} connections were ended by the server"
            if load["integrity_errors"]:
                return f"{load['integrity_errors']:,} integrity errors"
        return ""
