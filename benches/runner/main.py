"""The command line: what is measured, how thoroughly, and what becomes of the figures."""

import argparse
import fnmatch
import os
import sys
from pathlib import Path

from . import build, counts, document, paths, peers, rounds, rows, tables
from .stand import Cores
from .summary import Summary

# Rounds and seconds of each measurement.
QUICK = (2, 1.0)
FULL = (5, 3.0)


def main():
    asked = parse()
    if asked.write:
        return document.write(asked.out)
    say_missing(build.all_peers() if not asked.no_build else [])
    if not asked.no_build:
        build.oneloop()
    chosen_rows, chosen_peers = choose(asked)
    if asked.list:
        return show_list(chosen_rows, chosen_peers)
    cores = Cores(asked.server_cpu, asked.load_cpu)
    os.sched_setaffinity(0, {cores.load})
    if asked.counts:
        return counts.run(cores, chosen_rows, chosen_peers, asked.out, say)
    count, seconds = QUICK if asked.quick else FULL
    count, seconds = asked.rounds or count, asked.seconds or seconds
    turns = rounds.Rounds(cores, count, seconds, asked.seed, asked.patience, say)
    for row in chosen_rows:
        result = turns.run(row, chosen_peers)
        if asked.out:
            rounds.save(result, asked.out)
        say("")
        print(f"{tables.plain(row, Summary(result))}\n", flush=True)
    return 0


def parse():
    parser = argparse.ArgumentParser(prog="benches/run", description=__doc__)
    add = parser.add_argument
    add("--list", action="store_true", help="show rows and peers, and measure nothing")
    add("--quick", action="store_true", help="the telling rows, two short rounds: minutes")
    add("--rows", metavar="PATTERN,…", help="rows by name, as in echo-64-*,relay-churn")
    add("--peers", metavar="PATTERN,…", help="peers by name; oneloop is always among them")
    add("--against", metavar="FILE", help="another build of oneloop takes part too")
    add("--rounds", type=int, metavar="N", help="measure everything so often")
    add("--seconds", type=float, metavar="S", help="each time for so long")
    add("--seed", type=int, default=1, help="what the order of the peers is drawn from")
    add("--patience", type=float, default=0, metavar="S", help="wait so long for a quiet moment")
    add("--server-cpu", type=int, default=0, metavar="N", help="the core of the servers")
    add("--load-cpu", type=int, default=1, metavar="N", help="the core of load and targets")
    add("--counts", action="store_true", help="system calls and instructions instead of time")
    add("--out", type=Path, metavar="FOLDER", help="keep the figures here as JSON")
    add("--write", action="store_true", help="make docs/benchmarks.md from the kept figures")
    add("--no-build", action="store_true", help="take what was built before")
    asked = parser.parse_args()
    if asked.write and not asked.out:
        asked.out = paths.RESULTS
    return asked


def choose(asked):
    wanted = asked.rows.split(",") if asked.rows else ["*"]
    chosen = [row for row in rows.ROWS if matches(row.name, wanted)]
    if asked.quick and not asked.rows:
        chosen = [row for row in chosen if row.quick]
    names = ["*"] if asked.peers is None else asked.peers.split(",")
    names.append(peers.PEERS[0].name)
    here = [peer for peer in peers.present() if matches(peer.name, names)]
    here += [peers.another(asked.against)] if asked.against else []
    return chosen, here


def matches(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def show_list(chosen_rows, chosen_peers):
    for row in chosen_rows:
        able = [peer.name for peer in chosen_peers if peer.can(row.service, row.conns)]
        print(f"{row.name:24} {row.title:44} {', '.join(able)}")
    print(f"\nnot here: {', '.join(peers.absent()) or 'none'}")
    return 0


def say(text):
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def say_missing(lines):
    for line in lines:
        print(f"left out: {line}", file=sys.stderr)
