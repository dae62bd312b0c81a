"""UNSURE: the limits between which the box leaves a case to a person, and what they do. N cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.variant import Abstention, Estimate
from aidpost_device.calibration.conformal import abstention, fewest_cases, is_unsure
from aidpost_device.calibration.proportions import share
from aidpost_export.figures import AbstentionFigures, Answers
from aidpost_export.recipe import Recipe
from aidpost_export.sentences import percent


def fit_limits(
    recipe: Recipe,
    k: int,
    probability: NDArray[np.float32],  # (N,)
    target: NDArray[np.float32],  # (N,) in {0, 1}
    threshold: float,
    patients: NDArray[np.str_],  # (N,)
) -> tuple[Abstention | None, str]:
    """Choose the limits of finding k on calibration cases; without limits, say why.

    Only findings that refer have limits: UNSURE asks a person to read what could be missed or referred in vain, and
    nothing of the kind hangs on a class such as "normal", whose every doubt is one about another class. Under a softmax
    each finding that refers is held against the rest.
    """
    prevalence = recipe.prevalence_of(k)
    if not recipe.finding[k].refers or prevalence is None:
        return None, "it refers nobody"
    coverage, most = recipe.unsure.coverage, recipe.unsure.most
    if most == 0:
        return None, "the recipe allows none"
    limits = abstention(
        probability,
        target,
        threshold,
        coverage=coverage,
        most_unsure=most,
        prevalence=prevalence,
        patients=patients,
    )
    if limits is not None:
        return limits, ""
    people = [len(np.unique(patients[kind])) for kind in (target > 0, target <= 0)]
    if min(people) < (needed := fewest_cases(coverage)):
        return None, (
            f"{people[0]} patients with it and {people[1]} without are in the calibration cases, and {needed} of each "
            f"are needed to promise {percent(coverage)}"
        )
    return None, f"no promise better than a coin's keeps within the {percent(most)} of people that may be UNSURE"


def abstention_figures(
    recipe: Recipe,
    k: int,
    limits: Abstention,
    probability: NDArray[np.float32],  # (N,)
    target: NDArray[np.float32],  # (N,) in {0, 1}
    threshold: float,
    patients: NDArray[np.str_],  # (N,)
) -> AbstentionFigures:
    """Measure what the limits of finding k do on validation cases."""
    unsure = is_unsure(probability, limits)
    with_it, without = (share(unsure[kind], patients[kind]) for kind in (target > 0, target <= 0))
    return AbstentionFigures(
        limits=limits,
        wanted=recipe.unsure.coverage,
        cap=recipe.unsure.most,
        unsure=_mixed(with_it, without, recipe.prevalence_of(k)),
        answers=answers(limits, probability, target, threshold, patients),
    )


def answers(
    limits: Abstention,
    probability: NDArray[np.float32],  # (N,)
    target: NDArray[np.float32],  # (N,) in {0, 1}
    threshold: float,
    patients: NDArray[np.str_],  # (N,)
    smallest: int = 1,
) -> Answers:
    """Measure what the box says of these cases; what fewer than `smallest` cases would tell is None."""
    unsure = is_unsure(probability, limits)
    refer, clear = (probability >= threshold) & ~unsure, (probability < threshold) & ~unsure

    def of(success: NDArray[np.bool_], cases: NDArray[np.bool_]) -> Estimate | None:
        return share(success[cases], patients[cases]) if cases.sum() >= smallest else None

    ill, well = target > 0, target <= 0
    return Answers(
        unsure=of(unsure, np.ones(unsure.size, bool)),
        covered_with=of(~clear, ill),
        covered_without=of(~refer, well),
        missed=of(clear, ill),
        sensitivity=of(refer, ill),
        specificity=of(clear, well),
        sensitivity_answered=of(refer, ill & ~unsure),
        specificity_answered=of(clear, well & ~unsure),
    )


def _mixed(with_it: Estimate | None, without: Estimate | None, prevalence: float | None) -> Estimate | None:
    """Weigh the shares of the two kinds of people; the interval follows from theirs (Donner and Zou 2012)."""
    if with_it is None or without is None or prevalence is None:
        return None
    parts = ((with_it, prevalence), (without, 1 - prevalence))
    value = sum(weight * one.value for one, weight in parts)
    below = float(np.sqrt(sum((weight * (one.value - one.low)) ** 2 for one, weight in parts)))
    above = float(np.sqrt(sum((weight * (one.high - one.value)) ** 2 for one, weight in parts)))
    return Estimate(value=value, low=max(0.0, value - below), high=min(1.0, value + above))
