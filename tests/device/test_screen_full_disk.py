"""A home whose disk runs full in the middle of a screening: what was recorded stays, and it goes on later."""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aidpost_device.bundle import trust_file
from aidpost_device.bundle.install import install
from aidpost_device.home import Home

from . import bundles, scans

pytestmark = pytest.mark.system

FILES = 300
COMMAND = (sys.executable, "-P", "-c", "from aidpost_device.cli.main import main; main()")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "aidpost-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path, tmp_path: Path, draft: bundles.Draft) -> None:
    home = Home.at(small_disk / "home")
    trust_file.change(home, lambda _: bundles.TRUST)
    install(home, draft.pack(), None, prepare=bundles.prepare, target="x86")
    for seed in range(FILES):
        scans.png(tmp_path / "scans" / f"{seed:03}.png", seed)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 400 * 1024))
    command = [*COMMAND, "device", "screen", str(tmp_path / "scans"), "--out", str(tmp_path / "out")]
    environment = os.environ | {"AIDPOST_HOME": str(home.path)}

    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "No space is left for the store" in done.stderr
    assert "run the command again" in done.stderr
    with closing(sqlite3.connect(home.store_file)) as connection:
        (before,) = connection.execute("SELECT count(*) FROM reading").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert 0 < before < FILES

    ballast.unlink()
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    with (tmp_path / "out" / "readings.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == FILES
    with closing(sqlite3.connect(home.store_file)) as connection:
        assert connection.execute("SELECT count(*) FROM reading").fetchone() == (FILES,)
