"""Compiles what can be compiled with what is installed. What is missing is said, not fetched."""

import os
import shutil
import subprocess

from . import paths

C_FLAGS = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]
C_PROGRAMS = {"echo": "floor-echo", "relay": "floor-relay", "udp": "floor-udp"}
UV_PROGRAMS = {"uv_echo": "uv-echo", "uv_relay": "uv-relay", "uv_udp": "uv-udp"}


def all_peers():
    """Builds every peer; the lines it returns tell what could not be built, and why."""
    paths.BUILT.mkdir(parents=True, exist_ok=True)
    missing = []
    missing += cargo()
    missing += c_programs()
    missing += go_programs()
    return missing


def oneloop():
    """Builds the daemon and its load generator."""
    command = ["cargo", "build", "--release", "--quiet"]
    subprocess.run(command, cwd=paths.TOP, check=True)


def cargo():
    if not shutil.which("cargo"):
        return ["tokio: no cargo"]
    environment = dict(os.environ, CARGO_TARGET_DIR=str(paths.BUILT))
    command = ["cargo", "build", "--release", "--quiet", "--locked"]
    done = subprocess.run(command, cwd=paths.PEERS, env=environment, capture_output=True)
    return [] if done.returncode == 0 else ["tokio: " + last_line(done.stderr)]


def c_programs():
    compiler = shutil.which("cc")
    if not compiler:
        return ["C floors, libuv: no C compiler"]
    missing = []
    for source, name in C_PROGRAMS.items():
        missing += compile_c(compiler, source, name, [])
    for source, name in UV_PROGRAMS.items():
        missing += compile_c(compiler, source, name, ["-luv"])
    return missing


def compile_c(compiler, source, name, libraries):
    built = paths.BUILT / name
    command = [compiler, *C_FLAGS, "-o", str(built), str(paths.PEERS / "c" / f"{source}.c")]
    return run_for(name, built, command + libraries)


def go_programs():
    if not shutil.which("go"):
        return ["go: not installed"]
    missing = []
    for source in ["echo", "relay"]:
        built = paths.BUILT / f"go-{source}"
        command = ["go", "build", "-o", str(built), str(paths.PEERS / f"{source}.go")]
        missing += run_for(built.name, built, command)
    return missing


def run_for(name, built, command):
    """A failed build must not leave an older program in its place."""
    built.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True)
    return [] if done.returncode == 0 else [f"{name}: " + last_line(done.stderr)]


def last_line(output):
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "the build failed"
