"""Strata: the same threshold among the young and the old, among women and men."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.programme import Programme
from aidpost_device.calibration.proportions import rates
from aidpost_device.calibration.yields import Curve, curve

AGE_BANDS = ((0, "0-4"), (5, "5-17"), (18, "18-44"), (45, "45-64"), (65, "65+"))
"""First completed year of each band, and its name."""
FEWEST_SHOWN = 10
"""Fewest people with the finding, and fewest without it, of whom figures are shown.

With fewer, an interval spans most of the scale and single people could be recognised.
"""


class Stratum(Struct, frozen=True, kw_only=True):
    """Some of the cases."""

    column: str
    """`age` or `sex`."""
    value: str
    """The band or the sex; empty where it is not known."""
    positives: int
    negatives: int
    curve: Curve | None
    """None where there are too few to show."""
    sensitivity: Estimate | None
    """At the threshold chosen for everybody."""
    specificity: Estimate | None


def band_of(years: float | None) -> str:
    """Name the band of an age; empty where it is not known."""
    if years is None:
        return ""
    return next(name for first, name in reversed(AGE_BANDS) if years >= first)


def stratify(
    column: str,
    values: Sequence[str],
    probability: ArrayLike,
    target: ArrayLike,
    people: ArrayLike,
    threshold: float,
    programme: Programme,
) -> tuple[Stratum, ...]:
    """Lay out each stratum of a column with the whole's threshold.  # values, probability, target, people: (N,)

    Yields are at the programme's prevalence: that of a stratum is seldom known.
    """
    names, score = np.asarray(values), np.asarray(probability)
    positive, who = np.asarray(target) > 0, np.asarray(people)
    bands = [name for _, name in AGE_BANDS]
    order = sorted({*values} - {""}, key=lambda name: (bands.index(name) if name in bands else 0, name))
    found = []
    for value in (*order, *([""] if "" in values else [])):
        inside = names == value
        counts = [len(np.unique(who[inside & kind])) for kind in (positive, ~positive)]
        enough = min(counts) >= FEWEST_SHOWN
        cases = (score[inside], positive[inside])
        sensitivity, specificity = rates(*cases, threshold, who[inside]) if enough else (None, None)
        found.append(
            Stratum(
                column=column,
                value=value,
                positives=int(np.sum(inside & positive)),
                negatives=int(np.sum(inside & ~positive)),
                curve=curve(*cases, who[inside], programme) if enough else None,
                sensitivity=sensitivity,
                specificity=specificity,
            )
        )
    return tuple(found)
