"""The store's schema as named steps, each recorded with its effect in one transaction.

Steps only add. Each states the oldest reader that still works on a store to which it was applied, so that a program
that was rolled back opens the same data.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from aidpost_device import __version__
from aidpost_device.errors import StoreError
from aidpost_device.store.transaction import transaction

APPLICATION_ID = 0x41494450
"""SQLite application id of a store: "AIDP"."""


@dataclass(frozen=True)
class Step:
    """One change of the schema."""

    name: str
    oldest_reader: int
    """The smallest number of steps that a program must know to use a store with this step applied."""
    statements: tuple[str, ...]


def migrate(connection: sqlite3.Connection, steps: tuple[Step, ...]) -> None:
    """Apply the steps that are missing. Raises `StoreError` where the store is foreign or too new for this program."""
    _refuse_foreign(connection)
    with transaction(connection):
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(_LEDGER)
        applied = connection.execute("SELECT name, oldest_reader FROM migration ORDER BY position").fetchall()
        _refuse_newer(applied, steps)
        for position, step in list(enumerate(steps))[len(applied) :]:
            for statement in step.statements:
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migration (position, name, oldest_reader, program) VALUES (?, ?, ?, ?)",
                (position, step.name, step.oldest_reader, __version__),
            )


_LEDGER = """
CREATE TABLE IF NOT EXISTS migration (
    position INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    oldest_reader INTEGER NOT NULL,
    program TEXT NOT NULL
) STRICT"""


def _refuse_foreign(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if found != APPLICATION_ID and (found or tables):
        raise StoreError(
            "The file that stands where the store should be belongs to another program.",
            "Move the file away, or choose another home folder with AIDPOST_HOME.",
        )


def _refuse_newer(applied: list[tuple[str, int]], steps: tuple[Step, ...]) -> None:
    reader = len(steps)
    needed = max((oldest for _, oldest in applied), default=0)
    if needed > reader:
        raise StoreError(
            f"The store was changed by a newer program: it needs reader {needed} and this program is reader {reader}.",
            "Update the program on this box. The data are whole and were not touched.",
        )
    known = [step.name for step in steps]
    names = [name for name, _ in applied]
    shared = min(len(names), len(known))
    if names[:shared] != known[:shared]:
        raise StoreError(
            "The store was made by a program of another line: its steps are not this program's.",
            "Use the program that made it. The data are whole and were not touched.",
        )
