"""The box's disk runs full: the command says so, what was kept stays whole, and with space again the same command ends.

What is free when a command starts is varied, so that the disk runs full at different places of the work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ..device import bundles, scans
from .box import Box, check_store, files, new_box, readings, state, tables
from .disk import Disk

pytestmark = pytest.mark.system

FILES = 300
CARD = 1_000_000
"""Size of the second bundle's card, bytes: enough that the bundle does not fit."""


@pytest.fixture
def full(small_disk: Disk) -> Callable[[int], Path]:
    """Fill the small disk up to some free kilobytes; gives the file to remove for space."""

    def fill(kilobytes: int) -> Path:
        ballast = small_disk.folder / "ballast"
        piece, size = 2**24, 0
        with ballast.open("wb") as file:
            while piece >= 4096:
                try:
                    if shutil.disk_usage(small_disk.folder).free - piece >= kilobytes * 1024:
                        os.posix_fallocate(file.fileno(), size, piece)
                        size += piece
                        continue
                except OSError:  # what is said to be free is not free to the last block
                    pass
                piece //= 2
        return ballast

    return fill


@pytest.fixture
def heavy(tmp_path: Path) -> Path:
    """A second build of the bundle, with a long card."""
    letters = np.random.default_rng(0).integers(97, 123, CARD, np.uint8).tobytes()
    draft = scans.splitting(bundles.draft()).having(build=2, version="2.0.0").holding("card.md", letters)
    path = tmp_path / "heavy.aidpost"
    path.write_bytes(draft.pack())
    return path


def assert_full(box: Box, *command: str | Path) -> None:
    """Run a command and see that it refuses for want of space, with a sentence that helps."""
    done = box.run(*command)
    print(done.stdout, done.stderr)
    assert done.returncode == 1, done.stderr
    assert "No space is left" in done.stderr
    assert "hint: Free some" in done.stderr


@pytest.mark.parametrize("kilobytes", [0, 12, 100, 900])
@pytest.mark.parametrize("installed", [True, False], ids=["an upgrade", "the first bundle"])
def test_an_installation_that_does_not_fit(
    kilobytes: int, installed: bool, small_disk: Disk, full: Callable[[int], Path], stick: Path, heavy: Path
) -> None:
    box = new_box(small_disk.folder / "home", *([(stick / "one.aidpost").read_bytes()] if installed else []))
    before, held = state(box), files(box.home)
    ballast = full(kilobytes)
    assert_full(box, "device", "install", heavy)
    assert state(box) == before
    assert files(box.home) == held, "something was left behind"

    ballast.unlink()
    done = box.run("device", "install", heavy)
    assert done.returncode == 0, done.stderr
    assert state(box) != before
    assert box.run("device", "bundles").stdout.count("2.0.0") == 1


@pytest.mark.parametrize("kilobytes", [0, 64, 400])
@pytest.mark.parametrize("out", ["elsewhere", "beside"])
def test_a_screening_whose_store_does_not_fit(
    kilobytes: int, out: str, small_disk: Disk, full: Callable[[int], Path], stick: Path, tmp_path: Path
) -> None:
    box = new_box(small_disk.folder / "home", (stick / "one.aidpost").read_bytes())
    for seed in range(FILES):
        scans.png(tmp_path / "scans" / f"{seed:03}.png", seed)
    folder = tmp_path / "out" if out == "elsewhere" else small_disk.folder / "out"
    command = ("device", "screen", tmp_path / "scans", "--out", folder)
    ballast = full(kilobytes)
    assert_full(box, *command)
    assert_full(box, *command)  # nor is it harmed by somebody who tries again at once
    assert not (folder / "readings.csv").exists()

    ballast.unlink()  # even a look into a store takes some space beside it
    before = check_store(box.home / "store.sqlite3")
    print(f"{len(before)} of {FILES} were recorded")
    assert len(before) < FILES
    assert before or kilobytes < 400
    done = box.run(*command)
    assert done.returncode == 0, done.stderr
    after = check_store(box.home / "store.sqlite3")
    assert before.items() <= after.items()
    assert len(after) == readings(box.home / "store.sqlite3") == FILES
    assert len(tables(folder)[0]) == FILES


@pytest.mark.parametrize("kilobytes", [0, 8, 60])
def test_reports_that_do_not_fit(
    kilobytes: int, small_disk: Disk, full: Callable[[int], Path], stick: Path, tmp_path: Path
) -> None:
    box = new_box(tmp_path / "home", (stick / "one.aidpost").read_bytes())
    for seed in range(FILES):
        scans.png(tmp_path / "scans" / f"{seed:03}.png", seed)
    command = ("device", "screen", tmp_path / "scans", "--out", small_disk.folder / "out")
    ballast = full(kilobytes)
    assert_full(box, *command)
    present = {path.name for path in (small_disk.folder / "out").glob("*")}
    assert present <= {"INCOMPLETE.txt", "readings.csv", "readings.jsonl"}
    assert "INCOMPLETE.txt" in present or not present

    ballast.unlink()
    done = box.run(*command)
    assert done.returncode == 0, done.stderr
    assert len(tables(small_disk.folder / "out")[0]) == FILES
    assert len(check_store(box.home / "store.sqlite3")) == FILES
