"""What stands there for a measurement: a server on one core; its target and the load on another."""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

from . import machine, paths, rows
from .load import Load
from .peers import PEERS
from .server import Failed, Server, free_port, start

# A relay needs somebody to relay to. It is the same program for all peers.
TARGETS = {rows.RELAY: rows.ECHO, rows.UDP_RELAY: rows.UDP_ECHO}
TARGET = PEERS[0]

WARMUP_SECONDS = 0.5


@dataclass(frozen=True)
class Cores:
    server: int
    load: int


class Stand:
    """Use it in a `with`: at the end nothing of it is left."""

    def __init__(self, cores, row, peer, wrapper=()):
        self.cores, self.row, self.peer, self.wrapper = cores, row, peer, wrapper
        self.server = self.behind = self.running = self.lookers = None
        self.sink = 0

    def __enter__(self):
        try:
            target = self.prepare_target()
            service, core = self.row.service, self.cores.server
            server = Server(self.peer, service, core, target, self.wrapper)
            self.server = server.__enter__()
            if self.peer.lookers:
                words = self.peer.looked_at_by(self.server.known)
                self.lookers = Lookers(words, self.cores.load)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.running:
            self.running.end()
        if self.lookers:
            self.lookers.end()
        for server in (self.server, self.behind):
            if server:
                server.__exit__()

    def prepare_target(self):
        """The port that a relay relays to: of an echo, or of the load's own sink."""
        if self.row.sink:
            self.sink = free_port()
            return self.sink
        if self.row.service not in TARGETS:
            return 0
        service = TARGETS[self.row.service]
        self.behind = Server(TARGET, service, self.cores.load).__enter__()
        return self.behind.port

    def load(self, arguments, conns, seconds, warmup=WARMUP_SECONDS):
        """Starts a load of so many connections; it is measured for so long."""
        words = [f"{self.server.transport}://127.0.0.1:{self.server.port}", *arguments]
        words += ["--pid", str(self.server.main())]
        words += ["--conns", str(conns), "--duration", milliseconds(seconds)]
        words += ["--warmup", milliseconds(warmup)] if warmup else []
        words += ["--sink", f"127.0.0.1:{self.sink}"] if self.sink else []
        self.running = Load(self.row.service, words, self.cores.load, seconds + warmup)
        return self.running

    def check_lookers(self):
        """Ends those that look into the server. If one of them failed, nobody looked."""
        if self.lookers:
            counted, self.lookers = self.lookers.end(), None
            if "failure" in counted:
                raise Failed(counted["failure"])

    def watched(self):
        """Tells afterwards how busy others kept the machine."""
        return Others(self)


class Lookers:
    """Clients that look into the server meanwhile, in a process of their own."""

    def __init__(self, words, cpu):
        command = [sys.executable, str(paths.LOOKERS), *words]
        pipe = subprocess.PIPE
        self.process = start(command, cpu, subprocess.DEVNULL, stdin=pipe, stdout=pipe)
        if self.process.stdout.readline() != b"ready\n":
            self.end()
            raise Failed("the clients that look into it did not start")

    def end(self):
        """Ends them; returns what they have counted."""
        told, _ = self.process.communicate()
        return json.loads(told) if told else {"failure": "they told nothing"}


class Others:
    """What the machine did for others than this stand, meanwhile."""

    def __init__(self, stand):
        self.stand = stand

    def __enter__(self):
        self.began, self.before = time.monotonic(), self.spent()
        return self

    def __exit__(self, *_):
        self.seconds, self.after = time.monotonic() - self.began, self.spent()

    def share(self):
        """In cores."""
        return max(0.0, (self.after - self.before) / self.seconds)

    def spent(self):
        """By the whole machine, without the servers, and the loads that have come to their end."""
        servers = [self.stand.server, self.stand.behind]
        ours = sum(server.cpu_seconds() for server in servers if server)
        own, children = (resource.getrusage(who) for who in RUNNER)
        ours += own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        return machine.busy_seconds() - ours


# This process, and what it has waited for.
RUNNER = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def milliseconds(seconds):
    return f"{round(seconds * 1000)}ms"
