"""A program under measurement: starts it on its core, watches what it spends, and ends it."""

import os
import resource
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from .peers import values

# Below the ports that the system gives to those who connect. Each server gets the next one, so that
# what still lingers of an earlier one is in nobody's way.
FIRST_PORT, LAST_PORT = 20_000, 29_999
START_SECONDS = 10
END_SECONDS = 3

next_port = FIRST_PORT + os.getpid() % 5_000


class Failed(Exception):
    """A measurement that could not be made; the text says why."""


def free_port():
    """A port on which nobody listens, on TCP or UDP."""
    global next_port
    for _ in range(LAST_PORT - FIRST_PORT):
        next_port = next_port + 1 if next_port < LAST_PORT else FIRST_PORT
        if not is_bound(next_port, "tcp") and not is_bound(next_port, "udp"):
            return next_port
    raise Failed("no free port")


def is_bound(port, transport):
    """Whether a socket listens there. Read from the system, so that nobody is disturbed."""
    ending, state = f":{port:04X}", "0A" if transport == "tcp" else "07"
    for table in (f"/proc/net/{transport}", f"/proc/net/{transport}6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, status = line.split()[:4]
            if local.endswith(ending) and status == state:
                return True
    return False


def start(
    command, cpu, stderr, wrapper=(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
):
    """Starts a program in a session of its own, bound to a core, with all descriptors allowed."""

    def prepare():
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        os.sched_setaffinity(0, {cpu})

    return subprocess.Popen(
        [*wrapper, *command],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=prepare,
    )


class Server:
    """A peer that serves. Use it in a `with`: at the end nothing of it is left."""

    def __init__(self, peer, service, cpu, target=0, wrapper=()):
        self.peer, self.service, self.cpu = peer, service, cpu
        self.target, self.wrapper = target, wrapper
        self.transport = "udp" if service.startswith("udp") else "tcp"

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="oneloop-bench-")
        self.port = free_port()
        self.known = values(
            self.folder.name, self.port, self.target, self.service, metrics=free_port()
        )
        self.peer.write_files(Path(self.folder.name), self.known)
        command = self.peer.command(self.service, self.known)
        self.said = tempfile.TemporaryFile()
        self.process = start(command, self.cpu, self.said, self.wrapper)
        try:
            self.wait_until_ready()
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.end_politely()
        for pid in session(self.process.pid):
            kill(pid, signal.SIGKILL)
        self.process.wait()
        self.said.close()
        self.folder.cleanup()

    def end_politely(self):
        """The one that is not a wrapper is asked to end, so that a wrapper can sum up."""
        kill(self.main(), signal.SIGTERM)
        until = time.monotonic() + END_SECONDS * (5 if self.wrapper else 1)
        while time.monotonic() < until and self.process.poll() is None:
            time.sleep(0.01)

    def wait_until_ready(self):
        until = time.monotonic() + START_SECONDS * (3 if self.wrapper else 1)
        while not is_bound(self.port, self.transport):
            if self.process.poll() is not None:
                raise Failed(f"did not start: {self.last_words()}")
            if time.monotonic() > until:
                raise Failed("did not listen in time")
            time.sleep(0.02)
        # It listens; whatever it still prepares has this long.
        time.sleep(0.1)

    def last_words(self):
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else f"exit code {self.process.returncode}"

    def main(self):
        """The server itself: below a wrapper like strace it is the only child."""
        if not self.wrapper:
            return self.process.pid
        children = children_of(self.process.pid)
        return children[0] if children else self.process.pid

    def members(self):
        """Its process, and all that this one has started and not yet lost."""
        return tree(self.process.pid)

    def cpu_seconds(self):
        """What all its threads and processes have spent so far, those that ended included."""
        live = sum(spent(pid) for pid in self.members())
        return live + reaped(self.process.pid)


def session(leader):
    """Every process that was started in this session, orphans too."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and session_of(entry.name) == leader:
            found.append(int(entry.name))
    return found


def session_of(pid):
    known = fields(pid)
    return int(known[3]) if known else 0


def tree(pid):
    found = [pid]
    for child in children_of(pid):
        found += tree(child)
    return found


def fields(pid):
    """What /proc tells of a process, from its state on; nothing if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def children_of(pid):
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def spent(pid):
    """The time of each thread, to the nanosecond."""
    total = 0
    try:
        for task in os.scandir(f"/proc/{pid}/task"):
            total += int(Path(task.path, "schedstat").read_text().split()[0])
    except OSError:
        pass
    return total / 1e9


def reaped(pid):
    """The time of its children that have ended."""
    known = fields(pid)
    ticks = int(known[13]) + int(known[14]) if known else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def kill(pid, how):
    try:
        os.kill(pid, how)
    except OSError:
        pass
