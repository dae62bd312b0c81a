"""How well scores tell cases apart (AUROC) and how far probabilities can be taken at their word (Brier, calibration).

A resample is a vector of weights over the cases, so each statistic takes weights (B, N) and answers for B resamples
at once. What cannot be computed, such as an AUROC without negatives, is nan for a resample and None for a person.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from aidpost_device.calibration.proportions import Z, wilson

BINS = 10
"""Bins of the calibration error, each with the same number of cases as far as ties allow."""


class Interval(Struct, frozen=True, kw_only=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


# ---- telling apart --------------------------------------------------------------------------------------------------


def auroc(score: ArrayLike, target: ArrayLike) -> float | None:
    """Area under the ROC curve, ties counting half; None when a class is missing.  # (N,), (N,) in {0, 1}

    None as well when a score is nan, as after a training that diverged.
    """
    value = float(weighted_auroc(np.asarray(score), np.asarray(target), np.ones((1, np.size(score))))[0])
    return None if np.isnan(value) else value


def weighted_auroc(score: NDArray[Any], target: NDArray[Any], weights: ArrayLike) -> NDArray[np.float64]:
    """AUROC of B resamples; nan where a class is missing.  # (N,), (N,) in {0, 1}, (B, N) → (B,)"""
    weight = np.asarray(weights, np.float64)
    if np.size(score) == 0 or np.isnan(score).any():
        return np.full(len(weight), np.nan)
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    ties = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sorted_weight = weight[:, order]
    positive = sorted_weight * (target[order] > 0)  # (B, N)
    above = np.add.reduceat(positive, ties, axis=1)  # (B, groups of equal scores)
    below = np.add.reduceat(sorted_weight, ties, axis=1) - above
    wins = np.sum(above * (np.cumsum(below, axis=1) - below / 2), axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    area: NDArray[np.float64] = np.divide(wins, pairs, out=np.full(len(weight), np.nan), where=pairs > 0)
    return area


def bounded_auroc(value: float, positives: float, negatives: float) -> Interval:
    """Interval of an AUROC from its value and the numbers alone: Newcombe's fifth method, Stat Med 2006.

    The numbers of cases may be effective ones. It solves |value - x| = z * sqrt(variance(x)) for x, with Hanley and
    McNeil's variance at x.
    """
    half = (positives + negatives) / 2 - 1

    def outside(x: float) -> bool:
        spread = x * (1 - x) * (1 + half * (1 - x) / (2 - x) + half * x / (1 + x)) / (positives * negatives)
        return (value - x) ** 2 > Z * Z * spread

    def edge(far: float) -> float:
        near = value
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (near, middle) if outside(middle) else (middle, far)
        return near

    return Interval(value=value, low=edge(0.0), high=edge(1.0))


def placements(score: ArrayLike, target: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place each case among those of the other kind: the share that it beats, ties counting half.  # (P,), (M,)"""
    values, positive = np.asarray(score, np.float64), np.asarray(target) > 0
    ranks = _midranks(values)
    high, low = values[positive], values[~positive]
    return (ranks[positive] - _midranks(high)) / low.size, (ranks[~positive] - _midranks(low)) / high.size


def rank_correlation(first: ArrayLike, second: ArrayLike, target: ArrayLike) -> float:
    """How alike two scores order the cases with the finding and those without: the mean of the two, in [-1, 1].

    Exactly 1 where both put the cases of each kind into the same order.  # (N,), (N,), (N,) in {0, 1}
    """
    a, b, positive = np.asarray(first, np.float64), np.asarray(second, np.float64), np.asarray(target) > 0
    found = []
    for kind in (positive, ~positive):
        ranks = _midranks(a[kind]), _midranks(b[kind])
        one, other, apart = ranks[0].var(), ranks[1].var(), (ranks[0] - ranks[1]).var()
        spread = float(np.sqrt(one * other))
        found.append((one + other - apart) / 2 / spread if spread > 0 else float(one == other))
    return float(np.mean(found))


def _midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the mean of theirs.  # (N,) → (N,)"""
    _, index, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: NDArray[np.float64] = (last - (count - 1) / 2)[index]
    return ranks


# ---- taking at its word ---------------------------------------------------------------------------------------------


def brier(probability: ArrayLike, target: ArrayLike) -> float | None:
    """Mean squared error of the probabilities; None without cases.  # (N,), (N,) in {0, 1}"""
    error = (np.asarray(probability, np.float64) - np.asarray(target, np.float64)) ** 2
    return float(error.mean()) if error.size else None


def calibration_error(probability: ArrayLike, target: ArrayLike) -> float | None:
    """Expected calibration error over bins of equal mass; None without cases.  # (N,), (N,) in {0, 1}"""
    p, y = np.asarray(probability, np.float64), np.asarray(target, np.float64)
    if p.size == 0:
        return None
    return float(weighted_calibration_error(p, y, mass_bins(p), np.ones((1, p.size)))[0])


def weighted_calibration_error(
    probability: NDArray[np.float64], target: NDArray[np.float64], bins: NDArray[np.intp], weights: ArrayLike
) -> NDArray[np.float64]:
    """Calibration error of B resamples in given bins.  # (N,), (N,), (N,), (B, N) → (B,)"""
    weight = np.asarray(weights, np.float64)
    gap = np.zeros((probability.size, int(bins.max()) + 1))
    gap[np.arange(probability.size), bins] = probability - target
    mean: NDArray[np.float64] = np.abs(weight @ gap).sum(axis=1) / weight.sum(axis=1)
    return mean


def mass_bins(probability: NDArray[np.float64], count: int = BINS) -> NDArray[np.intp]:
    """Put the cases into bins of equal mass by probability; equal probabilities stay together.  # (N,) → (N,)"""
    rank = np.searchsorted(np.sort(probability), probability, side="left")
    wanted = rank * min(count, probability.size) // probability.size
    _, bins = np.unique(wanted, return_inverse=True)
    return bins


class ReliabilityBin(Struct, frozen=True, kw_only=True):
    """What was predicted and what was found in one bin."""

    cases: int
    predicted: float
    """Mean probability."""
    observed: float
    """Share with the finding."""
    low: float
    high: float
    """Wilson interval of `observed`."""


def reliability(probability: ArrayLike, target: ArrayLike, count: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Bins of equal mass for the reliability diagram, lowest first.  # (N,), (N,) in {0, 1}"""
    p, y = np.asarray(probability, np.float64), np.asarray(target) > 0
    if p.size == 0:
        return ()
    bins = mass_bins(p, count)
    found = []
    for b in range(int(bins.max()) + 1):
        inside = bins == b
        estimate = wilson(int(y[inside].sum()), int(inside.sum()))
        assert estimate is not None  # noqa: S101 - mass_bins leaves no bin empty
        predicted = float(p[inside].mean())
        found.append(
            ReliabilityBin(
                cases=int(inside.sum()),
                predicted=predicted,
                observed=estimate.value,
                low=estimate.low,
                high=estimate.high,
            )
        )
    return tuple(found)


def chance_calibration_error(probability: ArrayLike, *, seed: int, draws: int = 500) -> Interval | None:
    """Calibration error that perfectly calibrated probabilities would show on as many cases: mean, 95 % range.  # (N,)

    The error is never negative, so few cases alone make it large; without this figure it cannot be read.
    """
    p = np.asarray(probability, np.float64)
    if p.size == 0:
        return None
    bins = mass_bins(p)
    truth = np.random.default_rng(seed).random((draws, p.size)) < p  # (draws, N)
    member = np.eye(int(bins.max()) + 1)[bins]  # (N, bins)
    errors = np.abs((p - truth) @ member).sum(axis=1) / p.size
    low, high = np.quantile(errors, [0.025, 0.975])
    return Interval(value=float(errors.mean()), low=float(low), high=float(high))
