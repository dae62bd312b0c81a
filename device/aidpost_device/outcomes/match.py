"""Matching: which study each outcome is of, and which probability counts for it. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aidpost_device.decision import Word
from aidpost_device.outcomes.table import Fault, Key, OutcomeTable
from aidpost_device.reason import Reason
from aidpost_device.report.path_text import path_text
from aidpost_device.store.outcomes import ScoredScan


@dataclass(frozen=True)
class Case:
    """One study with its confirmed outcome."""

    study: str
    person: str
    """Who it is of: cases of one person are no independent witnesses."""
    probability: float
    """The highest among the scans that vote."""
    positive: bool
    age_years: float | None
    sex: str


@dataclass(frozen=True)
class Matched:
    """The studies of a file of outcomes."""

    answers: dict[str, bool]
    """Study → whether the finding was confirmed."""
    cases: tuple[Case, ...]
    """The studies that can be counted."""
    faults: tuple[Fault, ...]

    @property
    def left_out(self) -> int:
        """Studies without a scan that votes: each is to be taken again, or of an age the finding is not decided at."""
        return len(self.answers) - len(self.cases)


def match(table: OutcomeTable, scans: Iterable[ScoredScan], graph: str, folder: Path) -> Matched:
    """Find the study of each row and count it once.

    `graph` names bundle and variant in messages; relative paths are taken from `folder`, where the file lies.
    """
    studies: dict[str, list[ScoredScan]] = {}
    for scan in scans:
        studies.setdefault(scan.study, []).append(scan)
    known = _index(table.key, studies)
    answers: dict[str, bool] = {}
    said_in: dict[str, int] = {}
    people: dict[str, str] = {}
    faults = []
    for row in table.rows:
        found = set().union(*(known.get(spelling, ()) for spelling in _spellings(table.key, row.value, folder)))
        if len(found) != 1:
            faults.append(Fault(row.row, *_unmatched(table.key, row.value, len(found), graph)))
            continue
        (study,) = found
        if answers.setdefault(study, row.positive) is not row.positive:
            text = f"{table.key} {row.value!r} has another outcome than row {said_in[study]}, of the same study {study}"
            faults.append(Fault(row.row, text, "Keep the row that is right"))
        said_in.setdefault(study, row.row)
        # An image without a header is of nobody that the box knows; the file may know better.
        people.setdefault(study, f"in the file: {row.patient}" if row.patient else studies[study][0].person)
    cases = (_case(study, studies[study], people[study], positive) for study, positive in answers.items())
    return Matched(answers, tuple(case for case in cases if case is not None), tuple(faults))


def voting(scans: Sequence[ScoredScan]) -> ScoredScan | None:
    """Give the scan of a study that counts: the highest among those that are decided by their probability."""
    voters = [scan for scan in scans if scan.word is not Word.REPEAT and Reason.AGE_OUTSIDE not in scan.reasons]
    return max(voters, key=lambda scan: scan.probability, default=None)


def _case(study: str, scans: Sequence[ScoredScan], person: str, positive: bool) -> Case | None:
    counted = voting(scans)
    if counted is None:
        return None
    return Case(study, person, counted.probability, positive, counted.age_years, counted.sex)


def _index(key: Key, studies: dict[str, list[ScoredScan]]) -> dict[str, set[str]]:
    """Name each study by its code, its contents, its patient's number or its files."""
    known: dict[str, set[str]] = {}
    for study, scans in studies.items():
        for scan in scans:
            named = {
                "sha256": (scan.sha256,),
                "study": (study,),
                "patient": (scan.local_id,) if scan.local_id else (),
                "path": (*map(path_text, scan.paths), *map(os.fsdecode, scan.paths)),
            }
            for name in named[key]:
                known.setdefault(name, set()).add(study)
    return known


def _spellings(key: Key, value: str, folder: Path) -> set[str]:
    """Give the ways in which the record may name what a file names."""
    if key == "path":
        return {value, os.path.normpath(folder / value)}
    return {value.lower() if key == "sha256" else value.upper() if key == "study" else value}


def _unmatched(key: Key, value: str, found: int, graph: str) -> tuple[str, str]:
    if found:
        return f"{key} {value!r} has {found} studies", "Name the study by its code, in a column study"
    return f"no scan with {key} {value!r} was read by {graph}", "Screen it first, or take the row out"
