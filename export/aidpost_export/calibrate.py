"""Calibration: from logits to probabilities that mean what they say, and the threshold a finding is decided at.

Everything here is chosen on the calibration cases and on nothing else. N cases, K findings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aidpost_device.bundle.manifest import OperatingPoint
from aidpost_export.errors import CalibrationError
from aidpost_export.proportions import confusion, rates
from aidpost_export.recipe import Activation

Values = NDArray[np.float64]

TEMPERATURE = (0.05, 20.0)
"""Smallest and largest temperature; beyond them a calibration set says nothing but that it is too small."""


def fit_temperature(logits: ArrayLike, targets: ArrayLike, activation: Activation) -> NDArray[np.float64]:
    """Fit the temperature that makes the targets most likely.  # (N, K), (N, K) → (K,) float64

    One for each finding under a sigmoid, one for all (repeated K times) under a softmax (Guo et al., "On Calibration
    of Modern Neural Networks", ICML 2017). The targets are softened by one case of each kind (Platt, "Probabilistic
    Outputs for Support Vector Machines", 1999), because calibration cases that happen to be separable would otherwise
    ask for certainty. Raises `CalibrationError` for logits that are not finite.
    """
    z = np.asarray(logits, np.float64)
    y = np.asarray(targets, np.float64)
    _require_finite(z)
    if activation == "softmax":
        return np.full(z.shape[1], _fit(z, _soften_classes(y), _softmax))
    return np.array([_fit(z[:, k], _soften(y[:, k]), _sigmoid) for k in range(z.shape[1])])


def probabilities(logits: ArrayLike, temperature: ArrayLike, activation: Activation) -> NDArray[np.float32]:
    """Turn logits into calibrated probabilities, as the device graph gives them.  # (N, K), (K,) → (N, K) float32"""
    z = np.asarray(logits, np.float64) / np.asarray(temperature, np.float64)
    ratio = _softmax(z) if activation == "softmax" else _sigmoid(z)
    return ratio.astype(np.float32)


def choose_threshold(probability: ArrayLike, target: ArrayLike, target_sensitivity: float) -> float:
    """Choose the largest threshold that new cases reach the target sensitivity at.  # (N,), (N,) in {0, 1}

    It refers `positives_needed` of these cases and lies in the middle of the gap between the lowest score that must be
    referred and the next lower one, so that no case of the set sits on it; a later score exactly at the threshold
    refers. The value is exact in float32, in which the box compares. Raises `CalibrationError` when no case has the
    finding.
    """
    score = np.asarray(probability, np.float32)
    _require_finite(score)
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


# ---- the likelihood -------------------------------------------------------------------------------------------------


def _fit(z: Values, targets: Values, activate: Callable[[Values], Values]) -> float:
    """Find the zero of the likelihood's slope in 1/T, in which it is convex, by bisection."""
    low, high = 1 / TEMPERATURE[1], 1 / TEMPERATURE[0]
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        slope = float(np.sum(z * (activate(z * middle) - targets)))
        low, high = (middle, high) if slope < 0 else (low, middle)
    return float(1 / np.sqrt(low * high))


def _soften(y: Values) -> Values:
    """Soften one finding's targets.  # (N,) in {0, 1} → (N,) in (0, 1)"""
    positives, cases = float(y.sum()), y.size
    return np.where(y > 0, (positives + 1) / (positives + 2), 1 / (cases - positives + 2))


def _soften_classes(y: Values) -> Values:
    """Soften the targets of classes of which exactly one is true; each row still sums to 1.  # (N, K) → (N, K)"""
    counts = y.sum(axis=0)
    kept = y @ ((counts + 1) / (counts + 2))  # (N,) of the true class
    soft: Values = np.where(y > 0, kept[:, None], ((1 - kept) / (y.shape[1] - 1))[:, None])
    return soft


def _sigmoid(z: Values) -> Values:
    ratio: Values = np.exp(-np.logaddexp(0.0, -z))
    return ratio


def _softmax(z: Values) -> Values:
    shifted = np.exp(z - z.max(axis=1, keepdims=True))
    ratio: Values = shifted / shifted.sum(axis=1, keepdims=True)
    return ratio


def _require_finite(values: NDArray[np.floating]) -> None:
    broken = values.size - int(np.isfinite(values).sum())
    if broken:
        raise CalibrationError(
            f"{broken} of {values.size} outputs of the network are not finite numbers.",
            "The training diverged: adapt again with a smaller learning rate.",
        )
