"""What each case is for: training rows are cut into `fit`, `tuning` and `calibration`, never parting a patient."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from aidpost_export.cases import Role
from aidpost_export.errors import DatasetError
from aidpost_export.recipe import Recipe, Split
from aidpost_export.split import Groups, Share, deal, group_rows, order_evenly

VALIDATION = 0.2
"""Fraction of the rows that is kept for figures where the index marks none."""
LEAST = 2
"""Cases with and without each finding that fit, tuning and calibration each need."""


def assign_roles(
    targets: NDArray[np.float32],
    keys: Sequence[int],
    stated: Sequence[Role | None],
    recipe: Recipe,
    *,
    seed: int,
    limit: int | None,
    learnt: Sequence[bool] = (),
) -> list[Role | None]:
    """Give each row its role: the one stated, or one of the cut's; None for training rows beyond the limit.

    Rows of the same key stay together. Without stated validation rows some are cut off first, whatever the limit.
    `learnt` says which rows the base has learnt from: of those that are free it makes `fit` rows.
    Raises `DatasetError` when a part would lack a finding.  # targets: (N, K) 0 or 1
    """
    classes = np.concatenate([targets, targets.sum(1, keepdims=True) == 0], axis=1).astype(np.float32)
    owner = np.array(keys)
    roles = list(stated)
    known = np.array(learnt or [False] * len(roles), bool)
    split = recipe.split
    if "validation" not in roles:
        free = _unassigned(roles)
        fraction = _validation_of(known[free], split)
        shares: dict[Role | None, Share] = {None: Share(1 - fraction), "validation": Share(fraction, LEAST)}
        _deal(roles, _groups(free[~known[free]], owner), classes, shares, seed)
    training = _unassigned(roles)
    used = training[order_evenly(owner[training].tolist(), classes[training], seed)][:limit]
    for row in used[known[used]]:
        roles[row] = "fit"
    parts: dict[Role | None, Share] = {
        "fit": Share(1 - split.tuning - split.calibration, LEAST),
        "tuning": Share(split.tuning, LEAST),
        "calibration": Share(split.calibration, LEAST),
    }
    _deal(roles, _groups(used[~known[used]], owner), classes, parts, seed)
    described = f"{len(used)} training labels of {len(set(owner[used]))} patients"
    again = int(known[used].sum())
    _require_enough(targets, roles, recipe, f"{described} ({again} of them learnt by the base)" if again else described)
    return roles


def _validation_of(known: NDArray[np.bool_], split: Split) -> float:
    """Fraction of the rows new to the base that is kept for figures.  # known: (N,)

    It is what gives `VALIDATION` of all rows, but no more than leaves tuning and calibration their shares.
    """
    new = max(1, int((~known).sum()))
    others = (1 - VALIDATION) * (split.tuning + split.calibration)
    return min(VALIDATION * len(known) / new, VALIDATION / (VALIDATION + others))


def _unassigned(roles: Sequence[Role | None]) -> NDArray[np.intp]:
    return np.array([row for row, role in enumerate(roles) if role is None], np.intp)


def _groups(rows: NDArray[np.intp], owner: NDArray[np.intp]) -> Groups:
    return [rows[members] for members in group_rows(owner[rows].tolist())]


def _deal(
    roles: list[Role | None],
    groups: Groups,
    classes: NDArray[np.float32],
    shares: dict[Role | None, Share],
    seed: int,
) -> None:
    names = list(shares)
    settled = [[row for row, role in enumerate(roles) if role is not None and role == name] for name in names]
    for rows, part in zip(groups, deal(groups, classes, list(shares.values()), seed, settled), strict=True):
        for row in rows:
            roles[row] = names[part]


def _require_enough(targets: NDArray[np.float32], roles: Sequence[Role | None], recipe: Recipe, used: str) -> None:
    """See that every finding is there and is absent in each part that a step of the training reads."""
    fraction = min(recipe.split.tuning, recipe.split.calibration)
    for role in ("fit", "tuning", "calibration"):
        part = targets[[own == role for own in roles]]
        for label, positives in zip(recipe.labels, part.sum(0), strict=True):
            if min(positives, len(part) - positives) < LEAST:
                raise DatasetError(
                    f"Of the {used}, {role} gets {int(positives)} with {label!r} and "
                    f"{len(part) - int(positives)} without; it needs {LEAST} of each.",
                    f"Label more scans or raise --limit: about {ceil((LEAST + 1) / fraction)} with {label!r} and as "
                    f"many without, of different patients, are enough; {3 * LEAST} of each are the least.",
                )
