"""Clients that look into a daemon: list its connections, scrape its metrics, view its events.

A program of its own, so that it shares no interpreter with whoever measures. It says `ready` when
all clients had an answer, ends with its standard input, and prints what it has counted as JSON."""

import argparse
import json
import os
import select
import socket
import sys
import threading
import time

# A chunked body ends with a chunk of no bytes; no JSON and no metrics contain a carriage return.
LAST_CHUNK = b"\r\n0\r\n\r\n"

# A viewer that does not read has room for so few bytes that it blocks the daemon soon.
SMALL_BUFFER = 4096

PATIENCE_SECONDS = 10


def connect(address, receive_buffer=None):
    """A connection to a Unix socket, or to a port of this host."""
    is_path = address.startswith("/")
    made = socket.socket(socket.AF_UNIX if is_path else socket.AF_INET)
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(PATIENCE_SECONDS)
    made.connect(address if is_path else ("127.0.0.1", int(address)))
    return made


def request(address, path):
    host = "localhost" if address.startswith("/") else f"127.0.0.1:{address}"
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


class Client:
    """Sends requests over one connection, and receives their answers."""

    def __init__(self, address):
        self.address, self.socket = address, connect(address)

    def try_post(self, path):
        """Whether a change was made. The answer has a short body of a known length."""
        host = "localhost"
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
        self.socket.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.more()
        head, _, rest = answer.partition(b"\r\n\r\n")
        while len(rest) < (content_length(head) or 0):
            rest += self.more()
        return head.startswith(b"HTTP/1.1 200 ")

    def get(self, path):
        """Receives an answer as a whole; returns its length."""
        self.socket.sendall(request(self.address, path))
        head, length, ending = b"", 0, b""
        while b"\r\n\r\n" not in head:
            head += self.more()
        if not head.startswith(b"HTTP/1.1 200 "):
            raise OSError(f"{path}: {head[:100]!r}")
        rest = head.partition(b"\r\n\r\n")[2]
        size = content_length(head)
        if size is not None:
            length = len(rest)
            while length < size:
                length += len(self.more())
            return length
        length, ending = len(rest), b"\r\n" + rest
        while not ending.endswith(LAST_CHUNK):
            received = self.more()
            length += len(received)
            ending = (ending + received)[-len(LAST_CHUNK) :]
        return length

    def more(self):
        received = self.socket.recv(256 * 1024)
        if not received:
            raise OSError("closed by the daemon")
        return received


def content_length(head):
    for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return None


class Lookers:
    """All clients, each with a thread, and what they count."""

    def __init__(self):
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.counts = {}
        self.failure = ""
        self.threads, self.begun = [], []

    def start(self, clients, work, *arguments):
        for _ in range(clients):
            has_begun = threading.Event()
            words = (work, arguments, has_begun.set)
            thread = threading.Thread(target=self.run, args=words, daemon=True)
            self.begun.append(has_begun)
            self.threads.append(thread)
            thread.start()

    def run(self, work, arguments, begun):
        try:
            work(*arguments, begun)
        except OSError as error:
            self.failure = self.failure or f"{work.__name__}: {error}"
        begun()

    def count(self, **more):
        with self.lock:
            for name, value in more.items():
                self.counts[name] = self.counts.get(name, 0) + value

    def count_anew(self):
        """Forgets what was counted so far; returns the time from which on everything counts."""
        with self.lock:
            self.counts.clear()
            return time.monotonic()

    def list(self, address, begun):
        """Asks for all connections, again and again."""
        client = Client(address)
        while not self.over.is_set():
            self.count(list_bytes=client.get("/connections"), lists=1)
            begun()

    def scrape(self, address, interval, begun):
        client = Client(address)
        while not self.over.wait(interval):
            self.count(scrape_bytes=client.get("/metrics"), scrapes=1)
            begun()

    def view(self, address, begun):
        """Reads all events."""
        viewer = connect(address)
        viewer.sendall(request(address, "/events"))
        while not self.over.is_set():
            readable, _, _ = select.select([viewer], [], [], 0.1)
            if readable:
                received = viewer.recv(64 * 1024)
                if not received:
                    raise OSError("closed by the daemon")
                self.count(event_bytes=len(received))
                begun()

    def watch(self, address, begun):
        """Watches the first open connection in full."""
        client = Client(address)
        begun()
        # The load opens it a moment later.
        while not client.try_post("/watch?connection=1&for=1h") and not self.over.wait(0.01):
            pass

    def stare(self, address, begun):
        """Asks for all events and reads none of them. Comes back when the daemon has reset it."""
        while not self.over.is_set():
            viewer = connect(address, SMALL_BUFFER)
            viewer.sendall(request(address, "/events"))
            begun()
            waiting = select.poll()
            waiting.register(viewer, 0)
            while not self.over.is_set() and not waiting.poll(100):
                pass
            self.count(resets=0 if self.over.is_set() else 1)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS)
        return self.counts | ({"failure": self.failure} if self.failure else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("address", help="a port of this host, or the path of a Unix socket")
    add("--metrics", metavar="ADDRESS", help="scrape here instead")
    add("--lists", type=int, default=0, metavar="N", help="clients that list in a loop")
    add("--scrapes", type=int, default=0, metavar="N", help="clients that scrape")
    add("--interval", type=float, default=0.1, metavar="S", help="time between two scrapes")
    add("--viewers", type=int, default=0, metavar="N", help="clients that view events")
    add("--watch", action="store_true", help="watch connection 1 in full")
    add("--unread", type=int, default=0, metavar="N", help="viewers that never read")
    add("--usual-priority", action="store_true", help="not that of whoever started it")
    asked = parser.parse_args()
    if asked.usual_priority:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    lookers = Lookers()
    lookers.start(asked.lists, lookers.list, asked.address)
    lookers.start(asked.scrapes, lookers.scrape, asked.metrics or asked.address, asked.interval)
    lookers.start(asked.viewers, lookers.view, asked.address)
    lookers.start(asked.unread, lookers.stare, asked.address)
    lookers.start(int(asked.watch), lookers.watch, asked.address)
    for has_begun in lookers.begun:
        has_begun.wait(PATIENCE_SECONDS)
    began = lookers.count_anew()
    print("ready", flush=True)
    sys.stdin.read()
    seconds = time.monotonic() - began
    print(json.dumps(lookers.end() | {"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
