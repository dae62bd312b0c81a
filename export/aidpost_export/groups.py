"""Groups of people and scans: does the model serve them all alike?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aidpost_device.calibration.proportions import rates
from aidpost_device.calibration.strata import AGE_BANDS, band_of
from aidpost_export.ages import parse_age
from aidpost_export.figures import SMALLEST, GroupFigures
from aidpost_export.resampling import auroc_interval

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


def group_figures(
    column: str,
    values: Sequence[str],
    probability: NDArray[np.float32],
    target: NDArray[np.float32],
    threshold: float,
    patients: NDArray[np.str_],
) -> tuple[GroupFigures, ...]:
    """Measure one finding in each group of a column.  # values, probability, target, patients: (N,)"""
    names = np.array(values)
    order = [name for _, name in AGE_BANDS] if column == "age" else sorted({*values})
    found = []
    for value in (*(name for name in order if name), ""):
        inside = np.flatnonzero(names == value)
        if inside.size == 0:
            continue
        p, y, who = probability[inside], target[inside], patients[inside]
        positives = int(y.sum())
        enough_positives, enough_negatives = positives >= SMALLEST, inside.size - positives >= SMALLEST
        sensitivity, specificity = rates(p, y, threshold, who)
        found.append(
            GroupFigures(
                column=column,
                value=value,
                cases=inside.size,
                positives=positives,
                patients=len(np.unique(who)),
                auroc=auroc_interval(p, y, who) if enough_positives and enough_negatives else None,
                sensitivity=sensitivity if enough_positives else None,
                specificity=specificity if enough_negatives else None,
            )
        )
    return tuple(found)
