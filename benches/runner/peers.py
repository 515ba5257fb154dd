"""The programs that are compared: what each can do, how it is started, when it is left out."""

import functools
import re
import shutil
import string
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import paths

OWN = "own"
PRODUCT = "product"
FLOOR = "floor"
# oneloop with other options: compared with oneloop itself.
SETTING = "setting"


@dataclass(frozen=True)
class Peer:
    """One program. `services` maps a service to its command line."""

    name: str
    kind: str
    services: dict
    # Beyond so many connections it is left out, for the reason told.
    most: int = 1_000_000
    reason: str = ""
    # It takes its memory at the start, for as many connections as it may ever have: what it grows
    # by says nothing.
    reserves: bool = False
    # Files that are written before it starts: name to template.
    files: dict = field(default_factory=dict)
    # What it sets differently in its templates.
    extra: dict = field(default_factory=dict)
    # Its system calls can be counted, and its instructions too: one native process.
    native: bool = True
    # It is left out when this build of oneloop does not have the option yet.
    needs: str = ""
    # Who looks at it meanwhile, as arguments of lookers.py.
    lookers: str = ""
    version: str = ""

    def can(self, service, conns):
        return service in self.services and conns <= self.most

    def command(self, service, values):
        words = self.services[service].split()
        return [string.Template(word).substitute(values | self.extra) for word in words]

    def looked_at_by(self, values):
        """The arguments of its lookers."""
        return [string.Template(word).substitute(values) for word in self.lookers.split()]

    def write_files(self, folder, values):
        for name, template in self.files.items():
            text = string.Template((paths.CONF / template).read_text())
            (folder / name).write_text(text.substitute(values | self.extra))

    def is_there(self, values):
        """Whether every program of its command lines exists."""
        return all(
            shutil.which(self.command(service, values)[0]) for service in self.services
        )


def values(folder="", port=0, target=0, service="", metrics=0):
    """What the templates may name."""
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    datagrams = service.startswith("udp")
    modular = shutil.which("nginx") and Path(module).is_file()
    return {
        "built": paths.BUILT,
        "cargo": paths.BUILT / "release",
        "oneloop": paths.ONELOOP,
        "peers": paths.PEERS,
        "folder": folder,
        "port": port,
        "metrics": metrics,
        "target": target,
        "splice": "",
        "module": f"load_module {module};" if modular else "",
        "listen": "udp" if datagrams else "backlog=4096",
        "half_close": "" if datagrams else "proxy_half_close on;",
    }


def setting(name, options, lookers=""):
    """oneloop as it serves the row of observers, with these options."""
    line = f"$oneloop echo {options} 127.0.0.1:$port"
    needs = "--admin" if "--admin" in options else ""
    return Peer(name, SETTING, {"observed": line}, needs=needs, lookers=lookers)


# Both listeners of the admin endpoint.
WATCHABLE = "-q --admin unix:$folder/admin.sock --metrics 127.0.0.1:$metrics"

PROCESS_EACH = "a process for each connection"

PEERS = [
    Peer(
        "oneloop",
        OWN,
        {
            "echo": "$oneloop echo -q 127.0.0.1:$port",
            "relay": "$oneloop relay -q 127.0.0.1:$port 127.0.0.1:$target",
            "udp-echo": "$oneloop echo -q udp://127.0.0.1:$port",
            "udp-relay": "$oneloop relay -q udp://127.0.0.1:$port udp://127.0.0.1:$target",
            "hub": "$oneloop hub -q 127.0.0.1:$port",
            "observed": "$oneloop echo -q 127.0.0.1:$port",
        },
        version="$oneloop --version",
    ),
    Peer(
        "oneloop busy-poll",
        OWN,
        {
            "echo": "$oneloop echo -q --busy-poll 100us 127.0.0.1:$port",
            "relay": "$oneloop relay -q --busy-poll 100us 127.0.0.1:$port 127.0.0.1:$target",
        },
        most=1,
        reason="it is for few connections",
        needs="--busy-poll",
    ),
    setting("admin and metrics", WATCHABLE),
    setting("scraped", WATCHABLE, "$folder/admin.sock --metrics $metrics --scrapes 1"),
    setting("event viewer", WATCHABLE, "$folder/admin.sock --viewers 1"),
    setting("debug log", "-v"),
    setting("access log", "-q --access-log logfmt"),
    setting("recorder in memory", "-q --record 16M"),
    setting("watch of one", WATCHABLE, "$folder/admin.sock --watch"),
    setting("recorder in files", "-q --record $folder/recording,limit=64M"),
    Peer("C epoll", FLOOR, {"echo": "$built/floor-echo $port"}),
    Peer("C copy", FLOOR, {"relay": "$built/floor-relay copy $port $target"}),
    Peer("C splice", FLOOR, {"relay": "$built/floor-relay splice $port $target"}),
    Peer("C recvfrom", FLOOR, {"udp-echo": "$built/floor-udp plain $port"}),
    Peer("C gro", FLOOR, {"udp-echo": "$built/floor-udp gro $port"}),
    Peer(
        "tokio",
        PRODUCT,
        {
            "echo": "$cargo/tokio-echo $port",
            "relay": "$cargo/tokio-relay $port $target",
            "udp-echo": "$cargo/tokio-udp $port",
            "udp-relay": "$cargo/tokio-udp $port $target",
            "hub": "$cargo/tokio-hub $port",
        },
        version="locked tokio",
    ),
    Peer(
        "tokio splice",
        PRODUCT,
        {"relay": "$cargo/tokio-splice $port $target"},
        most=3_300,
        reason="it holds six descriptors for each pair",
    ),
    Peer(
        "libuv",
        PRODUCT,
        {
            "echo": "$built/uv-echo $port",
            "relay": "$built/uv-relay $port $target",
            "udp-echo": "$built/uv-udp $port",
        },
        version="pkg-config --modversion libuv",
    ),
    Peer(
        "go",
        PRODUCT,
        {
            "echo": "$built/go-echo tcp $port",
            "relay": "$built/go-relay $port $target",
            "udp-echo": "$built/go-echo udp $port",
        },
        native=False,
        version="go version",
    ),
    Peer(
        "node",
        PRODUCT,
        {
            "echo": "node $peers/echo.js tcp $port",
            "relay": "node $peers/relay.js $port $target",
            "udp-echo": "node $peers/echo.js udp $port",
        },
        native=False,
        version="node --version",
    ),
    Peer(
        "haproxy",
        PRODUCT,
        {"relay": "haproxy -db -f $folder/haproxy.cfg"},
        files={"haproxy.cfg": "haproxy.cfg"},
        version="haproxy -v",
    ),
    Peer(
        "haproxy splice",
        PRODUCT,
        {"relay": "haproxy -db -f $folder/splice.cfg"},
        files={"splice.cfg": "haproxy.cfg"},
        extra={"splice": "option splice-auto"},
        version="haproxy -v",
    ),
    Peer(
        "nginx",
        PRODUCT,
        {
            "relay": "nginx -c $folder/nginx.conf -p $folder",
            "udp-relay": "nginx -c $folder/nginx.conf -p $folder",
        },
        files={"nginx.conf": "nginx.conf"},
        native=False,
        version="nginx -v",
    ),
    Peer(
        "pen",
        PRODUCT,
        {"relay": "pen -f -r -x 9500 127.0.0.1:$port 127.0.0.1:$target"},
        reserves=True,
        version="pen -V",
    ),
    Peer(
        "rinetd",
        PRODUCT,
        {"relay": "rinetd -f -c $folder/rinetd.conf"},
        files={"rinetd.conf": "rinetd.conf"},
        most=500,
        reason="it waits with select",
        version="rinetd --version",
    ),
    Peer(
        "socat",
        PRODUCT,
        {
            "echo": "socat TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,backlog=4096,fork PIPE",
            "relay": "socat TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,backlog=4096,nodelay,fork "
            "TCP:127.0.0.1:$target,nodelay",
        },
        most=64,
        reason=PROCESS_EACH,
        native=False,
        version="socat -V",
    ),
    Peer(
        "ncat",
        PRODUCT,
        {"echo": "ncat -l -k -m 1000 -e /bin/cat 127.0.0.1 $port"},
        most=64,
        reason=PROCESS_EACH,
        native=False,
        version="ncat --version",
    ),
    Peer(
        "ncat broker",
        PRODUCT,
        {"hub": "ncat -l --broker -m 1010 127.0.0.1 $port"},
        most=1_000,
        reason="it waits with select",
        version="ncat --version",
    ),
]


def present():
    """The peers that can be started here."""
    known = values()
    return [peer for peer in PEERS if peer.is_there(known) and not lacks_option(peer)]


def another(path):
    """Another build of oneloop, as a peer of this one."""
    own = PEERS[0]
    services = {name: line.replace("$oneloop", "$other") for name, line in own.services.items()}
    return Peer("other build", OWN, services, extra={"other": path})


def absent():
    here = {peer.name for peer in present()}
    return [peer.name for peer in PEERS if peer.name not in here]


def version(peer):
    """The version of a program, if it tells one; of a library, as it was built."""
    if peer.version.startswith("locked "):
        return locked(peer.version.removeprefix("locked "))
    return version_of(peer.version) if peer.version else ""


def locked(crate):
    lock = (paths.PEERS / "Cargo.lock").read_text()
    found = re.search(rf'name = "{crate}"\nversion = "([^"]+)"', lock)
    return found.group(1) if found else ""


@functools.cache
def version_of(line):
    """The first number with a dot that it tells of itself, or nothing."""
    command = string.Template(line).substitute(values()).split()
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    found = re.search(r"\d+\.\d+(\.\d+)*", done.stdout + done.stderr)
    return found.group(0) if found else ""


def lacks_option(peer):
    """Whether this build of oneloop does not have an option yet."""
    return bool(peer.needs) and peer.needs not in help_text()


@functools.cache
def help_text():
    done = subprocess.run([paths.ONELOOP, "echo", "--help"], capture_output=True, text=True)
    return done.stdout
