"""What another bundle would say of the same scans: scores, words, and thresholds. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from msgspec import Struct

from aidpost_device.decision import FindingDecision, Word, decide_study
from aidpost_device.preview.link import POINTS, LinkedThreshold, link_threshold, linked_score, rank_correlation


@dataclass(frozen=True)
class Pair:
    """One scan as both bundles read it."""

    study: str
    """The study's code."""
    person: str
    """The person's pseudonym."""
    old: tuple[FindingDecision, ...]
    new: tuple[FindingDecision, ...]
    """Empty where the new bundle rejects the scan."""
    film_lost: bool = False
    """Whether it rejects a scan that its study then lacks a film for."""


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the comparison's parts."""


class FindingChange(Part, frozen=True, kw_only=True):
    """One finding that both bundles know, on the scans that both read and neither wants taken again."""

    label: str
    scans: int
    score_map: tuple[tuple[float, float | None], ...]
    """Old score and the new score that the same share of the scans reaches; None where no old score goes so far."""
    rank_correlation: float | None
    """Of old and new scores; None where one of them is always the same."""
    old_threshold: float
    """In force now."""
    own_threshold: float
    """The one that the new bundle would be decided by: its own, unless the site has set one for it already."""
    linked: LinkedThreshold | None
    """The new bundle's threshold that flags the same share of these scans."""
    refusal: str
    """Why no threshold was linked; empty where one was."""


class ScoreChange(Part, frozen=True, kw_only=True):
    """One finding of a study whose word changes: the highest probability among its scans."""

    label: str
    old: float | None
    """None where this bundle has no such finding."""
    new: float | None
    """None as well where the new bundle rejects all scans."""


class StudyChange(Part, frozen=True, kw_only=True):
    """A study whose word would change. Words are those of the scans that were read again, by what is in force now."""

    study: str
    old: str
    new: str
    scores: tuple[ScoreChange, ...]


class Comparison(Part, frozen=True, kw_only=True):
    """Everything that a preview found in the scans."""

    scans: int
    studies: int
    words: dict[str, int]
    """"OLD > NEW" → studies, unchanged ones included."""
    findings: tuple[FindingChange, ...]
    changes: tuple[StudyChange, ...]


def compare(
    pairs: Sequence[Pair], old_thresholds: Mapping[str, float], new_thresholds: Mapping[str, float]
) -> Comparison:
    """Compare two readings of the same scans; thresholds by label, in force and the new bundle's own."""
    changes: list[tuple[int, StudyChange]] = []
    words: Counter[tuple[str, str]] = Counter()
    for study, group in groupby(sorted(pairs, key=lambda pair: pair.study), key=lambda pair: pair.study):
        scans = list(group)
        old = _word([pair.old for pair in scans])
        new = _word([pair.new for pair in scans], film_lost=any(pair.film_lost for pair in scans))
        words[old, new] += 1
        if old != new:
            change = StudyChange(study=study, old=old, new=new, scores=_scores(scans))
            changes.append((_ORDER[old, new], change))
    return Comparison(
        scans=len(pairs),
        studies=words.total(),
        words={f"{old} > {new}": count for (old, new), count in sorted(words.items())},
        findings=tuple(
            _finding(label, pairs, old_thresholds[label], own)
            for label, own in new_thresholds.items()
            if label in old_thresholds
        ),
        changes=tuple(change for _, change in sorted(changes, key=lambda one: (one[0], one[1].study))),
    )


_WORDS = (Word.REFER, Word.UNSURE, Word.REPEAT, Word.REJECTED, Word.CLEAR)
_ORDER = {
    (old, new): place
    for place, (old, new) in enumerate(
        # Those who would no longer be referred come first, then those who would be.
        sorted(
            ((old, new) for old in _WORDS for new in _WORDS),
            key=lambda pair: (pair[0] is not Word.REFER, pair[1] is not Word.REFER, *map(_WORDS.index, pair)),
        )
    )
}


def _word(scans: Sequence[tuple[FindingDecision, ...]], *, film_lost: bool = False) -> Word:
    """Give the word of a study from the scans that were not rejected."""
    read = [findings for findings in scans if findings]
    return decide_study(read, film_lost=film_lost) if read else Word.REJECTED


def _scores(scans: Sequence[Pair]) -> tuple[ScoreChange, ...]:
    """Set the highest probabilities of each finding side by side."""
    old, new = (_highest(readings) for readings in ([pair.old for pair in scans], [pair.new for pair in scans]))
    labels = dict.fromkeys([*old, *new])
    return tuple(ScoreChange(label=label, old=old.get(label), new=new.get(label)) for label in labels)


def _highest(scans: Sequence[tuple[FindingDecision, ...]]) -> dict[str, float]:
    highest: dict[str, float] = {}
    for found in (found for findings in scans for found in findings):
        highest[found.label] = max(found.probability, highest.get(found.label, 0.0))
    return highest


def _finding(label: str, pairs: Sequence[Pair], old_threshold: float, own_threshold: float) -> FindingChange:
    scores, people = [], []
    for pair in pairs:
        old, new = (
            next((found for found in findings if found.label == label), None) for findings in (pair.old, pair.new)
        )
        # Scores of a scan that is to be taken again mean nothing: they would move a threshold that decides good ones.
        if old is not None and new is not None and Word.REPEAT not in (old.word, new.word):
            scores.append((old.probability, new.probability))
            people.append(pair.person)
    old_scores, new_scores = np.array(scores, np.float64).reshape(-1, 2).T
    linked = link_threshold(old_scores, new_scores, old_threshold, people)
    return FindingChange(
        label=label,
        scans=len(scores),
        score_map=tuple((point, linked_score(old_scores, new_scores, point)) for point in POINTS),
        rank_correlation=rank_correlation(old_scores, new_scores),
        old_threshold=old_threshold,
        own_threshold=own_threshold,
        linked=None if isinstance(linked, str) else linked,
        refusal=linked if isinstance(linked, str) else "",
    )
