"""Abstention: between two limits the model cannot tell, and a person must read (split conformal prediction).

The limits are class-conditional (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section
4.5): of new cases that have the finding at least `coverage` get a probability above the lower limit, and of those that
do not have it at least `coverage` one below the upper limit, whatever the network. N cases.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from aidpost_device.bundle.variant import Abstention
from aidpost_device.calibration.threshold import choose_threshold

STEP = 0.005
"""Steps in which the coverage is lowered until few enough are UNSURE."""


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
) -> Abstention | None:
    """Choose the limits around a threshold; None where there are too few cases of a kind to promise the coverage.

    The coverage is lowered until at most `most_unsure` of people are UNSURE where the finding has this prevalence;
    what was reached stands in the result. The threshold never lies outside of the limits, so that no case is CLEAR
    above it or REFER below it. Raises `CalibrationError` for scores that are not finite.
    """
    score, positive = np.asarray(probability, np.float32), np.asarray(target) > 0
    if min(int(positive.sum()), int((~positive).sum())) < fewest_cases(coverage):
        return None
    for promised in np.arange(coverage, 0.5, -STEP):
        low = min(choose_threshold(score, positive, float(promised)), threshold)
        high = max(1 - choose_threshold(1 - score, ~positive, float(promised)), threshold)
        between = (score > low) & (score < high)
        unsure = prevalence * between[positive].mean() + (1 - prevalence) * between[~positive].mean()
        if unsure <= most_unsure:
            return Abstention(low=low, high=high, coverage=float(promised), unsure=float(unsure))
    return Abstention(low=threshold, high=threshold, coverage=0.5, unsure=0.0)
