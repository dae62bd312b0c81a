"""The audit trail: who changed what on this box, when and why. Rows are only added, each chained to the one before.

A row holds a digest over its own content and the digest of the row before, so that a row that was changed, taken out or
put between shows in every later one. Nothing that identifies a patient belongs into a row.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from aidpost_device.store.connection import insert

FIRST = "0" * 64
"""What stands for the digest before the first row."""


@dataclass(frozen=True)
class AuditRow:
    """One row of the trail."""

    id: int
    at: str
    """UTC, ISO 8601, as the box's clock showed it."""
    author: str
    action: str
    """Short stable code of what was done."""
    subject: str
    """What it was done to."""
    details: str
    """Canonical JSON."""
    previous_sha256: str
    sha256: str

    def digest(self) -> str:
        """Compute what `sha256` has to be."""
        content = [self.id, self.at, self.author, self.action, self.subject, self.details, self.previous_sha256]
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def canonical(details: Mapping[str, object]) -> str:
    """Write details in their one form: sorted keys, no white space."""
    return msgspec.json.encode(details, order="sorted").decode()


def append_audit(
    connection: sqlite3.Connection, at: str, author: str, action: str, subject: str, details: Mapping[str, object]
) -> None:
    """Add a row, in the transaction of what it records: the lock of that transaction keeps the chain straight."""
    last = connection.execute("SELECT id, sha256 FROM audit ORDER BY id DESC LIMIT 1").fetchone() or (0, FIRST)
    row = AuditRow(last[0] + 1, at, author, action, subject, canonical(details), last[1], "")
    insert(
        connection,
        "INSERT INTO audit (id, at, author, action, subject, details, previous_sha256, sha256) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        *(row.id, row.at, row.author, row.action, row.subject, row.details, row.previous_sha256, row.digest()),
    )


def audit_rows(connection: sqlite3.Connection) -> list[AuditRow]:
    """List the trail, the oldest row first."""
    return [
        AuditRow(*found)
        for found in connection.execute(
            "SELECT id, at, author, action, subject, details, previous_sha256, sha256 FROM audit ORDER BY id"
        )
    ]
