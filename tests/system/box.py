"""A box as people meet it: its home folder, the commands typed on it, and what can be found there afterwards."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from aidpost_device.bundle import slots, trust_file
from aidpost_device.bundle.install import Prepare, entries, install
from aidpost_device.home import Home

from ..device import bundles

COMMAND = (sys.executable, "-P", "-c", "from aidpost_device.cli.main import main; main()")
Row = dict[str, object]


@dataclass(frozen=True)
class Box:
    """A home folder and the commands that use it."""

    home: Path

    def start(
        self, *arguments: str | Path, program: tuple[str | Path, ...] = COMMAND, errors: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start a command in a session of its own; its standard output can be read from the process."""
        return subprocess.Popen(
            [*program, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *arguments: str | Path, program: tuple[str | Path, ...] = COMMAND
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, well or not."""
        return subprocess.run(
            [*program, *arguments], env=self.environment, capture_output=True, text=True, check=False, timeout=300
        )

    @property
    def environment(self) -> dict[str, str]:
        """What commands find in their environment."""
        return os.environ | {"AIDPOST_HOME": str(self.home), "OMP_NUM_THREADS": "1"}


def new_box(home: Path, *packed: bytes, prepare: Prepare = bundles.prepare) -> Box:
    """Make a box that trusts the test bundles' key, with bundles installed one after the other."""
    made = Home.at(home)
    trust_file.change(made, lambda _: bundles.TRUST)
    for data in packed:
        install(made, data, None, prepare=prepare, target="x86")
    return Box(made.path)


def copy_box(box: Box, home: Path) -> Box:
    """Copy a box's home, flushed to its disk."""
    shutil.copytree(box.home, home)
    subprocess.run(["sync", "-f", str(home)], check=True)
    return Box(home)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a command at once, as a power cut or a lack of memory does, and see its workers end by themselves."""
    process.kill()
    process.wait(timeout=60)
    deadline = time.monotonic() + 60
    while workers := [worker for worker in psutil.process_iter() if _session(worker.pid) == process.pid]:
        assert time.monotonic() < deadline, f"workers outlived the command: {workers}"
        time.sleep(0.01)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


# ---- what is found on it --------------------------------------------------------------------------------------------


def state(box: Box) -> object:
    """What the box would use: its trust, and per bundle name the active slot and the one before.

    Asserts that all of it is whole: whatever is offered verifies. Which variant is faster is chance with toy graphs, so
    it is left out.
    """
    home = Home(box.home)
    trust = trust_file.load(home)
    listed = entries(home)
    assert [entry.problem for entry in listed if entry.problem] == []
    found = []
    for name in slots.names(home):
        chosen = slots.read_state(home, name)
        assert chosen is not None
        used = [(slot.version, slot.build, slot.sha256) for slot in chosen.slots]
        found.append((name, used, chosen.highest_build))
    return trust, found


def files(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, by its relative path; the lock apart, which has no content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def check_store(file: Path) -> dict[bytes, bool]:
    """Assert that the store is whole and nothing in it is half-written; give its files: path → whether it was read."""
    if not file.exists():
        return {}
    with closing(sqlite3.connect(file)) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert store.execute("PRAGMA foreign_key_check").fetchall() == []
        if not store.execute("SELECT 1 FROM sqlite_schema WHERE name = 'reading'").fetchall():
            return {}
        for query in _NEVER:
            assert store.execute(query).fetchall() == [], query
        return {path: bool(read) for path, read in store.execute("SELECT path, scan_id IS NOT NULL FROM item")}


_NEVER = (
    "SELECT id FROM reading WHERE id NOT IN (SELECT reading_id FROM reading_finding)",
    "SELECT path FROM item WHERE scan_id NOT IN (SELECT scan_id FROM reading)",
    "SELECT scan.sha256 FROM reading JOIN scan ON scan.id = scan_id "
    "GROUP BY scan.sha256, bundle_sha256, settings_sha256 HAVING count(*) > 1",
)
"""Queries that find what may not be: readings without a finding, files without a reading, a content read twice."""


def readings(file: Path) -> int:
    """Count the readings in a store."""
    with closing(sqlite3.connect(file)) as store:
        ((count,),) = store.execute("SELECT count(*) FROM reading").fetchall()
        return int(count)


def tables(out: Path) -> tuple[list[Row], list[Row]]:
    """Read both tables of a screening, the CSV's rows and the lines of JSON, without what differs between boxes.

    That is the times, and the pseudonyms, which are random: people are numbered as they come.
    """
    with (out / "readings.csv").open(newline="", encoding="utf-8") as file:
        rows: list[Row] = [{**row, "ms": ""} for row in csv.DictReader(file)]
    lines: list[Row] = [json.loads(line) for line in (out / "readings.jsonl").read_text(encoding="utf-8").splitlines()]
    people: dict[object, int] = {}
    for line in lines:
        line["ms"] = 0
        if "person" in line:
            line["person"] = people.setdefault(line["person"], len(people))
    return rows, lines
