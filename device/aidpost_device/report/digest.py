"""The digest of a screening: how many of what, and the studies and rejections that a page has room for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import nsmallest

from aidpost_device.decision import FindingDecision, Word, decide_scan
from aidpost_device.report.rank import ORDER, leading, rank
from aidpost_device.store.rows import RejectedRow, Row, ScanRow

STUDIES = 100
"""Studies that the page shows."""
REJECTIONS = 200
"""Rejected files that the page lists."""


Place = tuple[int, bool, float]
"""Where a study stands in the report, the smallest first: its word, whether it is shown by a file that has another
word (another scan decided), and the probability that it is shown for, the highest first."""


@dataclass
class StudyDigest:
    """One study by its worst file."""

    place: Place = (len(ORDER), True, 0.0)
    worst: ScanRow | None = None
    """The file it is shown by; None where the study has no room on the page."""
    files: Counter[Word] = field(default_factory=Counter)
    """Files of this screening by the word that each would have alone."""


@dataclass
class Digest:
    """Takes in the rows of a screening, keeping little of each."""

    referring: frozenset[str]
    """Labels of the findings that refer."""
    files: int = 0
    decided: Counter[Word] = field(default_factory=Counter)
    """Files by the word of their study, or REJECTED."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Rejected files by reason."""
    examples: dict[str, RejectedRow] = field(default_factory=dict)
    """The first rejected file of each reason."""
    rejected: list[RejectedRow] = field(default_factory=list)
    """The first rejected files."""
    _studies: dict[str, StudyDigest] = field(default_factory=dict)
    _shown: set[str] = field(default_factory=set)

    def add(self, row: Row) -> None:
        """Take in one file."""
        self.files += 1
        if isinstance(row, ScanRow):
            self.decided[row.decision] += 1
            self._add_scan(row)
            return
        self.decided[Word.REJECTED] += 1
        self.reasons[row.reason] += 1
        self.examples.setdefault(row.reason, row)
        if len(self.rejected) < REJECTIONS:
            self.rejected.append(row)

    def lead(self, row: ScanRow) -> FindingDecision:
        """Pick the finding that a file is shown for."""
        return leading(row.findings, self.referring)

    def worst(self) -> list[tuple[ScanRow, StudyDigest]]:
        """Give the studies of the page, worst first, each with the file that it is shown by."""
        self._trim()
        shown = sorted((self._studies[code] for code in self._shown), key=lambda study: study.place)
        return [(study.worst, study) for study in shown if study.worst is not None]

    @property
    def studies(self) -> Counter[Word]:
        """Studies by their word."""
        return Counter(ORDER[study.place[0]] for study in self._studies.values())

    def _add_scan(self, row: ScanRow) -> None:
        alone = decide_scan(row.findings)
        urgency, milder = rank(row.decision, self.lead(row))
        place = (urgency, alone is not row.decision, milder)
        study = self._studies.setdefault(row.study, StudyDigest())
        study.files[alone] += 1
        if place < study.place:
            study.place, study.worst = place, row
            self._shown.add(row.study)
        if len(self._shown) > 2 * STUDIES:
            self._trim()

    def _trim(self) -> None:
        kept = set(nsmallest(STUDIES, self._shown, key=lambda code: self._studies[code].place))
        for code in self._shown - kept:
            self._studies[code].worst = None
        self._shown = kept
