"""The choice of a threshold for a programme, and why it was this one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from aidpost_device.calibration.threshold import positives_needed
from aidpost_device.calibration.yields import Curve
from aidpost_device.errors import CalibrationError, SettingError

FEWEST = 30
"""Fewest people with the finding, and fewest without it, on whom a threshold is chosen.

Wilson's interval of a proportion of 30 people is never wider than 34 percentage points, and at a sensitivity of 90 %
it spans 74 % to 97 %: with fewer, nobody could tell a threshold that finds nine of ten people from one that finds two
of three.
"""
Why = Literal["cost", "cost-within-capacity", "capacity", "target"]
"""`cost`: least expected cost; `cost-within-capacity`: the least that the tests a day allow; `capacity`: highest
sensitivity that they allow; `target`: the target sensitivity."""


class Choice(Struct, frozen=True, kw_only=True):
    """A threshold with the reason for it."""

    threshold: float
    why: Why
    target_sensitivity: float
    """The target for which `choose_threshold` gives this threshold on the same cases, in (0, 1)."""
    unlimited: float | None = None
    """The threshold of least cost if the tests a day were not limited; None where they did not matter."""
    nobody_is_cheaper: bool = False
    """Whether it would cost less to flag nobody at all: then the costs are to be checked."""


def require_enough(target: ArrayLike, people: ArrayLike, cases: str) -> None:
    """See that there are `FEWEST` people of either kind.  # (N,) in {0, 1}, (N,)

    `cases` names them in the message. Raises `CalibrationError` with the counts.
    """
    positive, who = np.asarray(target) > 0, np.asarray(people)
    present, absent = len(np.unique(who[positive])), len(np.unique(who[~positive]))
    if min(present, absent) >= FEWEST:
        return
    missing = [
        f"{FEWEST - count} more {kind}" for count, kind in ((present, "with"), (absent, "without")) if count < FEWEST
    ]
    raise CalibrationError(
        f"The {cases} are of {present} people with the finding and {absent} without it; "
        f"a threshold needs at least {FEWEST} of either kind.",
        f"Add the outcomes of at least {' and '.join(missing)}, and give all of them together.",
    )


def choose(curve: Curve, target_sensitivity: float) -> Choice:
    """Choose the threshold of least expected cost, else of the highest sensitivity, that the tests a day allow.

    Without costs and without a limit of tests it is the one that new cases reach `target_sensitivity` at. Raises
    `SettingError` where even the strictest threshold asks for more tests than there are.
    """
    programme, capacity = curve.programme, curve.programme.capacity
    wanted = np.flatnonzero(curve.sharp)  # (C,) rising thresholds: the first flags most people
    allowed = wanted if capacity is None else wanted[curve.flagged[wanted] <= capacity * (1 + 1e-9)]
    if allowed.size == 0:
        raise SettingError(_too_few_tests(curve, int(wanted[-1])), "Plan for more tests a day, or screen fewer people.")
    if programme.weighs_costs:
        best, free = _cheapest(curve, allowed), _cheapest(curve, wanted)
        return Choice(
            threshold=float(curve.thresholds[best]),
            why="cost" if best == free else "cost-within-capacity",
            target_sensitivity=_target(curve, best),
            unlimited=None if best == free else float(curve.thresholds[free]),
            nobody_is_cheaper=bool(curve.cost[best] > (programme.cost_missed or 0) * programme.prevalence),
        )
    if capacity is not None:
        best = int(allowed[0])
        return Choice(threshold=float(curve.thresholds[best]), why="capacity", target_sensitivity=_target(curve, best))
    needed = positives_needed(curve.positives, target_sensitivity)
    enough = wanted[curve.present.flagged(curve.thresholds[wanted]) >= needed]
    return Choice(threshold=float(curve.thresholds[enough[-1]]), why="target", target_sensitivity=target_sensitivity)


def _cheapest(curve: Curve, among: NDArray[np.intp]) -> int:
    """Find the least cost; of equal ones the lowest threshold, which misses fewest."""
    return int(among[np.argmin(curve.cost[among])])


def _target(curve: Curve, index: int) -> float:
    """Say for which target sensitivity `positives_needed` asks for just what this threshold finds."""
    return int(curve.present.flagged(curve.thresholds[index])) / (curve.positives + 1)


def _too_few_tests(curve: Curve, strictest: int) -> str:
    people, tests = curve.programme.people_per_day or 0.0, curve.programme.tests_per_day
    return (
        f"Even the strictest threshold sends {people * float(curve.flagged[strictest]):.1f} people a day to a test; "
        f"{tests:g} can be tested."
    )
