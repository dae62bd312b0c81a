"""Calibration: from logits to probabilities that mean what they say, and the threshold a finding is decided at.

Everything here is chosen on the calibration cases and on nothing else. N cases, K findings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aidpost_device.calibration.threshold import require_finite
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
    require_finite(z)
    if activation == "softmax":
        return np.full(z.shape[1], _fit(z, _soften_classes(y), _softmax))
    return np.array([_fit(z[:, k], _soften(y[:, k]), _sigmoid) for k in range(z.shape[1])])


def probabilities(logits: ArrayLike, temperature: ArrayLike, activation: Activation) -> NDArray[np.float32]:
    """Turn logits into calibrated probabilities, as the device graph gives them.  # (N, K), (K,) → (N, K) float32"""
    z = np.asarray(logits, np.float64) / np.asarray(temperature, np.float64)
    ratio = _softmax(z) if activation == "softmax" else _sigmoid(z)
    return ratio.astype(np.float32)


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
