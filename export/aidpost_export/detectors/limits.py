"""Limits of the detectors: chosen so that a small share of good scans that were not fitted on lies beyond them."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SPENT = 0.5
"""Part of the share that a recipe allows which is spent here; the rest is for what new scans bring."""
_HIGH = 0.95
"""Quantile of good scans that the unit of a score is taken from."""


def fewest_scans(share: float) -> int:
    """Good scans that a limit needs beyond which no more than `share` of new ones may lie."""
    return ceil(1 / share - 1e-9) - 1


def limit_of(values: Values, share: float) -> float:
    """Choose the smallest limit beyond which at most `share` of new values are expected.  # (N,)

    The k-th smallest of N values is exceeded by a new one with a probability of 1 - k / (N + 1), whatever their shape.
    """
    count = len(values)
    if count < fewest_scans(share):
        raise ValueError(f"{count} values are too few for a limit at {share}")
    rank = min(count, ceil((count + 1) * (1 - share) - 1e-9))
    return float(np.sort(values)[rank - 1])


def safe_limit(values: Values, unseen: NDArray[np.bool_], allowed: float) -> float:
    """Choose the limit for a recipe's share of good scans: on all of them, spending a part of it.

    Scans that a network has learnt from lie nearer to their means than new ones do. So the limit is never less than
    what scans it did not learn from need for the whole share, where there are enough of those.
    """
    limit = limit_of(values, SPENT * allowed)
    return max(limit, limit_of(values[unseen], allowed)) if unseen.sum() >= fewest_scans(allowed) else limit


def joint_limits(scores: Values, unseen: NDArray[np.bool_], allowed: float) -> Values:
    """Choose limits of several scores so that no more than `allowed` of new scans exceed any.  # (N, Q) → (Q,)

    Each score is measured in steps from its median to its 95th percentile; the limits are the same number of steps.
    """
    centre = np.median(scores, axis=0)
    step = np.maximum(np.quantile(scores, _HIGH, axis=0) - centre, 1e-9)
    worst: Values = ((scores - centre) / step).max(axis=1)
    limits: Values = centre + step * safe_limit(worst, unseen, allowed)
    return limits
