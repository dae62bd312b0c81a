"""What each case is for: training rows are cut into `fit`, `tuning` and `calibration`, never parting a patient."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from aidpost_export.cases import Role
from aidpost_export.errors import DatasetError
from aidpost_export.recipe import Recipe
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
) -> list[Role | None]:
    """Give each row its role: the one stated, or one of the cut's; None for training rows beyond the limit.

    Rows of the same key stay together. Without stated validation rows some are cut off first, whatever the limit.
    Raises `DatasetError` when a part would lack a finding.  # targets: (N, K) 0 or 1
    """
    classes = np.concatenate([targets, targets.sum(1, keepdims=True) == 0], axis=1).astype(np.float32)
    owner = np.array(keys)
    roles = list(stated)
    if "validation" not in roles:
        shares: dict[Role | None, Share] = {None: Share(1 - VALIDATION), "validation": Share(VALIDATION, LEAST)}
        _deal(roles, _groups(_unassigned(roles), owner), classes, shares, seed)
    training = _unassigned(roles)
    used = training[order_evenly(owner[training].tolist(), classes[training], seed)][:limit]
    split = recipe.split
    parts: dict[Role | None, Share] = {
        "fit": Share(1 - split.tuning - split.calibration, LEAST),
        "tuning": Share(split.tuning, LEAST),
        "calibration": Share(split.calibration, LEAST),
    }
    _deal(roles, _groups(used, owner), classes, parts, seed)
    _require_enough(targets, roles, recipe, f"{len(used)} training labels of {len(set(owner[used]))} patients")
    return roles


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
    for rows, part in zip(groups, deal(groups, classes, list(shares.values()), seed), strict=True):
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
