"""No socket to anywhere: a real screening, watched in every process of it and counted by the kernel."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aidpost_device.bundle.install import Installed
from aidpost_device.home import Home

from . import scans

MAIN = "from aidpost_device.cli.main import main; main()"
FILES = 12

WATCHED = """
import os, sys
log, interpreter = os.environ["WATCH_LOG"], os.environ["WATCH_INTERPRETER"]

def note(line):
    with open(log, "a") as file:
        file.write(f"{line}\\n")

def watch(event, arguments):
    if event == "os.fork":
        note("fork")
    elif event == "socket.__new__" and arguments[1] not in (1, -1):
        raise RuntimeError(f"a socket of family {arguments[1]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.getnameinfo"):
        raise RuntimeError(event)

note("process")
sys.addaudithook(watch)
sys.executable = interpreter  # processes that this one starts are watched too
flags, code = sys.argv[1 : sys.argv.index("-c")], sys.argv[sys.argv.index("-c") + 1]
sys.argv = ["-c", *sys.argv[sys.argv.index("-c") + 2 :]]
exec(code)
"""
"""A stand-in for the interpreter that forbids every socket but those between processes.

Families: 1 is AF_UNIX; -1 is said of a socket that another process has made and handed over.
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """An interpreter whose processes, and those they start, may open no socket to anywhere."""
    script, program = tmp_path / "watched.py", tmp_path / "watched"
    script.write_text(WATCHED)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P {script} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def request_(
    trusting: Home, install_here: Callable[[bytes], Installed], packed: bytes, tmp_path: Path
) -> tuple[list[str], Path]:
    """What is asked for: the arguments of a screening of pictures and DICOM files, and its output folder."""
    install_here(packed)
    for seed in range(FILES // 2):
        scans.png(tmp_path / "scans" / f"{seed}.png", seed)
        scans.dicom(tmp_path / "scans" / f"{seed}.dcm", seed)
    out = tmp_path / "out"
    return ["device", "screen", str(tmp_path / "scans"), "--out", str(out)], out


def all_were_read(out: Path) -> bool:
    with (out / "readings.csv").open(newline="", encoding="utf-8") as file:
        decisions = [row["decision"] for row in csv.DictReader(file)]
    return len(decisions) == FILES and "REJECTED" not in decisions


def test_no_process_opens_a_socket(interpreter: Path, request_: tuple[list[str], Path], tmp_path: Path) -> None:
    arguments, out = request_
    log = tmp_path / "log"
    environment = os.environ | {"WATCH_LOG": str(log), "WATCH_INTERPRETER": str(interpreter)}
    subprocess.run([interpreter, "-P", "-c", MAIN, *arguments], env=environment, check=True, timeout=60)
    assert all_were_read(out)
    seen = log.read_text().split()
    assert seen.count("process") >= 2, "the processes that decode were not watched"
    assert "fork" in seen


def test_the_watch_would_notice(interpreter: Path, tmp_path: Path) -> None:
    code = "import socket; socket.socketpair(); socket.socket(socket.AF_INET)"
    environment = os.environ | {"WATCH_LOG": str(tmp_path / "log"), "WATCH_INTERPRETER": str(interpreter)}
    done = subprocess.run([interpreter, "-c", code], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "a socket of family" in done.stderr


# ---- what the kernel counts -----------------------------------------------------------------------------------------

COUNTERS = {"Ip": ("OutRequests", "OutNoRoutes"), "Tcp": ("ActiveOpens", "PassiveOpens"), "Udp": ("OutDatagrams",)}


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    """A command that gives another one a network of its own, with nothing in it; skips where that is not allowed."""
    program = shutil.which("unshare")
    command = [program or "unshare", "--map-root-user", "--net"]
    if program is None or subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("unshare is missing or may not make a network namespace here")
    return command


def counted(unshare: list[str], *command: str | Path) -> dict[str, int]:
    """Run a command in a network of its own and give what the kernel counted there."""
    then = '"$@" >/dev/null 2>&1; echo "status: $?"; cat /proc/net/snmp'
    done = subprocess.run(
        [*unshare, "sh", "-c", then, "sh", *command], check=True, capture_output=True, text=True, timeout=60
    )
    status, *lines = done.stdout.splitlines()
    counts = {"status": int(status.split()[1])}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        kind = names.split(":")[0]
        table = dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
        counts |= {f"{kind}.{name}": table[name] for name in COUNTERS.get(kind, ())}
    return counts


def test_the_kernel_counts_nothing(unshare: list[str], request_: tuple[list[str], Path]) -> None:
    arguments, out = request_
    counts = counted(unshare, sys.executable, "-P", "-c", MAIN, *arguments)
    assert len(counts) == 6
    assert set(counts.values()) == {0}, counts
    assert all_were_read(out)


def test_the_kernel_would_count_an_attempt(unshare: list[str]) -> None:
    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    counts = counted(unshare, sys.executable, "-c", code)
    assert counts["status"] != 0
    assert counts["Ip.OutNoRoutes"] > 0
