"""The power fails while scans are screened: what was recorded stays, and the same command goes on to the same end."""

from __future__ import annotations

import ast
import random
import shutil
import time
from pathlib import Path

import pytest

from ..device import scans
from .box import Box, check_store, copy_box, end, new_box, readings, tables
from .disk import Disk
from .fuse import PROGRAM as FUSE
from .promises import PROGRAM as PROMISES

pytestmark = pytest.mark.system

SEED = 20260101
"""Of the moments; a failure prints the moment."""
CUTS = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored scans: pictures, DICOM files, one content under two names, studies of several scans, broken files."""
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(400):
        scans.png(folder / "pictures" / f"{seed:03}.png", seed, side=256)
    for seed in range(90):
        study = {"StudyInstanceUID": f"1.2.{seed // 3}", "PatientID": "1"}
        scans.dicom(folder / "films" / f"{seed:03}.dcm", seed, side=256, **study)
    for seed in range(20):
        shutil.copy(folder / "pictures" / f"{seed:03}.png", folder / f"copy-{seed}.png")
        scans.junk(folder / f"broken-{seed}.dcm", bytes(range(seed)))
    return folder


@pytest.fixture
def new(tmp_path: Path, stick: Path) -> Box:
    """A box with the bundle installed, on no disk that is cut."""
    return new_box(tmp_path / "new", (stick / "one.aidpost").read_bytes())


def command(folder: Path, out: Path) -> list[str | Path]:
    return ["device", "screen", folder, "--out", out, "--workers", "2"]


def uninterrupted(new: Box, folder: Path, tmp_path: Path) -> object:
    """The tables of a run that nothing disturbed."""
    box = copy_box(new, tmp_path / "uninterrupted")
    done = box.run(*command(folder, box.home / "out"))
    assert done.returncode == 0, done.stderr
    found = tables(box.home / "out")
    assert {row["path"] for row in found[0]} == {str(path) for path in folder.rglob("*") if path.is_file()}
    return found


def check_end(box: Box, expected: object) -> None:
    """See that a screening has ended as if nothing had happened."""
    found = tables(box.home / "out")
    assert found == expected
    assert not (box.home / "out" / "INCOMPLETE.txt").exists()
    check_store(box.home / "store.sqlite3")
    contents = {row["sha256"] for row in found[0] if row["finding"]}
    assert readings(box.home / "store.sqlite3") == len(contents)


class Campaign:
    """One screening that is cut again and again until it ends."""

    def __init__(self, box: Box, folder: Path, disk: Disk, promises: Path) -> None:
        self._box, self._disk, self._promises = box, disk, promises
        self.command = command(folder, box.home / "out")
        promises.touch()

    def promised(self) -> set[bytes]:
        """The files that the store has promised to keep by now."""
        lines = self._promises.read_bytes().split(b"\n")[:-1]
        return {ast.literal_eval(line.decode()) for line in lines}

    def cut(self, progress: int, moment: float) -> tuple[int, int] | None:
        """Cut the run a moment after so many files are recorded; give how many were kept and how many promised.

        None when it ended before the moment came.
        """
        process = self._box.start(self._promises, *self.command, program=PROMISES)
        while process.poll() is None and self._promises.read_bytes().count(b"\n") < progress:
            time.sleep(0.002)
        time.sleep(moment)
        running = process.poll() is None
        self._disk.cut()
        end(process)
        self._disk.restore()
        kept, promised = check_store(self._box.home / "store.sqlite3"), self.promised()
        assert promised <= kept.keys(), "a promise was broken"
        print(f"cut {moment:.3f} s after {progress} files, running: {running}; kept {len(kept)}/{len(promised)}")
        if running:
            return len(kept), len(promised)
        assert process.returncode == 0
        return None


def test_cuts_at_any_moment_lose_nothing_that_was_recorded(new: Box, folder: Path, disk: Disk, tmp_path: Path) -> None:
    expected = uninterrupted(new, folder, tmp_path)
    files = sum(path.is_file() for path in folder.rglob("*"))
    moments = random.Random(SEED)
    kept: list[int] = []
    trials = 0
    while trials < CUTS:
        box = copy_box(new, disk.folder / f"home-{trials}")
        campaign = Campaign(box, folder, disk, tmp_path / f"promises-{trials}")
        for progress in sorted(moments.randint(0, files) for _ in range(4)):
            trials += 1
            found = campaign.cut(progress, moments.uniform(0, 0.15))
            if found is None:
                break
            kept.append(found[0])
        assert box.run(*campaign.command).returncode == 0
        check_end(box, expected)
    midway = {count for count in kept if 0 < count < files}
    assert len(kept) >= CUTS // 2, "most cuts came after the command had ended"
    assert len(midway) >= CUTS // 3, f"the cuts did not vary: {sorted(kept)}"


def test_a_cut_before_any_step_of_the_reports_goes_on(new: Box, folder: Path, disk: Disk, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for path in (*sorted(folder.glob("pictures/*"))[:4], *sorted(folder.glob("broken-*"))[:2]):
        scans.junk(few / path.name, path.read_bytes())
    expected = uninterrupted(new, few, tmp_path)
    names: list[str] = []
    while True:
        number = len(names) + 1
        box = copy_box(new, disk.folder / f"home-{number}")
        steps = tmp_path / f"steps-{number}"
        done = box.run(disk.folder, steps, str(number), *command(few, box.home / "out"), program=FUSE)
        seen = steps.read_text().splitlines()
        print(f"step {number}: {seen[-1]}: {done.returncode} {done.stderr}")
        if len(seen) < number:
            disk.cut()  # at once after the command has said that it is done
        disk.restore()
        check_parts(box, expected)
        if len(seen) < number:
            assert done.returncode == 0
            check_end(box, expected)
            break
        assert box.run(*command(few, box.home / "out")).returncode == 0
        check_end(box, expected)
        names.append(seen[-1])
    assert len(names) >= 16, "the fuse no longer sees what the command does"


def check_parts(box: Box, expected: object) -> None:
    """See that no part is taken for the whole: what there is of the reports is whole, or says that it is not."""
    check_store(box.home / "store.sqlite3")
    out = box.home / "out"
    present = {path.name for path in out.iterdir() if not path.name.startswith(".")} if out.exists() else set()
    assert present <= {"readings.csv", "readings.jsonl", "report.html", "INCOMPLETE.txt"}
    if {"readings.csv", "readings.jsonl"} <= present:
        assert tables(out) == expected
    if "report.html" in present:
        assert (out / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert "INCOMPLETE.txt" in present or not present or len(present) == 3
