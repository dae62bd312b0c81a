"""Cutting rows into parts that share no patient, with every finding spread as evenly as the patients allow.

Axes: N rows, C classes (the findings, and "none of them"), P parts, G patients (groups of rows).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Groups = list[NDArray[np.intp]]
"""Row numbers per patient."""


@dataclass(frozen=True)
class Share:
    """One part of a cut."""

    fraction: float
    """Of the rows, in (0, 1)."""
    least: int = 0
    """Cases of every class that it should get where there are enough."""


def group_rows(keys: Sequence[Hashable]) -> Groups:
    """Collect the rows of each patient, in order of first appearance."""
    found: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return [np.array(rows, np.intp) for rows in found.values()]


def joined(*columns: Sequence[str]) -> list[int]:
    """Number for each row what may never be parted: rows that agree in any column belong together, directly or not.

    An empty cell agrees with nothing. The number is that of the set's first row.
    """
    parent = list(range(len(columns[0])))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for column in columns:
        first: dict[str, int] = {}
        for row, cell in enumerate(column):
            if cell:
                low, high = sorted((root(first.setdefault(cell, row)), root(row)))
                parent[high] = low
    return [root(row) for row in range(len(parent))]


def order_evenly(keys: Sequence[int], classes: NDArray[np.float32], seed: int) -> NDArray[np.intp]:
    """Order rows at random so that any first part of them holds the classes in their proportions, of many patients.

    A row counts for its rarest class. Within a class every patient gives one row before any gives a second. The order
    depends on the rows and the seed alone, so a shorter part lies within a longer one.  # classes: (N, C) 0 or 1
    """
    generator = np.random.default_rng(seed)
    rank = dict(zip(dict.fromkeys(keys), generator.permutation(len(set(keys))), strict=True))
    rarest_first = np.argsort(classes.sum(0), kind="stable")
    strata = rarest_first[classes[:, rarest_first].argmax(1)]  # (N,)
    place = np.zeros(len(keys))
    for stratum in np.unique(strata):
        rounds: dict[int, int] = {}
        members = []
        for row in np.flatnonzero(strata == stratum).tolist():
            rounds[keys[row]] = rounds.get(keys[row], 0) + 1
            members.append((rounds[keys[row]], rank[keys[row]], row))
        for position, (_, _, row) in enumerate(sorted(members)):
            place[row] = (position + generator.random()) / len(members)
    return np.argsort(place, kind="stable")


def deal(
    groups: Groups,
    classes: NDArray[np.float32],
    shares: Sequence[Share],
    seed: int,
    settled: Sequence[Sequence[int]] = (),
) -> list[int]:
    """Give each patient to one of the parts, so that every class is spread as the shares say.

    `settled` are rows that each part has already; they count for its share.

    Patients with the rarest class come first, and of those the large ones (Sechidis et al., ECML 2011). A patient goes
    to the part that lacks most of its least cases, then to where the sum of squared differences over what is wanted
    (chi squared) becomes smallest. Returns the part of each patient, by position.

    `classes`: (N, C) 0 or 1, at least one in each row.
    """
    if not groups:
        return []
    counts = np.array([classes[rows].sum(0) for rows in groups], np.float64)  # (G, C)
    held = np.array([classes[list(rows)].sum(0) for rows in settled or [[]] * len(shares)], np.float64)  # (P, C)
    totals = counts.sum(0) + held.sum(0)
    wanted = np.maximum(np.array([[share.fraction] for share in shares]) * totals, 1)  # (P, C)
    least = np.array([[share.least] for share in shares])  # (P, 1)
    parts = [0] * len(groups)
    rarest = np.where(counts > 0, totals, np.inf).min(1)
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    for number in sorted(shuffled.tolist(), key=lambda g: (rarest[g], -len(groups[g]))):
        own = counts[number]
        lack = np.minimum(np.clip(least - held, 0, None), own).sum(1)
        change = ((2 * (held - wanted) + own) * own / wanted).sum(1)
        parts[number] = int(np.lexsort((change, -lack))[0])
        held[parts[number]] += own
    return parts
