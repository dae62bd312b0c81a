"""The ROC curve and the band in which it would lie if other patients had come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aidpost_export.resampling import SEED, Bootstrap

GRID = 101
"""Points of the band."""
_DRAWS = 500


@dataclass(frozen=True)
class RocCurve:
    """Sensitivity against false alarms, from no referrals to all."""

    false_alarms: NDArray[np.float64]
    """Share of the negatives referred, rising.  # (P,)"""
    sensitivity: NDArray[np.float64]
    """Share of the positives referred, rising.  # (P,)"""
    band_low: NDArray[np.float64]
    band_high: NDArray[np.float64]
    """95 % interval of the sensitivity at GRID equal steps of false alarms.  # (GRID,)"""


def roc_curve(score: ArrayLike, target: ArrayLike, patients: ArrayLike, *, seed: int = SEED) -> RocCurve | None:
    """Trace the curve through every distinct score; None when a class is missing.  # (N,), (N,) in {0, 1}, (N,)"""
    s, y = np.asarray(score), np.asarray(target) > 0
    if y.all() or not y.any():
        return None
    false_alarms, sensitivity = _trace(s, y, np.ones((1, s.size)))
    grid = np.linspace(0, 1, GRID)
    resampled = []
    for weights in Bootstrap(patients, y, count=_DRAWS, seed=seed).weights():
        for x, height in zip(*_trace(s, y, weights), strict=True):
            if np.isfinite(x).all():
                resampled.append(np.interp(grid, x, height))
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return RocCurve(false_alarms[0], sensitivity[0], low, high)


def _trace(
    score: NDArray[Any], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cumulated shares of negatives and positives from the highest score down.  # (B, N) → two (B, P)"""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]]))
    shares = []
    for member in (~positive, positive):
        counts = np.cumsum(weights[:, order] * member[order], axis=1)[:, last]
        total = counts[:, -1:]
        part = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
        shares.append(np.concatenate([np.zeros((len(weights), 1)), part], axis=1))
    return shares[0], shares[1]
