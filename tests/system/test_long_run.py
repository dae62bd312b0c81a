"""Thousands of real files in one run: neither memory nor open files grow with their number."""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from .box import check_store, end, new_box, tables

pytestmark = pytest.mark.system

FILES = 2000
GROWTH = 12 * 2**20
"""What the memory of all processes together may differ by between two stretches of a run, bytes."""


@dataclass(frozen=True)
class Sample:
    """What a run and its workers held at one moment."""

    done: int
    """Files recorded."""
    resident: int
    """Bytes, over all processes."""
    handles: int
    """Open files, over all processes."""
    processes: int


@pytest.fixture
def folder(data_folder: Path, tmp_path: Path) -> Path:
    """Small real files, each content once: microscope pictures, and DICOM files with a number in their preamble."""
    scans = tmp_path / "scans"
    scans.mkdir()
    cells = sorted((data_folder / "malaria_cells").rglob("*.png"))
    films = [path for path in sorted((data_folder / "dicom").rglob("*.dcm")) if is_small_dicom(path)]
    assert len(films) >= 30
    for number in range(FILES):
        if number % 4 and number < len(cells):
            shutil.copy(cells[number], scans / f"{number:04}{cells[number].suffix}")
        else:
            content = films[number // 4 % len(films)].read_bytes()
            preamble = b"%0128d" % number  # DICOM leaves these 128 bytes to anybody
            (scans / f"{number:04}.dcm").write_bytes(preamble + content[128:])
    return scans


def is_small_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return path.stat().st_size < 300_000 and file.read(132)[128:] == b"DICM"


def look(root: psutil.Process, store: Path) -> Sample | None:
    """Take one sample; None while processes come or go, or the store is not there yet."""
    try:
        family = [root, *root.children(recursive=True)]
        resident = sum(one.memory_info().rss for one in family)
        handles = sum(one.num_fds() for one in family)
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            ((done,),) = connection.execute("SELECT count(*) FROM item").fetchall()
    except (psutil.NoSuchProcess, psutil.AccessDenied, sqlite3.OperationalError):
        return None
    return Sample(int(done), resident, handles, len(family))


def test_two_thousand_files_grow_nothing(folder: Path, stick: Path, tmp_path: Path) -> None:
    box = new_box(tmp_path / "home", (stick / "one.aidpost").read_bytes())
    process = box.start("device", "screen", folder, "--out", tmp_path / "out", "--workers", "2")
    samples: list[Sample] = []
    while process.poll() is None:
        sample = look(psutil.Process(process.pid), box.home / "store.sqlite3")
        samples += [sample] if sample else []
        time.sleep(0.05)
    end(process)
    assert process.returncode == 0

    kept = check_store(box.home / "store.sqlite3")
    assert len(kept) == len(tables(tmp_path / "out")[0]) == FILES
    assert sum(kept.values()) > FILES * 0.8, "most of the files must be readable"
    early = [sample for sample in samples if FILES * 0.3 <= sample.done < FILES * 0.6]
    late = [sample for sample in samples if FILES * 0.7 <= sample.done < FILES]
    assert min(len(early), len(late)) >= 5, "the run was not seen often enough"
    for name, stretch in (("early", early), ("late", late)):
        print(name, [(one.done, one.resident >> 20, one.handles, one.processes) for one in stretch])
    before, after = (statistics.median(sample.resident for sample in stretch) for stretch in (early, late))
    assert after - before < GROWTH, f"{before / 2**20:.0f} MiB became {after / 2**20:.0f} MiB"
    before, after = (max(sample.handles / sample.processes for sample in stretch) for stretch in (early, late))
    assert after <= before + 1, f"{before:.1f} open files in a process became {after:.1f}"
