"""Groups of people and scans: does the model serve them all alike?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.variant import Abstention
from aidpost_device.calibration.proportions import rates, share
from aidpost_device.calibration.strata import AGE_BANDS, band_of
from aidpost_export.ages import parse_age
from aidpost_export.cases import Cases
from aidpost_export.figures import Gap, GroupFigures, GroupSensitivity
from aidpost_export.gaps import gap
from aidpost_export.recipe import SMALLEST, Recipe
from aidpost_export.resampling import auroc_interval
from aidpost_export.unsure import answers

LARGEST = 12
"""Groups reported of one column; smaller ones stand together as `other`."""


def age_band(age: str) -> str:
    """Name the band of an age in years ("63", "0.5") or in DICOM's form ("006M"); empty when it is neither."""
    return band_of(parse_age(age))


def group_values(column: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Turn a column's texts into groups: ages into bands, the rarest values into `other`."""
    values = [age_band(text) if column == "age" else text.strip() for text in texts]
    counts = Counter(value for value in values if value)
    kept = {value for value, _ in counts.most_common(LARGEST)}
    return tuple(value if value in kept or not value else "other" for value in values)


def group_columns(cases: Cases, recipe: Recipe, rows: NDArray[np.intp]) -> dict[str, tuple[str, ...]]:
    """The recipe's group columns on some of the cases; empty texts where the dataset lacks a column.  # rows: (R,)"""
    nothing = ("",) * len(cases)
    texts = {name: cases.columns.get(name, nothing) for name in recipe.groups}
    return {name: group_values(name, [column[i] for i in rows]) for name, column in texts.items()}


def members(column: str, values: Sequence[str]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Give each group of a column in order, those that state nothing last, with its cases.  # (N,), (N,)"""
    names = np.array(values)
    order = [name for _, name in AGE_BANDS] if column == "age" else sorted({*values})
    for value in (*(name for name in order if name), ""):
        if (inside := names == value).any():
            yield value, inside


def group_figures(
    column: str,
    values: Sequence[str],
    probability: NDArray[np.float32],
    target: NDArray[np.float32],
    threshold: float,
    patients: NDArray[np.str_],
    smallest: int = SMALLEST,
    limits: Abstention | None = None,
) -> tuple[GroupFigures, ...]:
    """Measure one finding in each group of a column.  # values, probability, target, patients: (N,)

    Groups with fewer than `smallest` positives or negatives are counted, and what would tell of these is None.
    """
    found = []
    for value, inside in members(column, values):
        p, y, who = probability[inside], target[inside], patients[inside]
        positives, cases = int(y.sum()), int(inside.sum())
        enough_positives, enough_negatives = positives >= smallest, cases - positives >= smallest
        sensitivity, specificity = rates(p, y, threshold, who)
        right = (probability >= threshold) == (target > 0)
        found.append(
            GroupFigures(
                column=column,
                value=value,
                cases=cases,
                positives=positives,
                patients=len(np.unique(who)),
                auroc=auroc_interval(p, y, who) if enough_positives and enough_negatives else None,
                sensitivity=sensitivity if enough_positives else None,
                specificity=specificity if enough_negatives else None,
                sensitivity_gap=_gap(right, inside, target > 0, patients, smallest),
                specificity_gap=_gap(right, inside, target <= 0, patients, smallest),
                answers=answers(limits, p, y, threshold, who, smallest) if limits else None,
            )
        )
    return tuple(found)


def group_sensitivities(
    column: str,
    values: Sequence[str],
    found: NDArray[np.bool_],
    target: NDArray[np.float32],
    patients: NDArray[np.str_],
    smallest: int,
) -> Iterator[GroupSensitivity]:
    """Give the sensitivity alone in each group, from the verdicts.  # values, found, target, patients: (N,)"""
    for value, inside in members(column, values):
        ill = inside & (target > 0)
        enough = ill.sum() >= smallest
        yield GroupSensitivity(
            column=column,
            value=value,
            positives=int(ill.sum()),
            sensitivity=share(found[ill], patients[ill]) if enough else None,
        )


def _gap(
    right: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    kind: NDArray[np.bool_],
    patients: NDArray[np.str_],
    smallest: int,
) -> Gap | None:  # (N,) each
    """Hold a group's cases of one kind against everybody else's of that kind."""
    if min(np.sum(inside & kind), np.sum(~inside & kind)) < smallest:
        return None
    return gap(right[kind], inside[kind], patients[kind])
