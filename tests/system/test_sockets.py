"""No network in the whole path: the commands run without one, and the kernel's own record shows no socket to anywhere.

`strace` sees every process that the commands start, also what is called from C.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..device import scans
from .box import COMMAND, Box, check_store

pytestmark = pytest.mark.system

FILES = 12
CALLS = "socket,socketpair,connect,bind,listen,accept,accept4,sendto,sendmsg,sendmmsg"
FAMILY = re.compile(r"\b(AF_[A-Z0-9]+)\b")


@pytest.fixture
def steps(tmp_path: Path, stick: Path) -> list[tuple[str, ...]]:
    """Everything that a box does with keys, bundles and scans, as it is typed."""
    for seed in range(FILES // 2):
        scans.png(tmp_path / "scans" / f"{seed}.png", seed)
        scans.dicom(tmp_path / "scans" / f"{seed}.dcm", seed)
    typed: tuple[tuple[str | Path, ...], ...] = (
        ("trust", "add", "--yes", stick / "root.pub"),
        ("trust", "update", stick / "trust"),
        ("install", stick / "one.aidpost"),
        ("install", stick / "two.aidpost"),
        ("rollback", "toy"),
        ("bundles",),
        ("screen", tmp_path / "scans", "--out", tmp_path / "out"),
    )
    return [("device", *map(str, step)) for step in typed]


def run_all(box: Box, steps: list[tuple[str, ...]], *around: str | Path) -> None:
    for step in steps:
        done = box.run(*step, program=(*around, *COMMAND))
        assert done.returncode == 0, done.stderr
    kept = check_store(box.home / "store.sqlite3")
    assert len(kept) == FILES
    assert all(kept.values()), "every scan must have been read"


def test_all_of_it_works_without_a_network(tmp_path: Path, steps: list[tuple[str, ...]]) -> None:
    without = ("unshare", "--map-root-user", "--net")
    if not shutil.which("unshare") or subprocess.run([*without, "true"], check=False, capture_output=True).returncode:
        pytest.skip("unshare is missing or may not make a network namespace here")
    run_all(Box(tmp_path / "home"), steps, *without)


@pytest.fixture
def traced(tmp_path: Path) -> tuple[str | Path, ...]:
    """A command that notes the socket calls of another one and all its processes in files `trace.PID`."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    command = (program, "-ff", "-qq", "-e", f"trace={CALLS}", "-o", tmp_path / "trace")
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here")
    return command


def families(folder: Path) -> set[str]:
    """The families of sockets in the traces. A call whose family is not shown says so."""
    lines = [line for path in folder.glob("trace.*") for line in path.read_text().splitlines()]
    calls = [line for line in lines if re.match(r"[a-z0-9]+\(", line)]
    makers = [line for line in calls if line.startswith("socket")]
    assert all(FAMILY.search(line) for line in makers), makers
    return {family for line in calls for family in FAMILY.findall(line)}


def test_the_kernel_sees_no_socket_to_anywhere(
    traced: tuple[str | Path, ...], tmp_path: Path, steps: list[tuple[str, ...]]
) -> None:
    run_all(Box(tmp_path / "home"), steps, *traced)
    processes = len(list(tmp_path.glob("trace.*")))
    assert processes >= len(steps) + 4, "the processes that decode were not traced"
    assert families(tmp_path) == {"AF_UNIX"}, "processes talk to each other, and to nobody else"


def test_the_trace_would_show_one(traced: tuple[str | Path, ...], tmp_path: Path) -> None:
    code = "import os, socket\nif os.fork() == 0: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nelse: os.wait()"
    subprocess.run([*traced, sys.executable, "-c", code], check=True)
    assert families(tmp_path) == {"AF_INET"}


def test_nothing_but_the_expected_is_left_in_the_home(
    tmp_path: Path, steps: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No telemetry queue, device id or cache appears, in the box's home or in the user's."""
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    run_all(Box(tmp_path / "home"), steps)
    assert list(user.rglob("*")) == []
    assert {path.name for path in (tmp_path / "home").iterdir()} == {".lock", "bundles", "store.sqlite3", "trust.json"}
