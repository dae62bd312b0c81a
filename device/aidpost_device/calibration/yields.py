"""Yields: what each threshold means for a programme, at its own prevalence. N cases, T thresholds.

Sensitivity and specificity are proportions of the cases and take Wilson's interval, reduced by the design effect where
patients repeat. Whatever is computed from both takes its interval from theirs by the method of variance estimates
recovery (Zou and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 2008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf, sqrt

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.programme import Programme
from aidpost_device.calibration.proportions import complement, predictive_values, wilson
from aidpost_device.calibration.threshold import require_finite
from aidpost_device.errors import CalibrationError

Values = NDArray[np.float64]


class Amount(Struct, frozen=True):
    """A number that is no proportion, with its 95 % interval. The upper end may be infinite."""

    value: float
    low: float
    high: float


class Yield(Struct, frozen=True, kw_only=True):
    """What one threshold does, for a programme."""

    threshold: float
    """Calibrated probability at or above which a person is flagged."""
    sensitivity: Estimate
    specificity: Estimate
    flagged: Estimate
    """The yield: share of the people screened who are flagged, at the programme's prevalence."""
    positive_predictive_value: Estimate | None
    """At the programme's prevalence; None where nobody would be flagged."""
    negative_predictive_value: Estimate | None
    """At the programme's prevalence; None where everybody would be flagged."""
    tests_per_case: Amount | None
    """Number needed to test: flagged people for each true case among them."""
    missed: Amount
    """Missed cases per 1000 people screened."""
    tests_per_day: Amount | None
    """Flagged people a day; None where the programme does not say how many it screens."""
    cost_per_case: Amount | None
    """Cost of tests for each true case found; None without the cost of a test."""
    cost: Amount | None
    """Expected cost for each person screened, of tests and misses; None where the programme does not weigh them."""


@dataclass(frozen=True)
class Side:
    """The cases that have the finding, or those that do not, n of them."""

    scores: Values
    """Rising.  # (n,)"""
    trials: Values
    """Effective number of cases when the k highest are flagged, k from 0 to n.  # (n + 1,)"""

    @classmethod
    def of(cls, score: Values, people: NDArray[np.intp]) -> Side:
        """Lay out one side.  # (n,), (n,)

        `trials` is n over the design effect of `proportions.design_effect`, for all k at once: flagging one more case
        changes the count of one person only.
        """
        falling = np.argsort(-score, kind="stable")
        _, person = np.unique(people[falling], return_inverse=True)
        size = np.bincount(person).astype(np.float64)  # (G,)
        n, groups = score.size, size.size
        by_person = np.argsort(person, kind="stable")
        earlier = np.empty(n)  # flagged cases of the same person before this one
        earlier[by_person] = np.arange(n) - (np.cumsum(size) - size)[person[by_person]]
        squares = np.concatenate([[0.0], np.cumsum(2 * earlier + 1)])  # (n + 1,) sum over people of flagged²
        products = np.concatenate([[0.0], np.cumsum(size[person])])  # … of flagged * cases
        share = np.arange(n + 1) / n
        residual = squares - 2 * share * products + share**2 * np.sum(size**2)
        effect = np.full(n + 1, n / groups)  # where all agree, and of one person: each person counts once
        if groups == n:
            effect[:] = 1.0
        elif groups > 1:
            inner = slice(1, n)
            variance = share[inner] * (1 - share[inner]) / n
            effect[inner] = np.maximum(1.0, groups / (groups - 1) * residual[inner] / n**2 / variance)
        return cls(np.sort(score), n / effect)

    def flagged(self, threshold: ArrayLike) -> NDArray[np.intp]:
        """Count the cases at or above each threshold."""
        return np.asarray(self.scores.size - np.searchsorted(self.scores, threshold, side="left"))

    def estimate(self, threshold: float) -> Estimate:
        """Estimate the share that is flagged."""
        count = int(self.flagged(threshold))
        trials = float(self.trials[count])
        found = wilson(count / self.scores.size * trials, trials)
        if found is None:
            raise ValueError("a side without cases has no share")
        return found


@dataclass(frozen=True)
class Curve:
    """Every threshold that tells these cases apart, with what it does."""

    programme: Programme
    thresholds: Values
    """In the middle of the gaps between scores, exact in float32, rising.  # (T,)"""
    sharp: NDArray[np.bool_]
    """Whether the lowest score that is flagged belongs to a case with the finding: no other threshold is worth
    choosing, because the next higher one finds as many with fewer tests.  # (T,)"""
    present: Side
    absent: Side

    @property
    def positives(self) -> int:
        """Cases with the finding."""
        return self.present.scores.size

    @property
    def negatives(self) -> int:
        """Cases without it."""
        return self.absent.scores.size

    @cached_property
    def sensitivity(self) -> Values:  # (T,)
        """Share of the cases with the finding that each threshold flags."""
        return self.present.flagged(self.thresholds) / self.positives

    @cached_property
    def specificity(self) -> Values:  # (T,)
        """Share of the cases without it that each threshold does not flag."""
        return 1 - self.absent.flagged(self.thresholds) / self.negatives

    @cached_property
    def flagged(self) -> Values:  # (T,)
        """Share of the people screened that each threshold flags, at the programme's prevalence."""
        share = self.programme.prevalence
        return share * self.sensitivity + (1 - share) * (1 - self.specificity)

    @cached_property
    def cost(self) -> Values:  # (T,)
        """Expected cost for each person screened; only of a programme that weighs costs."""
        test, missed = _costs(self.programme)
        return test * self.flagged + missed * self.programme.prevalence * (1 - self.sensitivity)

    def at(self, threshold: float) -> Yield:
        """Say what one threshold does, its own or any other."""
        programme, share = self.programme, self.programme.prevalence
        found, alarms = self.present.estimate(threshold), self.absent.estimate(threshold)
        specificity = complement(alarms)
        worth = predictive_values(found, specificity, share)
        flagged = _sum(0.0, (share, found), (1 - share, alarms))
        tests = _map(worth.positive, lambda value: 1 / value if value > 0 else inf)
        people, test, cost = programme.people_per_day, programme.cost_test, None
        if programme.weighs_costs:
            each, missed = _costs(programme)
            cost = _sum(missed * share, (share * (each - missed), found), ((1 - share) * each, alarms))
        return Yield(
            threshold=threshold,
            sensitivity=found,
            specificity=specificity,
            flagged=Estimate(value=flagged.value, low=max(0.0, flagged.low), high=min(1.0, flagged.high)),
            positive_predictive_value=worth.positive,
            negative_predictive_value=worth.negative,
            tests_per_case=tests,
            missed=_sum(1000 * share, (-1000 * share, found)),
            tests_per_day=None if people is None else _scale(flagged, people),
            cost_per_case=None if test is None or tests is None else _scale(tests, test),
            cost=cost,
        )


def curve(probability: ArrayLike, target: ArrayLike, people: ArrayLike, programme: Programme) -> Curve:
    """Lay out the thresholds of some cases.  # (N,) in [0, 1], (N,) in {0, 1}, (N,) who each case is of

    Raises `CalibrationError` for scores that are not finite, and without cases of both kinds.
    """
    score, positive = np.asarray(probability, np.float32), np.asarray(target) > 0
    require_finite(score)
    present = int(positive.sum())
    if present in (0, positive.size):
        raise CalibrationError(
            f"Of {positive.size} cases {present} have the finding: what a threshold does needs both kinds.",
            "Add cases of the kind that is missing.",
        )
    _, person = np.unique(np.asarray(people), return_inverse=True)
    scores = np.unique(score)  # (T,) rising
    below = np.concatenate([np.zeros(1, np.float32), scores[:-1]])
    middles = ((scores.astype(np.float64) + below) / 2).astype(np.float32)
    exact = score.astype(np.float64)  # so that a threshold is never rounded to the scores' precision
    return Curve(
        programme=programme,
        thresholds=np.where(middles > below, middles, scores).astype(np.float64),
        sharp=np.isin(scores, score[positive]),
        present=Side.of(exact[positive], person[positive]),
        absent=Side.of(exact[~positive], person[~positive]),
    )


def _costs(programme: Programme) -> tuple[float, float]:
    """Cost of a test and of a missed case."""
    if programme.cost_test is None or programme.cost_missed is None:
        raise ValueError("only a programme with both costs weighs them")
    return programme.cost_test, programme.cost_missed


def _sum(constant: float, *parts: tuple[float, Estimate]) -> Amount:
    """Add independent proportions times their weights; each moves the ends by its own distance."""
    value, down, up = constant, 0.0, 0.0
    for weight, share in parts:
        ends = (weight * (share.low - share.value), weight * (share.high - share.value))
        value += weight * share.value
        down, up = down + min(ends) ** 2, up + max(ends) ** 2
    return Amount(value, value - sqrt(down), value + sqrt(up))


def _map(share: Estimate | None, falling: Callable[[float], float]) -> Amount | None:
    """Apply a falling function to a proportion and its ends."""
    return None if share is None else Amount(falling(share.value), falling(share.high), falling(share.low))


def _scale(amount: Amount, factor: float) -> Amount:
    return Amount(amount.value * factor, max(0.0, amount.low) * factor, amount.high * factor)
