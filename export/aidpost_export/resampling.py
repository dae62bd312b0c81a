"""The bootstrap: how much a figure would move if other patients of the same kind had come.

Patients are drawn, never scans, because scans of one patient resemble each other (Field and Welsh, JRSS B 2007);
they are drawn within strata, so that a rare finding does not vanish from a resample. Fixed seeds: the same run
always prints the same figures.

Few cases, or an AUROC near 1, can only give resamples that look like themselves, and the interval comes out too narrow.
So every interval of an AUROC reaches at least as far as Newcombe's, which asks what other AUROCs could have given it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aidpost_export.statistics import (
    Interval,
    auroc,
    bounded_auroc,
    brier,
    calibration_error,
    mass_bins,
    placements,
    rank_correlation,
    weighted_auroc,
    weighted_calibration_error,
)

RESAMPLES = 2000
"""Draws per interval."""
SEED = 20240601
"""Seed of every interval."""
_CHUNK = 2_000_000
"""Weights held at once."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Weights (B, N) → figures (B, S)."""


class Bootstrap:
    """Resamples of N cases, by patient within strata."""

    def __init__(self, patients: ArrayLike, strata: ArrayLike, *, count: int = RESAMPLES, seed: int = SEED) -> None:
        """Prepare resamples of the cases (N,); a patient belongs to the largest stratum of their cases."""
        _, self._patient = np.unique(np.asarray(patients), return_inverse=True)
        stratum = np.zeros(int(self._patient.max(initial=-1)) + 1, np.int64)
        np.maximum.at(stratum, self._patient, np.asarray(strata, np.int64))
        self._strata = [np.flatnonzero(stratum == value) for value in np.unique(stratum)]
        self._count, self._seed = count, seed

    def weights(self) -> Iterator[NDArray[np.float64]]:
        """How often each case stands in each resample, a few resamples at a time.  # (B, N)"""
        generator = np.random.default_rng(self._seed)
        patients = sum(map(len, self._strata))
        step = max(1, _CHUNK // max(1, self._patient.size))
        for start in range(0, self._count, step):
            rows = min(step, self._count - start)
            drawn = np.zeros((rows, patients))
            for members in self._strata:
                drawn[:, members] = _draw(generator, rows, len(members))
            yield drawn[:, self._patient]

    def intervals(self, statistic: Statistic) -> NDArray[np.float64]:
        """95 % percentile intervals of S figures; nan where no resample can be computed.  # (2, S)"""
        figures = np.concatenate([statistic(weights) for weights in self.weights()])  # (count, S)
        edges = np.full((2, figures.shape[1]), np.nan)
        for s, column in enumerate(figures.T):
            known = column[~np.isnan(column)]
            if known.size:
                edges[:, s] = np.quantile(known, [0.025, 0.975])
        return edges


def auroc_interval(
    score: ArrayLike, target: ArrayLike, patients: ArrayLike, *, count: int = RESAMPLES, seed: int = SEED
) -> Interval | None:
    """AUROC with its interval by patients; None when a class is missing.  # (N,), (N,) in {0, 1}, (N,)"""
    s, y = np.asarray(score), np.asarray(target)
    value = auroc(s, y)
    if value is None:
        return None
    edges = Bootstrap(patients, y > 0, count=count, seed=seed).intervals(lambda w: weighted_auroc(s, y, w)[:, None])
    bound = bounded_auroc(value, *witnesses(s, y, patients))
    return _around(value, [*edges[:, 0], bound.low, bound.high])


def auroc_difference(
    first: ArrayLike,
    second: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    *,
    count: int = RESAMPLES,
    seed: int = SEED,
) -> Interval | None:
    """AUROC of the first score minus that of the second on the same cases; None when a class is missing.

    Both are computed on each resample, so what they share cancels. Newcombe's bounds are put together as those of two
    figures that go together as the scores' ranks do.  # (N,), (N,), (N,) in {0, 1}, (N,)
    """
    a, b, y = np.asarray(first), np.asarray(second), np.asarray(target)
    value_a, value_b = auroc(a, y), auroc(b, y)
    if value_a is None or value_b is None:
        return None
    edges = Bootstrap(patients, y > 0, count=count, seed=seed).intervals(
        lambda w: (weighted_auroc(a, y, w) - weighted_auroc(b, y, w))[:, None]
    )
    reach_a, reach_b = (
        _reach(bounded_auroc(area, *witnesses(score, y, patients))) for area, score in ((value_a, a), (value_b, b))
    )
    shared = 2 * rank_correlation(a, b, y) * reach_a * reach_b
    reach = float(np.sqrt(max(0.0, reach_a**2 + reach_b**2 - shared)))
    value = value_a - value_b
    return _around(value, [*edges[:, 0], max(-1.0, value - reach), min(1.0, value + reach)])


def macro_auroc_interval(
    scores: ArrayLike, targets: ArrayLike, patients: ArrayLike, *, count: int = RESAMPLES, seed: int = SEED
) -> Interval | None:
    """Mean AUROC of K classes, each against the rest; None when one is missing.  # (N, K), (N, K), (N,)

    Newcombe's bounds are put together as those of independent figures; where the classes move together, the resamples
    reach further.
    """
    s, y = np.asarray(scores), np.asarray(targets)
    values = [auroc(s[:, k], y[:, k]) for k in range(s.shape[1])]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        areas = [weighted_auroc(s[:, k], y[:, k], weights) for k in range(s.shape[1])]
        average: NDArray[np.float64] = np.stack(areas).mean(axis=0)
        return average[:, None]

    edges = Bootstrap(patients, y.argmax(axis=1), count=count, seed=seed).intervals(mean)
    value = float(np.mean(known))
    bounds = [bounded_auroc(area, *witnesses(s[:, k], y[:, k], patients)) for k, area in enumerate(known)]
    below = float(np.sqrt(sum((bound.value - bound.low) ** 2 for bound in bounds))) / len(bounds)
    above = float(np.sqrt(sum((bound.high - bound.value) ** 2 for bound in bounds))) / len(bounds)
    return _around(value, [*edges[:, 0], value - below, min(1.0, value + above)])


def calibration_intervals(
    probability: ArrayLike, target: ArrayLike, patients: ArrayLike, *, count: int = RESAMPLES, seed: int = SEED
) -> tuple[Interval, Interval] | None:
    """Brier score and calibration error with their intervals; None without cases.  # (N,), (N,) in {0, 1}, (N,)

    The bins of the calibration error stay those of the cases as they came. Resampling adds scatter, which this error
    counts as error, so its interval lies high; it is widened to hold the value itself.
    """
    p, y = np.asarray(probability, np.float64), np.asarray(target, np.float64)
    score, error = brier(p, y), calibration_error(p, y)
    if score is None or error is None:
        return None
    squares, bins = (p - y) ** 2, mass_bins(p)

    def both(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        mean_square = weights @ squares / weights.sum(axis=1)
        return np.stack([mean_square, weighted_calibration_error(p, y, bins, weights)], axis=1)

    edges = Bootstrap(patients, y > 0, count=count, seed=seed).intervals(both)
    return _around(score, edges[:, 0]), _around(error, edges[:, 1])


def witnesses(score: ArrayLike, target: ArrayLike, patients: ArrayLike) -> tuple[float, float]:
    """How many independent cases with and without the finding would say as much as these.  # (N,), (N,), (N,)

    Scans of one patient say less than as many patients, as far as they stand alike among the cases of the other kind.
    Where all scans stand alike no likeness can be seen, and each patient counts once.
    """
    positive, names = np.asarray(target) > 0, np.asarray(patients)
    found = []
    for kind, place in zip((positive, ~positive), placements(score, target), strict=True):
        count, (_, patient) = place.size, np.unique(names[kind], return_inverse=True)
        people = int(patient.max()) + 1
        apart = place - place.mean()
        alone, together = float(np.sum(apart**2)), float(np.sum(np.bincount(patient, weights=apart) ** 2))
        effect = max(1.0, together / alone) if alone > 0 and people > 1 else count / people
        found.append(count / effect)
    return found[0], found[1]


def _reach(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def _around(value: float, edges: Iterable[float]) -> Interval:
    """The narrowest interval that holds the value and these edges; the value may lie outside of its resamples'."""
    held = [value, *map(float, edges)]
    return Interval(value=value, low=min(held), high=max(held))


def _draw(generator: np.random.Generator, rows: int, size: int) -> NDArray[np.float64]:
    """How often each of `size` patients is drawn in `size` draws with replacement.  # (rows, size)"""
    chosen = generator.integers(size, size=(rows, size)) + np.arange(rows)[:, None] * size
    return np.bincount(chosen.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)
