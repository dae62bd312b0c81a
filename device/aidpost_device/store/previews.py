"""What the store keeps of previews, and what it tells them of the scans that a bundle has read."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from aidpost_device import __version__
from aidpost_device.decision import FindingDecision
from aidpost_device.store.connection import insert
from aidpost_device.store.readings import now
from aidpost_device.store.rows import finding_of

TABLE = """
    CREATE TABLE preview (
        id INTEGER PRIMARY KEY,
        bundle TEXT NOT NULL,
        bundle_sha256 TEXT NOT NULL,
        active_sha256 TEXT NOT NULL,
        wanted INTEGER NOT NULL,
        scans INTEGER NOT NULL,
        unavailable INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        result_sha256 TEXT NOT NULL,
        program TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT"""
_PATHS = 3
"""Places of a scan that are looked at, the one where it was seen last first."""


@dataclass(frozen=True)
class PreviewRecord:
    """One preview that was made."""

    bundle: str
    """Name of the bundle."""
    bundle_sha256: str
    active_sha256: str
    """Digest of the bundle that it was held against."""
    wanted: int
    """Stored scans that were to be read."""
    scans: int
    """Scans that were read."""
    unavailable: int
    changed: int
    """Studies whose word would change."""
    result_sha256: str
    """Digest of the whole result."""


@dataclass(frozen=True)
class ReadScan:
    """A stored scan with what a bundle has said of it."""

    sha256: str
    study: str
    """The study's code."""
    person: str
    """The person's pseudonym."""
    paths: tuple[bytes, ...]
    """Where its content was seen, the last place first."""
    findings: tuple[FindingDecision, ...]


def put_preview(connection: sqlite3.Connection, made: PreviewRecord) -> None:
    """Record a preview."""
    insert(
        connection,
        "INSERT INTO preview (bundle, bundle_sha256, active_sha256, wanted, scans, unavailable, changed, "
        "result_sha256, program, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        made.bundle,
        made.bundle_sha256,
        made.active_sha256,
        made.wanted,
        made.scans,
        made.unavailable,
        made.changed,
        made.result_sha256,
        __version__,
        now(),
    )


def has_preview(connection: sqlite3.Connection, bundle_sha256: str, active_sha256: str) -> bool:
    """Whether exactly this bundle was held against that one."""
    query = "SELECT 1 FROM preview WHERE (bundle_sha256, active_sha256) = (?, ?)"
    return connection.execute(query, (bundle_sha256, active_sha256)).fetchone() is not None


def has_readings(connection: sqlite3.Connection, bundle_sha256: str) -> bool:
    """Whether a bundle has read anything here."""
    query = "SELECT 1 FROM reading WHERE bundle_sha256 = ? LIMIT 1"
    return connection.execute(query, (bundle_sha256,)).fetchone() is not None


def last_scans(connection: sqlite3.Connection, bundle_sha256: str, last: int) -> list[ReadScan]:
    """Give the last scans that a bundle has read, the newest first; of several readings of one, the newest."""
    places: dict[int, list[bytes]] = {}
    for scan, path in connection.execute(_PLACES, (bundle_sha256, last)):
        places.setdefault(scan, []).append(path)
    found = connection.execute(_LAST, (bundle_sha256, last)).fetchall()
    return [
        ReadScan(
            sha256=sha256,
            study=study,
            person=person,
            paths=tuple(places.get(scan, ())[:_PATHS]),
            findings=tuple(finding_of(*line[4:]) for line in lines),
        )
        for (scan, sha256, study, person), lines in groupby(found, key=itemgetter(0, 1, 2, 3))
    ]


_NEWEST = """
WITH newest AS (
    SELECT scan_id, max(id) AS id FROM reading WHERE bundle_sha256 = ? GROUP BY scan_id ORDER BY max(id) DESC LIMIT ?
)"""
_LAST = f"""{_NEWEST}
SELECT scan.id, scan.sha256, study.code, person.pseudonym,
    finding.label, finding.probability, finding.threshold, finding.word, finding.reasons, finding.region,
    finding.local_probability
FROM newest
JOIN scan ON scan.id = newest.scan_id
JOIN study ON study.id = scan.study_id
JOIN person ON person.id = study.person_id
JOIN reading_finding AS finding ON finding.reading_id = newest.id
ORDER BY newest.id DESC, finding.position"""  # noqa: S608 - our own words
_PLACES = f"""{_NEWEST}
SELECT item.scan_id, item.path FROM item JOIN newest ON newest.scan_id = item.scan_id
GROUP BY item.scan_id, item.path ORDER BY max(item.screening_id) DESC, item.path"""  # noqa: S608 - our own words
