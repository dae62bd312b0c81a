"""The output folder: the table, the lines and the page, each replaced whole, all made from the store."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aidpost_device.bundle.manifest import Manifest
from aidpost_device.durable import noticing_full, replacing, sync_folder, write_durably
from aidpost_device.errors import SettingError
from aidpost_device.report.csv_table import CsvTable
from aidpost_device.report.digest import Digest
from aidpost_device.report.jsonl_lines import JsonlLines
from aidpost_device.store.rows import Row

TABLE, LINES, PAGE = "readings.csv", "readings.jsonl", "report.html"
INCOMPLETE = "INCOMPLETE.txt"
"""Stands in the folder from the first file until everything is written, so that nobody takes a part for the whole."""
_NOTICE = (
    "This screening is not complete: some files are not read yet, and the other files here may be missing or older.\n"
    "Run the same command again to go on; what was read is kept.\n"
)


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Hold the output folder for one screening, making it and marking it as incomplete.

    Raises `SettingError` when it cannot be written to or another screening holds it, or `StorageFullError`.
    """
    with _speaking(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _speaking(folder):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sweep(folder)
            write_durably(folder / INCOMPLETE, _NOTICE.encode())
        yield
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove the temporary files of a run that was killed while it wrote."""
    for name in (TABLE, LINES, PAGE, INCOMPLETE):
        for leftover in folder.glob(f".{name}.*"):
            leftover.unlink()


def write_tables(folder: Path, rows: Iterable[Row], manifest: Manifest) -> Digest:
    """Write the table and the lines in one pass, and digest the rows for the page."""
    digest = Digest(frozenset(finding.label for finding in manifest.findings if finding.refers))
    with _speaking(folder), replacing(folder / TABLE) as table_file, replacing(folder / LINES) as lines_file:
        table, lines = CsvTable(table_file, manifest.name, manifest.version), JsonlLines(lines_file)
        for row in rows:
            table.add(row)
            lines.add(row)
            digest.add(row)
        table.close()
    return digest


def write_page(folder: Path, page: str) -> None:
    """Write the page."""
    with _speaking(folder):
        write_durably(folder / PAGE, page.encode())


def mark_complete(folder: Path) -> None:
    """Take the mark away: everything is written."""
    with _speaking(folder):
        (folder / INCOMPLETE).unlink(missing_ok=True)
        sync_folder(folder)


@contextmanager
def _speaking(folder: Path) -> Iterator[None]:
    """Raise what the system says about the output folder as an error with a hint."""
    try:
        with noticing_full(folder):
            yield
    except BlockingIOError as error:
        raise SettingError(
            f"Another screening is writing to {folder}.", "Wait until it has finished, or choose another --out."
        ) from error
    except OSError as error:
        raise SettingError(
            f"The output folder {folder} cannot be used: {error.strerror}.",
            "Check the disk, or choose another folder with --out; what was read is kept.",
        ) from error
