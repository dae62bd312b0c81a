"""Worst first: the order of a report, for people who begin at the top."""

from __future__ import annotations

from collections.abc import Iterable

from aidpost_device.decision import FindingDecision, Word

ORDER = (Word.REFER, Word.UNSURE, Word.REPEAT, Word.CLEAR)
"""Words, the one that cannot wait first."""
Rank = tuple[int, float]
"""Place in a report, the smallest first."""


def leading(findings: Iterable[FindingDecision], referring: frozenset[str]) -> FindingDecision:
    """Pick the finding that a scan is shown for: the worst word, then the highest probability.

    Findings that do not refer, such as "normal", lead only where there is nothing else.
    """
    return min(findings, key=lambda found: (found.label not in referring, ORDER.index(found.word), -found.probability))


def rank(word: Word, lead: FindingDecision) -> Rank:
    """Give the place of a scan or study in the report; the smallest comes first."""
    return ORDER.index(word), -lead.probability
