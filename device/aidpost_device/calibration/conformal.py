"""Abstention: between two limits the model cannot tell, and a person must read (split conformal prediction).

The limits are class-conditional (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section
4.5): of new cases that have the finding at least `coverage` get a probability above the lower limit, and of those that
do not have it at least `coverage` one below the upper limit, whatever the network. The promise holds on average over
sets of calibration cases; one set can be easy. Scans of one patient resemble each other, and then it counts patients
less exactly than single scans. Where few may be UNSURE, choosing the coverage on the same cases costs a little of it.
N cases.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aidpost_device.bundle.variant import Abstention
from aidpost_device.calibration.threshold import positives_needed, require_finite

STEP = 0.005
"""Steps in which a coverage is lowered until few enough are UNSURE."""
LOWEST = 0.5
"""Coverage down to which it is lowered; what says no more than a coin is not worth a limit."""


def fewest_cases(coverage: float) -> int:
    """Say how many cases of either kind are needed before a coverage can be promised at all."""
    return int(np.ceil(coverage / (1 - coverage) - 1e-9))


def abstention(
    probability: ArrayLike,  # (N,) in [0, 1]
    target: ArrayLike,  # (N,) in {0, 1}
    threshold: float,
    *,
    coverage: float,
    most_unsure: float,
    prevalence: float,
    patients: ArrayLike | None = None,  # (N,)
) -> Abstention | None:
    """Choose the limits around a threshold; None where they cannot be promised.

    That is so with too few cases of a kind (patients, where they are given), and where no coverage above a half of
    those with the finding keeps within the cap. Where the threshold alone keeps the promise both limits are the
    threshold, and nobody is UNSURE.

    The coverage, in (0.5, 1), is lowered until at most `most_unsure` of people are UNSURE where the finding has this
    prevalence: first for those without the finding, down to the threshold itself, because somebody sees a person who
    is referred in vain, and only then for those who have it. What was reached stands in the result. The threshold never
    lies outside of the limits, so that no case is CLEAR above it or REFER below it. The limits are exact in float32, in
    which the box compares. Raises `CalibrationError` for scores that are not finite.
    """
    score, positive = np.asarray(probability, np.float32), np.asarray(target) > 0
    require_finite(score)
    witnesses = np.arange(score.size) if patients is None else np.asarray(patients)
    people = [np.unique(witnesses[kind]).size for kind in (positive, ~positive)]
    if min(people) < fewest_cases(coverage):
        return None

    def unsure(low: float, high: float) -> float:
        between = (score > low) & (score < high)
        return float(prevalence * between[positive].mean() + (1 - prevalence) * between[~positive].mean())

    promises = np.arange(coverage, LOWEST, -STEP).round(4).tolist()
    for promised in promises:
        edge = _edge(score, positive, promised, 0.0)
        if edge is not None and unsure(low := min(edge, threshold), threshold) <= most_unsure:
            break
    else:
        return None
    for promised_without in promises:
        edge = _edge(-score, ~positive, promised_without, -1.0)
        if edge is not None and unsure(low, high := max(-edge, threshold)) <= most_unsure:
            break
    else:
        high, promised_without = threshold, None
    return Abstention(
        low=low,
        high=high,
        coverage=promised,
        coverage_without=promised_without,
        unsure=unsure(low, high),
        wanted=coverage,
        most=most_unsure,
    )


def is_unsure(probability: NDArray[np.float32], limits: Abstention) -> NDArray[np.bool_]:  # (N,)
    """Say which probabilities the box answers with UNSURE."""
    found: NDArray[np.bool_] = (probability > limits.low) & (probability < limits.high)
    return found


def _edge(score: NDArray[np.float32], kind: NDArray[np.bool_], coverage: float, end: float) -> float | None:
    """Find the largest limit that a new case of the kind lies above with this probability.  # (N,), (N,)

    It lies in the middle between the last case that it holds and the next one, `end` being the smallest score that
    there can be; None where the last case lies there itself, and no limit can lie below it.
    """
    held = np.sort(score[kind])[::-1][positives_needed(int(kind.sum()), coverage) - 1]
    if held <= end:
        return None
    outside = score[score < held].max(initial=np.float32(end))
    middle = np.float32((np.float64(held) + np.float64(outside)) / 2)
    return float(outside if middle == held else middle)
