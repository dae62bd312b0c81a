"""The disk of these tests loses what was not flushed, and only that: without this, no cut would prove anything."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from aidpost_device.durable import sync_folder, write_durably

from .disk import Disk

pytestmark = pytest.mark.system


def test_a_cut_takes_what_was_not_flushed_and_nothing_else(disk: Disk) -> None:
    write_durably(disk.folder / "durable", b"old")
    write_durably(disk.folder / "durable", b"new")
    (disk.folder / "plain").write_bytes(b"new")
    write_durably(disk.folder / "replaced", b"old")
    temporary = disk.folder / "temporary"
    temporary.write_bytes(b"new")
    temporary.replace(disk.folder / "replaced")
    sync_folder(disk.folder)  # the name is flushed and the content is not
    disk.cut()
    disk.restore()
    assert (disk.folder / "durable").read_bytes() == b"new"
    assert (disk.folder / "replaced").read_bytes() == b""
    assert not temporary.exists()


def test_a_cut_takes_names_that_were_not_flushed(disk: Disk) -> None:
    handle = os.open(disk.folder / "name", os.O_WRONLY | os.O_CREAT)
    os.write(handle, b"content")
    os.fsync(handle)
    os.close(handle)
    (disk.folder / "name").rename(disk.folder / "another name")
    disk.cut()
    disk.restore()
    assert (disk.folder / "name").read_bytes() == b"content"
    assert not (disk.folder / "another name").exists()


@pytest.mark.parametrize(("synchronous", "kept"), [("FULL", True), ("NORMAL", False)])
def test_a_cut_tells_a_durable_database_from_another(disk: Disk, synchronous: str, kept: bool) -> None:
    file: Path = disk.folder / "database"
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE number (value INTEGER)")
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    writer.execute(f"PRAGMA synchronous = {synchronous}")
    writer.execute("INSERT INTO number VALUES (1)")
    disk.cut()
    with pytest.raises(sqlite3.OperationalError):
        writer.execute("INSERT INTO number VALUES (2)")
    writer.close()
    disk.restore()
    reader = sqlite3.connect(file)
    assert reader.execute("SELECT value FROM number").fetchall() == ([(1,)] if kept else [])
    reader.close()
