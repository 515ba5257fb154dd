"""The machine on which something was measured, and how busy others kept it."""

import datetime
import os
import platform
import re
import time
from pathlib import Path


def facts():
    """What a reader needs to judge figures; nothing that names this very machine."""
    cpu = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpu, re.MULTILINE)
    virtual = re.search(r"^flags\s*:.*\bhypervisor\b", cpu, re.MULTILINE)
    kernel = re.match(r"[\d.]+", platform.release())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": (model.group(1) if model else platform.machine()) + (" (VM)" if virtual else ""),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30),
        "kernel": f"{platform.system()} {kernel.group(0) if kernel else ''}".strip(),
    }


def busy_seconds():
    """What all processes together have spent since the start, waiting for disks not counted."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, soft, *_ = (int(word) for word in words)
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(patience, quiet):
    """Waits until all together spend less than so many cores, but no longer than `patience`."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        before, began = busy_seconds(), time.monotonic()
        time.sleep(LOOK_SECONDS)
        if (busy_seconds() - before) / (time.monotonic() - began) < quiet:
            return


LOOK_SECONDS = 0.3
