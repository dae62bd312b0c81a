"""Linking scores: which score of another model stands where a score of this one stands. Pure.

Equipercentile linking (Kolen and Brennan, "Test Equating, Scaling, and Linking", 2014): two scores are linked when the
same share of the same scans reaches them. Axes: N scans, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

FEWEST_PEOPLE = 50
"""People below whom no threshold is linked: a tenth of a share is then five people."""
FEWEST_OF_A_KIND = 5
"""Scans that must be flagged, and scans that must not, for a threshold to be linked."""
POINTS = tuple(step / 10 for step in range(1, 10))
"""Old scores that the score map gives the new ones for."""
RESAMPLES = 500
"""Draws of the interval."""
_SEED = 20240601

Scores = NDArray[np.float64]  # (N,) in [0, 1]


class LinkedThreshold(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The threshold of the new model that flags the same share of these scans as the old one's."""

    value: float
    """Probability in [0, 1]."""
    low: float
    high: float
    """95 % interval, by person."""
    share: float
    """Share of the scans that both flag."""


def linked_score(old: Scores, new: Scores, score: float) -> float | None:
    """Give the new score that the same share of the scans reaches; None where the old scores do not go so far.

    Between two scans it lies between their scores.
    """
    if not len(old) or not float(old.min()) <= score <= float(old.max()):
        return None
    places = (np.arange(len(old)) + 0.5) / len(old)  # (N,)
    return float(np.interp(np.interp(score, np.sort(old), places), places, np.sort(new)))


def rank_correlation(old: Scores, new: Scores) -> float | None:
    """Spearman's rank correlation of two scores of the same scans; None where one of them is always the same."""
    a, b = (_ranks(score) - (len(score) - 1) / 2 for score in (old, new))
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else None


def link_threshold(old: Scores, new: Scores, threshold: float, people: Sequence[str]) -> LinkedThreshold | str:
    """Give the new model's threshold that flags the share of the scans that the old one's does, or say why not.

    (N,), (N,), probability in [0, 1], N
    """
    names, person = np.unique(np.array(people, dtype=str), return_inverse=True)
    if len(names) < FEWEST_PEOPLE:
        return f"too few scans: they are of {len(names)} people, {FEWEST_PEOPLE} are needed"
    flagged = int((old >= threshold).sum())
    if min(flagged, len(old) - flagged) < FEWEST_OF_A_KIND:
        return (
            f"too few scans: the old threshold flags {flagged} of {len(old)}; at least {FEWEST_OF_A_KIND} must be "
            f"flagged and {FEWEST_OF_A_KIND} not"
        )
    random = np.random.default_rng(_SEED)
    found = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
        rows = np.repeat(np.arange(len(old)), drawn[person])
        found.append(_same_share(old[rows], new[rows], threshold))
    value = _same_share(old, new, threshold)
    low, high = np.quantile(found, [0.025, 0.975])
    return LinkedThreshold(
        value=value, low=min(value, float(low)), high=max(value, float(high)), share=flagged / len(old)
    )


def _same_share(old: Scores, new: Scores, threshold: float) -> float:
    """Lie midway between the last score to be flagged and the first not to be."""
    flagged = int((old >= threshold).sum())
    falling = np.sort(new)[::-1]
    last = falling[flagged - 1] if flagged else 1.0
    first = falling[flagged] if flagged < len(falling) else 0.0
    return float((last + first) / 2)


def _ranks(values: Scores) -> Scores:
    """Ranks from 0; equal values share the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Scores = (np.cumsum(count) - (count + 1) / 2)[group]
    return ranks
