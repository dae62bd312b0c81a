"""Which cases a map is looked at on: those that the network calls positive, few, of as many people as possible."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from aidpost_export.cases import Cases, Role
from aidpost_export.measure import Scores
from aidpost_export.recipe import Recipe

HEALTHY = 0.25
"""Share of the training cases without a finding, the least suspicious first, that one is drawn from."""


@dataclass(frozen=True)
class Subject:
    """One case and the finding whose map is looked at in it."""

    row: int
    finding: int
    """Its place among the recipe's, k."""
    healthy: int
    """A training case without the finding, which the network calls negative: what is put in the place of cells."""


def choose(cases: Cases, scores: Scores, recipe: Recipe, role: Role, most: int) -> tuple[Subject, ...]:
    """Choose at most so many cases of a role that are called positive for a finding that refers.

    Findings take turns; a person comes a second time only after everybody else. The same run, the same choice.
    """
    random = np.random.default_rng(0)
    queues = []
    for k, finding in enumerate(recipe.finding):
        healthy = healthy_rows(cases, scores, k)
        if finding.refers and healthy.size:
            called = random.permutation(_called(cases, scores, role, k))
            queues.append([Subject(int(row), k, int(random.choice(healthy))) for row in called])
    turns = [one for turn in zip_longest(*queues) for one in turn if one is not None]
    first: dict[str, Subject] = {}
    for one in turns:
        first.setdefault(cases.patients[one.row], one)
    again = [one for one in turns if first[cases.patients[one.row]] is not one]
    return (*first.values(), *again)[:most]


def healthy_rows(cases: Cases, scores: Scores, k: int) -> NDArray[np.intp]:
    """Training cases without finding k that the network calls negative, the least suspicious of them."""
    fit = cases.where("fit")
    without = fit[(cases.targets[fit, k] == 0) & (scores.probability[fit, k] < scores.points[k].threshold)]
    order: NDArray[np.intp] = without[np.argsort(scores.probability[without, k], kind="stable")]
    return order[: max(1, round(len(order) * HEALTHY))]


def _called(cases: Cases, scores: Scores, role: Role, k: int) -> NDArray[np.intp]:
    rows = cases.where(role)
    positive = scores.probability[rows, k] >= scores.points[k].threshold
    called: NDArray[np.intp] = rows[positive & scores.decided[rows, k]]
    return called
