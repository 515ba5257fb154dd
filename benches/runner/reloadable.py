"""Relays that read their configuration again: oneloop, haproxy and nginx, each with the same ten
routes, of which one changes. Starts them, asks for a reload, and measures their processes."""

import functools
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from . import paths
from .peers import values
from .server import END_SECONDS, START_SECONDS, Failed, free_port, is_bound, kill, session, start

ROUTES = 10
# The route that a reload changes.
CHANGED = 3

# Room for all connections of a run, each with two descriptors.
MAX_CONNS = 4096

LONG_SECONDS = 3600


@dataclass(frozen=True)
class Plan:
    """What a configuration says: a port for each route, and the target of all but one."""

    ports: tuple
    target: int
    # What the changed route has.
    changed_target: int
    changed_timeout: int = LONG_SECONDS

    def routes(self):
        """The port, the target and the idle timeout of each route."""
        for number, port in enumerate(self.ports):
            if number == CHANGED:
                yield number, port, self.changed_target, self.changed_timeout
            else:
                yield number, port, self.target, LONG_SECONDS


def oneloop_config(plan, folder):
    lines = [f"[process]\nmax-connections = {MAX_CONNS}"]
    for number, port, target, seconds in plan.routes():
        lines.append(f'[route.r{number}]\nlisten = "127.0.0.1:{port}"')
        lines.append(f'relay = ["127.0.0.1:{target}"]\nidle-timeout = "{seconds}s"')
    return "\n".join(lines) + "\n"


def haproxy_config(plan, folder):
    lines = [
        "global",
        "    nbthread 1",
        f"    maxconn {MAX_CONNS}",
        f"    stats socket {folder}/haproxy.sock mode 600 level admin expose-fd listeners",
        "defaults",
        "    mode tcp",
        "    timeout connect 5s",
    ]
    for number, port, target, seconds in plan.routes():
        lines.append(f"listen r{number}")
        lines.append(f"    bind 127.0.0.1:{port} backlog {MAX_CONNS}")
        lines.append(f"    timeout client {seconds}s\n    timeout server {seconds}s")
        lines.append(f"    server target 127.0.0.1:{target}")
    return "\n".join(lines) + "\n"


def nginx_config(plan, folder):
    lines = [
        values()["module"],
        "daemon off;\nworker_processes 1;",
        f"worker_rlimit_nofile {4 * MAX_CONNS};",
        f"pid {folder}/nginx.pid;\nerror_log stderr crit;",
        f"events {{ worker_connections {2 * MAX_CONNS}; }}",
        "stream {",
    ]
    for _, port, target, seconds in plan.routes():
        lines.append(f"  server {{ listen 127.0.0.1:{port} backlog={MAX_CONNS};")
        lines.append(f"    proxy_timeout {seconds}s; proxy_pass 127.0.0.1:{target}; }}")
    return "\n".join([*lines, "}"]) + "\n"


@dataclass(frozen=True)
class Program:
    name: str
    config: callable
    command: tuple
    # What asks its first process for a reload.
    reload: int
    version: tuple

    def is_there(self):
        return bool(shutil.which(self.command[0]))

    @functools.cached_property
    def shown_version(self):
        """The first words of its version."""
        ran = subprocess.run([self.command[0], *self.version], capture_output=True, text=True)
        return version_of(ran.stdout + ran.stderr)


def version_of(text):
    """The first word that begins with a digit, or follows a slash."""
    for word in text.replace("/", " ").replace("-", " ").split():
        if word[0].isdigit():
            return word
    return ""


PROGRAMS = [
    Program(
        "oneloop",
        oneloop_config,
        (str(paths.ONELOOP), "serve", "-q", "--config", "$file"),
        signal.SIGHUP,
        ("--version",),
    ),
    # USR2: the master starts a worker that takes over the listeners, and asks the old worker to
    # end when its connections have ended, as -sf does.
    Program(
        "haproxy -W",
        haproxy_config,
        ("haproxy", "-W", "-q", "-f", "$file"),
        signal.SIGUSR2,
        ("-v",),
    ),
    # HUP is what `nginx -s reload` sends.
    Program(
        "nginx stream",
        nginx_config,
        ("nginx", "-c", "$file", "-p", "$folder"),
        signal.SIGHUP,
        ("-v",),
    ),
]


class Running:
    """A program that serves a plan. Use it in a `with`: at the end nothing of it is left."""

    def __init__(self, program, target, cpu):
        self.program, self.cpu = program, cpu
        ports = tuple(free_port() for _ in range(ROUTES))
        self.plan = Plan(ports, target, target)

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="oneloop-bench-")
        self.file = Path(self.folder.name, "config")
        self.write()
        known = {"$file": str(self.file), "$folder": self.folder.name}
        command = [known.get(word, word) for word in self.program.command]
        self.said = tempfile.TemporaryFile()
        self.process = start(command, self.cpu, self.said)
        try:
            self.wait_until_ready()
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        kill(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        for pid in session(self.process.pid):
            kill(pid, signal.SIGKILL)
        self.process.wait()
        self.said.close()
        self.folder.cleanup()

    def write(self):
        self.file.write_text(self.program.config(self.plan, self.folder.name))

    def wait_until_ready(self):
        until = time.monotonic() + START_SECONDS
        while not all(is_bound(port, "tcp") for port in self.plan.ports):
            if self.process.poll() is not None or time.monotonic() > until:
                self.said.seek(0)
                said = self.said.read().decode(errors="replace").strip()
                raise Failed(f"{self.program.name} did not start: {said[-200:]}")
            time.sleep(0.02)

    def reload(self, **changes):
        """Changes the route in the file, and asks for a reload. Does not wait for it."""
        self.plan = replace(self.plan, **changes)
        self.write()
        kill(self.process.pid, self.program.reload)

    def held(self):
        """Its processes, their resident memory, and the same with shared pages counted once."""
        pids = session(self.process.pid)
        known = [memory_of(pid) for pid in pids]
        known = [each for each in known if each]
        return {
            "processes": len(known),
            "resident": sum(resident for resident, _ in known),
            "proportional": sum(proportional for _, proportional in known),
        }


def memory_of(pid):
    """Resident and proportional memory in bytes; nothing if it has ended."""
    try:
        return memory_in(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return None


def memory_in(text):
    """Rss and Pss of the text of smaps_rollup, in bytes; nothing of a process without memory."""
    words = text.split()
    if "Rss:" not in words or "Pss:" not in words:
        return None
    return tuple(int(words[words.index(name) + 1]) * 1024 for name in ("Rss:", "Pss:"))
