"""Proportions of cases: confusion counts, sensitivity, specificity and predictive values, with 95 % intervals.

An interval must stay honest where every case gives the same answer, so proportions take Wilson's score interval
(Wilson, JASA 1927), which never claims certainty. Scans of one patient are no independent witnesses: where
patients are given, the number of cases is reduced by the design effect (Korn and Graubard, Survey Methodology 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from aidpost_device.bundle.variant import Estimate

Z = 1.959963984540054
"""Normal quantile of the 95 % interval."""


class Confusion(Struct, frozen=True, kw_only=True):
    """Decisions against the truth, in cases."""

    true_positives: int
    false_negatives: int
    false_positives: int
    true_negatives: int

    @property
    def positives(self) -> int:
        """Cases with the finding."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        """Cases without it."""
        return self.false_positives + self.true_negatives


def confusion(probability: ArrayLike, target: ArrayLike, threshold: float) -> Confusion:
    """Count the decisions; a probability exactly at the threshold is positive.  # (N,), (N,) in {0, 1}"""
    flagged = np.asarray(probability) >= threshold
    positive = np.asarray(target) > 0
    return Confusion(
        true_positives=int(np.sum(flagged & positive)),
        false_negatives=int(np.sum(~flagged & positive)),
        false_positives=int(np.sum(flagged & ~positive)),
        true_negatives=int(np.sum(~flagged & ~positive)),
    )


def rates(
    probability: ArrayLike, target: ArrayLike, threshold: float, patients: ArrayLike | None = None
) -> tuple[Estimate | None, Estimate | None]:
    """Sensitivity and specificity at a threshold; None without such cases.  # (N,), (N,) in {0, 1}, …, (N,)

    Without `patients` each case counts as a patient.
    """
    flagged = np.asarray(probability) >= threshold
    positive = np.asarray(target) > 0
    witnesses = np.arange(flagged.size) if patients is None else np.asarray(patients)
    return share(flagged[positive], witnesses[positive]), share(~flagged[~positive], witnesses[~positive])


def wilson(successes: float, trials: float) -> Estimate | None:
    """Estimate a proportion with Wilson's interval; None without trials. Trials may be an effective number."""
    if trials <= 0:
        return None
    share = successes / trials
    spread = Z * Z / trials
    centre = share + spread / 2
    reach = np.sqrt(spread * (share * (1 - share) + spread / 4))
    low, high = (centre - reach) / (1 + spread), (centre + reach) / (1 + spread)
    return Estimate(value=share, low=float(max(0.0, min(low, share))), high=float(min(1.0, max(high, share))))


def share(success: ArrayLike, patients: ArrayLike) -> Estimate | None:
    """Estimate the proportion of cases that succeed, patients being the witnesses; None without cases.  # (N,), (N,)"""
    hit = np.asarray(success, np.float64)
    if hit.size == 0:
        return None
    trials = hit.size / design_effect(hit, np.asarray(patients))
    return wilson(float(hit.mean()) * trials, trials)


def design_effect(hit: NDArray[np.float64], patients: NDArray[Any]) -> float:
    """Say how many times more cases are needed because some share a patient; at least 1.  # (N,) in {0, 1}, (N,)

    It is the variance of the proportion between patients over that of independent cases. Where all cases agree no
    variance can be seen, and each patient counts once.
    """
    _, index = np.unique(patients, return_inverse=True)
    groups = int(index.max()) + 1
    if groups == hit.size:
        return 1.0
    mean = float(hit.mean())
    if mean in (0.0, 1.0) or groups == 1:
        return hit.size / groups
    residual = np.bincount(index, weights=hit - mean)
    between = groups / (groups - 1) * float(np.sum(residual**2)) / hit.size**2
    return max(1.0, between / (mean * (1 - mean) / hit.size))


@dataclass(frozen=True)
class PredictiveValues:
    """What a result is worth at one prevalence."""

    positive: Estimate | None
    """Share of the referred who have the finding; None where nobody would be referred."""
    negative: Estimate | None
    """Share of those not referred who do not have it; None where everybody would be referred."""


def predictive_values(
    sensitivity: Estimate | None, specificity: Estimate | None, prevalence: float | None
) -> PredictiveValues:
    """Apply Bayes' rule at a prevalence in (0, 1); neither value is known where one of the three is not.

    Both values are functions of a likelihood ratio, a ratio of two independent proportions; its interval follows from
    theirs (Donner and Zou, "Closed-form confidence intervals for functions of the normal mean and standard
    deviation", 2012: the method of variance estimates recovery).
    """
    if sensitivity is None or specificity is None or prevalence is None:
        return PredictiveValues(None, None)
    odds = prevalence / (1 - prevalence)
    false_alarms = _ratio(complement(specificity), sensitivity)
    misses = _ratio(complement(sensitivity), specificity)
    nobody = sensitivity.value == 0 and specificity.value == 1
    everybody = sensitivity.value == 1 and specificity.value == 0
    return PredictiveValues(
        positive=None if nobody else _falling(false_alarms, 1 / odds),
        negative=None if everybody else _falling(misses, odds),
    )


def complement(estimate: Estimate) -> Estimate:
    """Estimate the share of the others."""
    return Estimate(value=1 - estimate.value, low=1 - estimate.high, high=1 - estimate.low)


def _ratio(top: Estimate, bottom: Estimate) -> tuple[float, float, float]:
    """Estimate top / bottom: value, low, high; infinite where the bottom may be nothing."""
    a, b = top.value, bottom.value
    return (
        a / b if b > 0 else np.inf,
        _bound(a, b, top.low, bottom.high, -1),
        _bound(a, b, top.high, bottom.low, +1),
    )


def _bound(a: float, b: float, top: float, bottom: float, side: int) -> float:
    inside = (a * b) ** 2 - top * bottom * (2 * a - top) * (2 * b - bottom)
    below = bottom * (2 * b - bottom)
    root = float(np.sqrt(max(0.0, inside)))
    if below > 0:
        return max(0.0, (a * b + side * root) / below)
    return np.inf if side > 0 else top / bottom if bottom > 0 else 0.0


def _falling(ratio: tuple[float, float, float], weight: float) -> Estimate:
    """Turn a ratio r into 1 / (1 + weight * r), which falls as r grows."""
    value, high, low = (float(1 / (1 + weight * r)) for r in ratio)
    return Estimate(value=value, low=min(low, value), high=max(high, value))
