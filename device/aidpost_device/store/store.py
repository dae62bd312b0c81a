"""The store's own interface: begin a screening, record what became of its files, tell what is recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from aidpost_device import __version__
from aidpost_device.in_force import Signed, SitePrevalence, SiteSettings, SiteThreshold
from aidpost_device.store import previews
from aidpost_device.store.audit import AuditRow, append_audit, audit_rows
from aidpost_device.store.connection import connect, insert, speaking
from aidpost_device.store.outcomes import ConfirmedOutcome, OutcomeSource, ScoredScan, put_outcomes, scored_scans
from aidpost_device.store.people import scan_id
from aidpost_device.store.readings import now, put_reading, put_rejection, reading_id
from aidpost_device.store.records import Item, Known, ReadingKey, Rejection, Stamp
from aidpost_device.store.rows import Row, rows
from aidpost_device.store.schema import STEPS
from aidpost_device.store.site import put_setting, site_settings, withdraw_setting
from aidpost_device.store.transaction import transaction


@dataclass(frozen=True)
class Screening:
    """One run over some files, with one bundle, into one output folder."""

    id: int
    key: ReadingKey


class Store:
    """An open store. What a method has returned from is on the disk."""

    def __init__(self, path: Path) -> None:
        """Open or create the store at `path`. Raises `StoreError` or `StorageFullError`."""
        self.path = path
        self._connection = connect(path, STEPS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; further calls fail."""
        self._connection.close()

    def begin(self, output: bytes, sources_sha256: str, key: ReadingKey) -> Screening:
        """Go on with the unfinished screening of the same sources, output folder and key, or begin a new one.

        One that another version of the program began is not gone on with: this one may read what that one rejected.
        """
        same = (output, sources_sha256, key.bundle_sha256, key.settings_sha256, __version__)
        with self._writing() as connection:
            found = connection.execute(
                "SELECT id FROM screening WHERE finished_at IS NULL AND (output, sources_sha256, bundle_sha256, "
                "settings_sha256, program) = (?, ?, ?, ?, ?) ORDER BY id DESC LIMIT 1",
                same,
            ).fetchone()
            if found is not None:
                return Screening(int(found[0]), key)
            made = insert(
                connection,
                "INSERT INTO screening (output, sources_sha256, bundle_sha256, settings_sha256, program, started_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                *same,
                now(),
            )
            return Screening(made, key)

    def remaining(self, screening: Screening, stamps: Iterable[Stamp]) -> list[Stamp]:
        """Give the files that this screening has not recorded as they stand now.

        A stamp is trusted within one unfinished screening only. Two films of one machine can have the same size, and
        the same time of change where the machine has no clock.
        """
        with speaking(self.path):
            return [
                stamp
                for stamp in stamps
                if _row(self._connection, screening, stamp.path) != (stamp.size_bytes, stamp.mtime_ns)
            ]

    def without_row(self, screening: Screening, items: Iterable[Item]) -> list[Item]:
        """Give the items whose path this screening has no row of. What was read stands, also if its disk is gone."""
        with speaking(self.path):
            return [item for item in items if _row(self._connection, screening, item.stamp.path) is None]

    def expected(self, key: ReadingKey, stamps: Iterable[Stamp]) -> dict[bytes, str]:
        """Give, by path, the digest of what was last read at a stamp with this key. Only the content can prove it."""
        with speaking(self.path):
            found = ((stamp.path, _read_earlier(self._connection, key, stamp)) for stamp in stamps)
            return {path: sha256 for path, sha256 in found if sha256 is not None}

    def has_reading(self, key: ReadingKey, sha256: str) -> bool:
        """Whether this content was read with this key."""
        with speaking(self.path):
            return reading_id(self._connection, key, sha256) is not None

    def record(self, screening: Screening, items: Iterable[Item]) -> None:
        """Record what became of some files, all or none. A content that has a reading keeps the one it has."""
        with self._writing() as connection:
            for item in items:
                outcome = item.outcome
                if isinstance(outcome, Rejection):
                    rejection = put_rejection(connection, outcome)
                    _put_item(connection, screening, item.stamp, rejection=rejection)
                elif isinstance(outcome, Known):
                    _put_item(connection, screening, item.stamp, scan=scan_id(connection, outcome.sha256))
                else:
                    scan = put_reading(connection, screening.key, outcome)
                    _put_item(connection, screening, item.stamp, scan=scan)

    def finish(self, screening: Screening) -> None:
        """Mark a screening as complete: the next one of the same files begins anew."""
        with self._writing() as connection:
            connection.execute("UPDATE screening SET finished_at = ? WHERE id = ?", (now(), screening.id))

    def rows(self, screening: Screening) -> Iterator[Row]:
        """Give one row per file of the screening, in the order of their paths."""
        with speaking(self.path):
            yield from rows(self._connection, screening.id, screening.key)

    def site_settings(self) -> SiteSettings:
        """Give what the site has set and not withdrawn."""
        with speaking(self.path):
            return site_settings(self._connection)

    def put_setting(self, setting: SiteThreshold | SitePrevalence) -> None:
        """Set a threshold or a prevalence, with its row of the audit trail."""
        with self._writing() as connection:
            put_setting(connection, setting)

    def withdraw_setting(self, setting: SiteThreshold | SitePrevalence) -> None:
        """Withdraw a threshold or a prevalence, with its row of the audit trail; `setting` says whose and why."""
        with self._writing() as connection:
            withdraw_setting(connection, setting)

    def adopt(
        self, source: OutcomeSource, outcomes: Iterable[ConfirmedOutcome], setting: SiteThreshold
    ) -> tuple[int, int]:
        """Record outcomes and the threshold that was chosen on them, all or nothing.

        Gives how many outcomes were added, and how many of these put another answer in the place of an earlier one.
        """
        with self._writing() as connection:
            counts = put_outcomes(connection, source, outcomes)
            put_setting(connection, setting)
            return counts

    def scored_scans(self, bundle_sha256: str, variant: str, finding: str) -> list[ScoredScan]:
        """Give every scan that this graph of this bundle read."""
        with speaking(self.path):
            return scored_scans(self._connection, bundle_sha256, variant, finding)

    def audit_event(self, signed: Signed, action: str, subject: str, details: Mapping[str, object]) -> None:
        """Add a row to the audit trail, of what is recorded nowhere else."""
        with self._writing() as connection:
            append_audit(connection, signed.at, signed.author, action, subject, details)

    def audit(self) -> list[AuditRow]:
        """List the audit trail, the oldest row first."""
        with speaking(self.path):
            return audit_rows(self._connection)

    def has_readings(self, bundle_sha256: str) -> bool:
        """Whether a bundle has read anything here."""
        with speaking(self.path):
            return previews.has_readings(self._connection, bundle_sha256)

    def last_scans(self, bundle_sha256: str, last: int) -> list[previews.ReadScan]:
        """Give the last scans that a bundle has read, the newest first."""
        with speaking(self.path):
            return previews.last_scans(self._connection, bundle_sha256, last)

    def has_preview(self, bundle_sha256: str, active_sha256: str) -> bool:
        """Whether a preview of exactly this bundle against that one is recorded."""
        with speaking(self.path):
            return previews.has_preview(self._connection, bundle_sha256, active_sha256)

    def record_preview(self, made: previews.PreviewRecord) -> None:
        """Record that a preview was made."""
        with self._writing() as connection:
            previews.put_preview(connection, made)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with speaking(self.path), transaction(self._connection):
            yield self._connection


def _row(connection: sqlite3.Connection, screening: Screening, path: bytes) -> tuple[int, int] | None:
    """Give the size and the time of change that a path was recorded with."""
    found: tuple[int, int] | None = connection.execute(
        "SELECT size_bytes, mtime_ns FROM item WHERE screening_id = ? AND path = ?", (screening.id, path)
    ).fetchone()
    return found


def _read_earlier(connection: sqlite3.Connection, key: ReadingKey, stamp: Stamp) -> str | None:
    found = connection.execute(
        "SELECT scan.sha256 FROM item JOIN scan ON scan.id = item.scan_id JOIN reading ON reading.scan_id = scan.id "
        "WHERE item.scan_id IS NOT NULL AND (item.path, item.size_bytes, item.mtime_ns) = (?, ?, ?) "
        "AND (reading.bundle_sha256, reading.settings_sha256) = (?, ?) ORDER BY item.screening_id DESC LIMIT 1",
        (stamp.path, stamp.size_bytes, stamp.mtime_ns, key.bundle_sha256, key.settings_sha256),
    ).fetchone()
    return None if found is None else str(found[0])


def _put_item(
    connection: sqlite3.Connection,
    screening: Screening,
    stamp: Stamp,
    *,
    scan: int | None = None,
    rejection: int | None = None,
) -> None:
    connection.execute(
        "INSERT INTO item (screening_id, path, size_bytes, mtime_ns, scan_id, rejection_id) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (screening_id, path) DO UPDATE SET size_bytes = excluded.size_bytes, "
        "mtime_ns = excluded.mtime_ns, scan_id = excluded.scan_id, rejection_id = excluded.rejection_id",
        (screening.id, stamp.path, stamp.size_bytes, stamp.mtime_ns, scan, rejection),
    )
