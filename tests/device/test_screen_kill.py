"""Killed at any instant (kill -9) and started again, a screening ends as if nothing had happened."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from aidpost_device.bundle import trust_file
from aidpost_device.bundle.install import install
from aidpost_device.home import Home

from . import bundles, scans

COMMAND = (sys.executable, "-P", "-c", "from aidpost_device.cli.main import main; main()")
SEED = 20260101
"""Of the instants; a failure prints the instant it was killed at."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored scans: pictures, DICOM files, the same content under two names, studies of several scans, broken files."""
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(90):
        scans.png(folder / "pictures" / f"{seed:03}.png", seed, side=512)
    for seed in range(30):
        scans.dicom(
            folder / "films" / f"{seed:03}.dcm", seed, side=256, StudyInstanceUID=f"1.2.{seed // 3}", PatientID="1"
        )
    for seed in range(10):
        shutil.copy(folder / "pictures" / f"{seed:03}.png", folder / f"copy-{seed}.png")
        scans.junk(folder / f"broken-{seed}.dcm", bytes(range(seed)))
    return folder


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory, draft: bundles.Draft) -> Callable[[], Path]:
    """Make a home with the toy bundle installed."""

    packed = scans.splitting(draft).pack()

    def make() -> Path:
        home = Home.at(tmp_path_factory.mktemp("home"))
        trust_file.change(home, lambda _: bundles.TRUST)
        install(home, packed, None, prepare=bundles.prepare, target="x86")
        return home.path

    return make


@pytest.fixture(scope="module")
def uninterrupted(new_home: Callable[[], Path], folder: Path) -> list[dict[str, str]]:
    """The table of a run that nobody killed."""
    home = new_home()
    assert start(home, folder).wait(timeout=120) == 0
    return table(home)


def start(home: Path, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "device", "screen", str(folder), "--out", str(home / "out"), "--workers", "2"],
        env=os.environ | {"AIDPOST_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def table(home: Path) -> list[dict[str, str]]:
    with (home / "out" / "readings.csv").open(newline="", encoding="utf-8") as file:
        return [row | {"ms": ""} for row in csv.DictReader(file)]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the command alone, as the kernel does when memory runs out; its workers must end by themselves."""
    try:
        workers = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        workers = []
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlived the command"


def campaign(home: Path, folder: Path, expected: list[dict[str, str]], instants: random.Random, kills: int) -> int:
    """Kill a screening again and again, let it finish, and compare; returns how often it was killed.

    The instants are spread over the whole run: at the start, while files are read, and while reports are written.
    """
    killed = 0
    for progress in sorted(instants.randint(0, len(expected)) for _ in range(kills)):
        moment = instants.uniform(0.0, 0.3)
        print(f"kill {moment:.3f} s after {progress} files")
        process = start(home, folder)
        while process.poll() is None and done(home) < progress:
            time.sleep(0.002)
        try:
            ended = process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            kill(process)
            killed += 1
        else:
            assert ended == 0
            break
        check_store(home / "store.sqlite3")
    assert start(home, folder).wait(timeout=120) == 0
    assert table(home) == expected
    assert not (home / "out" / "INCOMPLETE.txt").exists()
    assert check_store(home / "store.sqlite3") == len({row["sha256"] for row in expected if row["finding"]})
    return killed


def done(home: Path) -> int:
    """Files that are recorded by now."""
    try:
        with closing(sqlite3.connect(f"file:{home / 'store.sqlite3'}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM item").fetchone()
            return int(count)
    except sqlite3.OperationalError:  # not there yet
        return 0


def check_store(file: Path) -> int:
    """Nothing is half-written; returns the number of readings."""
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'reading'").fetchall():
            return 0
        (readings,) = connection.execute("SELECT count(*) FROM reading").fetchone()
        orphans = "SELECT count(*) FROM reading WHERE id NOT IN (SELECT reading_id FROM reading_finding)"
        assert connection.execute(orphans).fetchone() == (0,)
        unread = "SELECT count(*) FROM item WHERE scan_id NOT IN (SELECT scan_id FROM reading)"
        assert connection.execute(unread).fetchone() == (0,)
        return int(readings)


def test_the_uninterrupted_run_has_a_row_for_every_path(uninterrupted: list[dict[str, str]], folder: Path) -> None:
    paths = sorted(row["path"] for row in uninterrupted)
    assert paths == sorted(str(path) for path in folder.rglob("*") if path.is_file())
    assert {row["decision"] for row in uninterrupted} >= {"REFER", "CLEAR", "REJECTED"}


@pytest.mark.parametrize("number", range(3))
def test_a_dozen_kills_change_nothing(
    number: int, new_home: Callable[[], Path], folder: Path, uninterrupted: list[dict[str, str]]
) -> None:
    assert campaign(new_home(), folder, uninterrupted, random.Random(SEED + number), kills=4) >= 3


@pytest.mark.system
def test_a_hundred_kills_change_nothing(
    new_home: Callable[[], Path], folder: Path, uninterrupted: list[dict[str, str]]
) -> None:
    instants, killed = random.Random(SEED), 0
    while killed < 100:
        killed += campaign(new_home(), folder, uninterrupted, instants, kills=10)
