"""Gaps: how much worse or better a group of people is served than everybody else, and whether chance explains it.

Scans of one patient are one witness: intervals are widened by the design effect, and the test moves whole patients. A
patient with scans on both sides of a gap (two views) counts as one person on each, which makes the test stricter.
N cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.proportions import share
from aidpost_export.figures import Gap, GroupFigures
from aidpost_export.resampling import SEED

PERMUTATIONS = 9999
"""Draws of the test: the smallest p is one in ten thousand."""


def gap(hit: NDArray[np.bool_], inside: NDArray[np.bool_], patients: NDArray[np.str_]) -> Gap | None:  # (N,) each
    """Compare how often a group's cases succeed with how often the others' do; None where there is nobody to compare.

    Interval: Newcombe's hybrid of the two Wilson intervals (Newcombe, "Interval estimation for the difference between
    independent proportions", Statistics in Medicine 1998, method 10).
    """
    group, rest = share(hit[inside], patients[inside]), share(hit[~inside], patients[~inside])
    if group is None or rest is None:
        return None
    low, high = _newcombe(group, rest)
    p = permutation_p(hit, inside, patients)
    return Gap(value=group.value - rest.value, low=low, high=high, p=p, adjusted=p)


def permutation_p(
    hit: NDArray[np.bool_], inside: NDArray[np.bool_], patients: NDArray[np.str_], seed: int = SEED
) -> float:  # (N,) each → (0, 1]
    """How often a gap at least as large, either way, arises when it is drawn by lot which patients are the group."""
    _, person = np.unique(patients, return_inverse=True)
    _, unit = np.unique(2 * person + inside, return_inverse=True)
    cases, hits = np.bincount(unit), np.bincount(unit, weights=hit).astype(np.int64)  # (units,)
    belongs = np.zeros(cases.size, bool)
    belongs[unit] = inside
    # Patients with the same numbers of cases and hits are alike: only how many of each kind are drawn matters.
    kinds, kind = np.unique(np.stack([cases, hits]), axis=1, return_inverse=True)  # (2, kinds)
    counts, drawn = np.bincount(kind.ravel()), int(belongs.sum())
    found = np.bincount(kind.ravel(), weights=belongs)[None, :]
    lots = np.random.default_rng(seed).multivariate_hypergeometric(counts, drawn, PERMUTATIONS, method="marginals")
    observed, chance = (np.abs(_differences(one, kinds, counts)) for one in (found, lots))
    return float((1 + np.sum(chance >= observed - 1e-9)) / (1 + PERMUTATIONS))


def holm(p: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm, Scandinavian Journal of Statistics 1979), in the order given."""
    adjusted, worst = [1.0] * len(p), 0.0
    for rank, place in enumerate(np.argsort(p, kind="stable")):
        worst = max(worst, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = worst
    return adjusted


def adjust(groups: Sequence[GroupFigures]) -> tuple[GroupFigures, ...]:
    """Correct the tests of one finding's groups for their number, sensitivity and specificity apart."""
    adjusted = list(groups)
    for rate in ("sensitivity_gap", "specificity_gap"):
        tested = [place for place, group in enumerate(adjusted) if getattr(group, rate) is not None]
        gaps: list[Gap] = [getattr(adjusted[place], rate) for place in tested]
        for place, one, p in zip(tested, gaps, holm([one.p for one in gaps]), strict=True):
            corrected = msgspec.structs.replace(one, adjusted=p)
            adjusted[place] = msgspec.structs.replace(adjusted[place], **{rate: corrected})
    return tuple(adjusted)


def _newcombe(group: Estimate, rest: Estimate) -> tuple[float, float]:
    value = group.value - rest.value
    below = np.hypot(group.value - group.low, rest.high - rest.value)
    above = np.hypot(group.high - group.value, rest.value - rest.low)
    return float(value - below), float(value + above)


def _differences(
    drawn: NDArray[Any], kinds: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:  # (B, kinds), (2, kinds), (kinds,) → (B,)
    """Success of the drawn patients' cases minus that of the others'."""
    cases, hits = (drawn @ row for row in kinds.astype(np.float64))  # (B,)
    all_cases, all_hits = (float(total) for total in kinds @ counts)
    difference: NDArray[np.float64] = hits / cases - (all_hits - hits) / (all_cases - cases)
    return difference
