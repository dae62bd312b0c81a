"""Opening the store's SQLite file, and turning SQLite's errors into ours."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aidpost_device.errors import AidpostError, StorageFullError, StoreError
from aidpost_device.store.migrations import Step, migrate

BUSY_SECONDS = 20.0
"""How long a write waits for another process's write."""

_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "recursive_triggers = ON", "trusted_schema = OFF")


def connect(path: Path, steps: tuple[Step, ...]) -> sqlite3.Connection:
    """Open the store at `path`, creating and migrating it; readable by its owner alone.

    Every commit is on the disk when it returns (write-ahead log, `synchronous=FULL`). Raises `StoreError` or
    `StorageFullError`.
    """
    with speaking(path):
        # SQLite gives the log files beside the store the store's own mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if journal != "wal":
                raise StoreError(
                    f"The disk under {path} cannot hold a write-ahead log (journal mode is {journal!r}).",
                    "Put the home folder on a local disk with a Linux file system.",
                )
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            migrate(connection, steps)
        except BaseException:
            connection.close()
            raise
        return connection


def insert(connection: sqlite3.Connection, statement: str, *values: object) -> int:
    """Insert one row and give its id."""
    ((made,),) = connection.execute(f"{statement} RETURNING id", values).fetchall()
    return int(made)


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """Raise what SQLite says about the store at `path` as an error with a hint."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(path, error) from error
    except OSError as error:
        raise StoreError(f"The store {path} cannot be opened: {error.strerror}.", "Check the home folder.") from error


def _explain(path: Path, error: sqlite3.Error) -> AidpostError:
    code = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_space(path)):
        return StorageFullError(
            f"No space is left for the store {path}.",
            "Free some space on this disk and run the command again; what was recorded is safe.",
        )
    message, hint = _MEANINGS.get(code, (f"failed: {error}", "Run it again as `aidpost --debug …` and report it."))
    return StoreError(f"The store {path} {message}.", hint)


_MEANINGS = {
    sqlite3.SQLITE_BUSY: (
        f"was held by another program for {BUSY_SECONDS:.0f} seconds",
        "Wait until the other program has finished and run the command again.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "Keep the file and copy it to a stick for repair; then move it away and screen again. Check this disk.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "is damaged or no store at all",
        "Keep the file and copy it to a stick for repair; then move it away and screen again. Check this disk.",
    ),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check that the home folder exists and that you may write to it."),
    sqlite3.SQLITE_READONLY: ("cannot be written to", "Check who owns the home folder and that its disk is writable."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Check the disk and its cable; the system's log says more."),
}


def _no_space(path: Path) -> bool:
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False
