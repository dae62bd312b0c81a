"""Confirmed outcomes: what became of people after they were screened, and the readings they are matched with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aidpost_device.decision import Word
from aidpost_device.reason import Reason
from aidpost_device.store.audit import append_audit
from aidpost_device.store.connection import insert


@dataclass(frozen=True)
class ScoredScan:
    """One scan as one graph scored it for one finding, with what names it in a file of outcomes."""

    study: str
    """The study's code."""
    person: str
    """The person's pseudonym."""
    sha256: str
    local_id: str
    """The person's number at the clinic. Identifying: it is compared with a file and goes nowhere else."""
    age_years: float | None
    sex: str
    probability: float
    word: Word
    reasons: tuple[Reason, ...]
    paths: tuple[bytes, ...]
    """Where its content was found when it was last screened there."""


@dataclass(frozen=True)
class ConfirmedOutcome:
    """Whether the people of one study had the finding, as the clinic confirmed it."""

    study: str
    """The study's code."""
    finding: str
    positive: bool


@dataclass(frozen=True)
class OutcomeSource:
    """Where outcomes come from."""

    author: str
    at: str
    """UTC, ISO 8601."""
    sha256: str
    """Digest of the file."""


def scored_scans(connection: sqlite3.Connection, bundle_sha256: str, variant: str, finding: str) -> list[ScoredScan]:
    """Give every scan that this graph read, by its latest reading: settings change words, never probabilities."""
    paths: dict[int, list[bytes]] = {}
    for scan, path in connection.execute(_PATHS):
        paths.setdefault(scan, []).append(path)
    found = connection.execute(_SCORED, (bundle_sha256, variant, finding))
    return [_scored(line, tuple(paths.get(line[0], ()))) for line in found]


def put_outcomes(
    connection: sqlite3.Connection, source: OutcomeSource, outcomes: Iterable[ConfirmedOutcome]
) -> tuple[int, int]:
    """Add outcomes and their row of the audit trail; a study that has the same answer already gets no second row.

    Gives how many were added, and how many of these put another answer in the place of an earlier one.
    """
    added = changed = 0
    findings = set()
    for one in outcomes:
        findings.add(one.finding)
        (study,) = connection.execute("SELECT id FROM study WHERE code = ?", (one.study,)).fetchone()
        before = connection.execute(_LATEST, (study, one.finding)).fetchone()
        if before is not None and bool(before[0]) == one.positive:
            continue
        insert(
            connection,
            "INSERT INTO outcome (at, author, study_id, finding, positive, source_sha256) VALUES (?, ?, ?, ?, ?, ?)",
            *(source.at, source.author, study, one.finding, one.positive, source.sha256),
        )
        added, changed = added + 1, changed + (before is not None)
    details = {"source_sha256": source.sha256, "added": added, "changed": changed}
    subject = f"finding {', '.join(sorted(findings))}"
    append_audit(connection, source.at, source.author, "outcomes-added", subject, details)
    return added, changed


def _scored(line: tuple[Any, ...], paths: tuple[bytes, ...]) -> ScoredScan:
    _, study, person, sha256, local_id, age_years, sex, probability, word, reasons = line
    given = tuple(map(Reason, reasons.split()))
    return ScoredScan(study, person, sha256, local_id or "", age_years, sex, probability, Word(word), given, paths)


_SCORED = """
SELECT scan.id, study.code, person.pseudonym, scan.sha256, identity.local_id, scan.age_years, scan.sex,
    finding.probability, finding.word, finding.reasons
FROM reading
JOIN scan ON scan.id = reading.scan_id
JOIN study ON study.id = scan.study_id
JOIN person ON person.id = study.person_id
LEFT JOIN identity ON identity.person_id = person.id
JOIN reading_finding AS finding ON finding.reading_id = reading.id
WHERE finding.label = ?3 AND reading.id IN (
    SELECT max(id) FROM reading WHERE (bundle_sha256, variant) = (?1, ?2) GROUP BY scan_id
)
ORDER BY study.code, scan.sha256"""

_PATHS = """
SELECT DISTINCT item.scan_id, item.path FROM item
JOIN (SELECT path, max(screening_id) AS screening_id FROM item GROUP BY path) AS last
    ON (last.path, last.screening_id) = (item.path, item.screening_id)
WHERE item.scan_id IS NOT NULL"""

_LATEST = "SELECT positive FROM outcome WHERE (study_id, finding) = (?, ?) ORDER BY id DESC LIMIT 1"
