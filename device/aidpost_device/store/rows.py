"""What the store tells of a screening: one row per file, with the word of the study it belongs to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from aidpost_device.decision import FindingDecision, Word, decide_study
from aidpost_device.reason import Reason
from aidpost_device.store.records import Model, ReadingKey


@dataclass(frozen=True)
class ScanRow:
    """One file that was read."""

    path: bytes
    sha256: str
    study: str
    """The study's code."""
    person: str
    """The person's pseudonym."""
    decision: Word
    """The study's word, over all scans of the study that were read with the same bundle and settings."""
    other_scan: bool
    """Whether a scan that is not in this screening decides the study."""
    findings: tuple[FindingDecision, ...]
    model: Model
    decoder: str
    milliseconds: float
    film_unreadable: bool = False
    """Whether a film of the study could not be read in this screening."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons of all findings, each once, and those of the study."""
        found = dict.fromkeys(reason for finding in self.findings for reason in finding.reasons)
        return (*found, *self.study_reasons)

    @property
    def study_reasons(self) -> tuple[Reason, ...]:
        """The reasons that lie in the study's other files."""
        given = ((Reason.OTHER_SCAN, self.other_scan), (Reason.FILM_UNREADABLE, self.film_unreadable))
        return tuple(reason for reason, applies in given if applies)


@dataclass(frozen=True)
class RejectedRow:
    """One file that was not read."""

    path: bytes
    sha256: str | None
    reason: str
    message: str
    hint: str
    milliseconds: float
    study: str = ""
    """The study's code; empty where no header says which it belongs to."""
    person: str = ""
    """The person's pseudonym; empty where the study is."""


Row: TypeAlias = ScanRow | RejectedRow


def rows(connection: sqlite3.Connection, screening: int, key: ReadingKey) -> Iterator[Row]:
    """Give the files of a screening in the order of their paths."""
    decided = _decide_studies(connection, screening, key)
    found = connection.execute(_ITEMS, (key.bundle_sha256, key.settings_sha256, screening))
    for _, group in groupby(found, key=itemgetter(0)):
        lines = list(group)
        yield _rejected_row(lines[0]) if lines[0][_REJECTION_AT] is not None else _scan_row(lines, decided)


# The order of the primary keys of `item` and `reading_finding` is the order asked for: nothing is sorted.
_ITEMS = """
SELECT item.path,
    rejection.reason, rejection.sha256, rejection.message, rejection.hint, rejection.milliseconds,
    scan.sha256, study.id, study.code, person.pseudonym,
    reading.bundle, reading.bundle_version, reading.variant, reading.model_sha256,
    reading.decoder, reading.milliseconds,
    finding.label, finding.probability, finding.threshold, finding.word, finding.reasons, finding.region,
    finding.local_probability
FROM item
LEFT JOIN rejection ON rejection.id = item.rejection_id
LEFT JOIN scan ON scan.id = item.scan_id
LEFT JOIN study ON study.id = coalesce(scan.study_id, rejection.study_id)
LEFT JOIN person ON person.id = study.person_id
LEFT JOIN reading ON reading.scan_id = scan.id AND (reading.bundle_sha256, reading.settings_sha256) = (?, ?)
LEFT JOIN reading_finding AS finding ON finding.reading_id = reading.id
WHERE item.screening_id = ?
ORDER BY item.path, finding.position"""
_REJECTION_AT = 1
_SCAN_AT = 6
_STUDY_AT = 8
_FINDING_AT = 16

_WORDS = """
WITH here AS (SELECT DISTINCT scan_id FROM item WHERE screening_id = ?1 AND scan_id IS NOT NULL)
SELECT scan.study_id, scan.id, scan.id IN here,
    finding.label, finding.probability, finding.threshold, finding.word, finding.reasons, finding.region,
    finding.local_probability
FROM scan
JOIN reading ON reading.id = coalesce(
    (SELECT id FROM reading WHERE scan_id = scan.id AND (bundle_sha256, settings_sha256) = (?2, ?3)),
    (SELECT max(id) FROM reading WHERE scan_id = scan.id AND bundle_sha256 = ?2)
)
JOIN reading_finding AS finding ON finding.reading_id = reading.id
WHERE scan.study_id IN (SELECT study_id FROM scan WHERE id IN here)
ORDER BY scan.study_id, scan.id, finding.position"""
"""A scan of an earlier screening votes by the word it got there, also if the site has changed a setting since."""


_LOST = """
SELECT DISTINCT rejection.study_id FROM item JOIN rejection ON rejection.id = item.rejection_id
WHERE item.screening_id = ? AND rejection.film_lost"""


@dataclass(frozen=True)
class _Decided:
    """A study's word and what lies in its other files."""

    word: Word
    other_scan: bool
    film_unreadable: bool


def _decide_studies(connection: sqlite3.Connection, screening: int, key: ReadingKey) -> dict[int, _Decided]:
    lost = {study for (study,) in connection.execute(_LOST, (screening,))}
    found = connection.execute(_WORDS, (screening, key.bundle_sha256, key.settings_sha256))
    decided = {}
    for study, lines in groupby(found, key=itemgetter(0)):
        scans, here = [], []
        for (_, is_here), group in groupby(lines, key=itemgetter(1, 2)):
            scans.append([finding_of(*line[3:]) for line in group])
            if is_here:
                here.append(scans[-1])
        word = decide_study(scans, film_lost=study in lost)
        decided[study] = _Decided(word, word is not decide_study(here, film_lost=study in lost), study in lost)
    return decided


def _scan_row(lines: list[tuple[Any, ...]], decided: dict[int, _Decided]) -> ScanRow:
    sha256, study_id, study, person, *model, decoder, milliseconds = lines[0][_SCAN_AT:_FINDING_AT]
    of_study = decided[study_id]
    return ScanRow(
        path=lines[0][0],
        sha256=sha256,
        study=study,
        person=person,
        decision=of_study.word,
        other_scan=of_study.other_scan,
        findings=tuple(finding_of(*line[_FINDING_AT:]) for line in lines),
        model=Model(*model),
        decoder=decoder,
        milliseconds=milliseconds,
        film_unreadable=of_study.film_unreadable,
    )


def _rejected_row(line: tuple[Any, ...]) -> RejectedRow:
    path, reason, sha256, message, hint, milliseconds = line[:_SCAN_AT]
    study, person = line[_STUDY_AT : _STUDY_AT + 2]
    return RejectedRow(path, sha256, reason, message, hint, milliseconds, study or "", person or "")


def finding_of(
    label: str, probability: float, threshold: float, word: str, reasons: str, region: str, local: float | None
) -> FindingDecision:
    """Make a finding of its columns, in the order in which they are asked for."""
    given = tuple(map(Reason, reasons.split()))
    return FindingDecision(label, probability, threshold, Word(word), given, region, local)
