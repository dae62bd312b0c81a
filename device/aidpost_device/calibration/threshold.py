"""Thresholds: the one that reaches a target sensitivity on new cases, and what a threshold does. N cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aidpost_device.bundle.variant import OperatingPoint
from aidpost_device.calibration.proportions import confusion, rates
from aidpost_device.errors import CalibrationError


def choose_threshold(probability: ArrayLike, target: ArrayLike, target_sensitivity: float) -> float:
    """Choose the largest threshold that new cases reach the target sensitivity at.  # (N,), (N,) in {0, 1}

    It refers `positives_needed` of these cases and lies in the middle of the gap between the lowest score that must be
    referred and the next lower one, so that no case of the set sits on it; a later score exactly at the threshold
    refers. The value is exact in float32, in which the box compares. Raises `CalibrationError` when no case has the
    finding.
    """
    score = np.asarray(probability, np.float32)
    require_finite(score)
    positive = np.sort(score[np.asarray(target) > 0])[::-1]
    if positive.size == 0:
        raise CalibrationError(
            f"None of the {score.size} calibration cases has the finding, so no threshold can be chosen.",
            "Label more cases with it, or take the finding out of the recipe.",
        )
    lowest = positive[positives_needed(positive.size, target_sensitivity) - 1]
    below = score[score < lowest]
    floor = below.max() if below.size else np.float32(0)
    middle = np.float32((np.float64(lowest) + np.float64(floor)) / 2)
    return float(middle if middle > floor else lowest)


def positives_needed(positives: int, target_sensitivity: float) -> int:
    """Say how many of so many positives must be referred, so that new ones reach the target on average.

    A threshold at the k-th highest of n positives refers k of the n + 1 that it makes with a new one, whatever the
    network: k / (n + 1) must reach the target (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World",
    2005). With too few positives for that it is all of them.
    """
    return max(1, min(positives, int(np.ceil(target_sensitivity * (positives + 1) - 1e-9))))


def operating_point(
    probability: ArrayLike,
    target: ArrayLike,
    threshold: float,
    target_sensitivity: float,
    patients: ArrayLike | None = None,
) -> OperatingPoint:
    """Describe a threshold by what it does on these cases.  # (N,), (N,) in {0, 1}, …, (N,)

    Without `patients` each case counts as a patient. Raises `CalibrationError` when every case has the finding or
    none has.
    """
    counts = confusion(probability, target, threshold)
    sensitivity, specificity = rates(probability, target, threshold, patients)
    if sensitivity is None or specificity is None:
        raise CalibrationError(
            f"Of the calibration cases {counts.positives} have the finding and {counts.negatives} do not: "
            "an operating point needs both.",
            "Label more cases of the kind that is missing.",
        )
    return OperatingPoint(
        threshold=threshold,
        target_sensitivity=target_sensitivity,
        sensitivity=sensitivity,
        specificity=specificity,
        positives=counts.positives,
        negatives=counts.negatives,
    )


def require_finite(values: NDArray[np.floating]) -> None:
    """See that all values are finite numbers. Raises `CalibrationError`."""
    broken = values.size - int(np.isfinite(values).sum())
    if broken:
        raise CalibrationError(
            f"{broken} of {values.size} outputs of the network are not finite numbers.",
            "The training diverged: adapt again with a smaller learning rate.",
        )
