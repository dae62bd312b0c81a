"""Fitting the detectors of one device graph, on its own embeddings of the training scans and of spoilt copies of them.

Every limit is chosen on scores of scans that were left out (five folds by patient). Scans with a fault that is looked
for are classes of the distance as well: a blurred film is still a film, and is to be taken again with the right hint
rather than refused. Axes: T training scans, N embeddings of scans good and spoilt, D of the embedding, Q faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from aidpost_device.bundle.variant import Distance, QualityCheck
from aidpost_device.reason import Reason
from aidpost_export.cases import Cases
from aidpost_export.detectors.degrade import GRADES, degrade
from aidpost_export.detectors.faults import GOOD, FaultScores, fit_faults
from aidpost_export.detectors.limits import SPENT, fewest_scans, joint_limits, safe_limit
from aidpost_export.detectors.mahalanobis import Mahalanobis, fit_mahalanobis
from aidpost_export.recipe import Recipe

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Runs one graph.  # (N, H, W, C) → (N, D)"""
EACH = 48
"""Training scans that are spoilt in each way and grade, at most."""
FOLDS = 5
CLASS = 10
"""Fewest scans of a finding that are a class of the distance; rarer findings count as none."""
DETECTED = 0.5
"""Share of the most severe grade that a fault's score must find, or it does not ship."""


@dataclass(frozen=True)
class Detectors:
    """What is appended to a graph, and the limits that its outputs are held against."""

    distance: Mahalanobis | None = None
    limit: Distance | None = None
    faults: FaultScores | None = None
    checks: tuple[QualityCheck, ...] = ()
    notes: tuple[str, ...] = ()
    """What the recipe asks for and this graph does not do, and why."""


@dataclass(frozen=True)
class Embedded:
    """Embeddings of training scans, good and spoilt."""

    embedding: NDArray[np.float32]  # (N, D)
    fault: NDArray[np.str_]
    """Fault of each; empty for a good scan.  # (N,)"""
    grade: NDArray[np.int_]
    """0 for a good scan.  # (N,)"""
    finding: NDArray[np.int_]
    """Class of each.  # (N,)"""
    patients: NDArray[np.str_]  # (N,)
    unseen: NDArray[np.bool_]
    """Good scans that the network did not learn from.  # (N,)"""

    def take(self, rows: NDArray[np.bool_]) -> Embedded:
        """Some of them."""
        return Embedded(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which are good scans.  # (N,)"""
        return np.equal(self.fault, GOOD)

    @property
    def classes(self) -> NDArray[np.int_]:
        """Finding of the good ones, fault and grade of the others, as numbers.  # (N,)"""
        kinds = np.where(self.good, self.finding.astype(np.str_), np.char.add(self.fault, self.grade.astype(np.str_)))
        return np.unique(kinds, return_inverse=True)[1]


def fewest(recipe: Recipe) -> int:
    """Training scans that the recipe's detectors need."""
    return fewest_scans(SPENT * min(recipe.detectors.false_refusals, recipe.detectors.false_repeats))


def training_rows(cases: Cases) -> NDArray[np.intp]:
    """Cases that detectors are fitted on.  # (T,)"""
    return cases.where("fit", "tuning", "calibration")


def fit_detectors(
    cases: Cases,
    pixels: NDArray[np.uint8],  # (N, H, W, C) of all cases
    embedding: NDArray[np.float32],  # (T, D) of `training_rows`
    embed: Embed,
    recipe: Recipe,
    advance: Callable[[int], None] = lambda _: None,
) -> Detectors:
    """Fit what the recipe asks for. `advance` is told how many spoilt scans were run (`spoilt_count` in all)."""
    wanted, rows = recipe.detectors, training_rows(cases)
    if not wanted.distance and not wanted.faults:
        return Detectors()
    if len(rows) < fewest(recipe):
        note = f"too few training cases for a limit: {len(rows)}, at least {fewest(recipe)} are needed"
        return Detectors(notes=(note,))
    scans = _embed_all(cases, pixels, embedding, embed, recipe, advance)
    found = _fit_faults(scans, wanted.faults, wanted.false_repeats) if wanted.faults else Detectors()
    if not wanted.distance:
        return found
    # A fault that is not looked for is no class: the scan had better be refused than read.
    known = np.isin(scans.fault, [GOOD, *(check.retake for check in found.checks)])
    distance, limit = _fit_distance(scans.take(known), wanted.false_refusals)
    return replace(found, distance=distance, limit=limit)


def spoilt_count(cases: Cases, recipe: Recipe) -> int:
    """Spoilt scans that fitting will run."""
    count = len(training_rows(cases))
    return 0 if count < fewest(recipe) else len(recipe.detectors.faults) * len(GRADES) * min(EACH, count)


def spoilt_scans(
    pixels: NDArray[np.uint8], rows: NDArray[np.intp], recipe: Recipe, each: int
) -> Iterator[tuple[str, int, NDArray[np.intp], NDArray[np.uint8]]]:
    """Yield fault, grade, the cases that were spoilt and their pixels; each fault and grade takes other cases."""
    order = np.random.default_rng(0).permutation(rows)
    bars = recipe.input.fit == "pad"
    for q, fault in enumerate(recipe.detectors.faults):
        for g, grade in enumerate(GRADES):
            chosen = np.roll(order, -(q * len(GRADES) + g) * each)[:each]
            spoilt = [degrade(pixels[row], Reason(fault), grade, int(row), bars=bars) for row in chosen]
            yield fault, grade, chosen, np.stack(spoilt)


def _embed_all(
    cases: Cases,
    pixels: NDArray[np.uint8],
    embedding: NDArray[np.float32],
    embed: Embed,
    recipe: Recipe,
    advance: Callable[[int], None],
) -> Embedded:
    """Put the training scans' embeddings and those of spoilt ones into one table."""
    rows = training_rows(cases)
    finding, patients = _findings(cases, rows), np.array(cases.patients)
    learnt = np.isin(rows, cases.where("fit"))
    count = len(rows)
    parts = [Embedded(embedding, np.full(count, GOOD), np.zeros(count, int), finding, patients[rows], ~learnt)]
    for fault, grade, chosen, spoilt in spoilt_scans(pixels, rows, recipe, EACH):
        many = len(chosen)
        values = np.full(many, fault), np.full(many, grade), np.zeros(many, int), patients[chosen], np.zeros(many, bool)
        parts.append(Embedded(embed(spoilt), *values))
        advance(many)
    names = [field.name for field in fields(Embedded)]
    return Embedded(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _findings(cases: Cases, rows: NDArray[np.intp]) -> NDArray[np.int_]:
    """Class of each case: 1 + its rarest finding, 0 with none or where too few have it.  # (T,)"""
    targets = cases.targets[rows] > 0  # (T, K)
    counts = targets.sum(axis=0)
    classes = np.zeros(len(rows), int)
    for k in sorted(np.flatnonzero(counts >= CLASS), key=lambda k: -counts[k]):
        classes[targets[:, k]] = 1 + k
    return classes


def _folds(scans: Embedded) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Part the scans by patient: rows to learn from, and rows that are left out."""
    groups = GroupKFold(min(FOLDS, len({*scans.patients})))
    yield from groups.split(scans.embedding, groups=scans.patients)


def _fit_distance(scans: Embedded, allowed: float) -> tuple[Mahalanobis, Distance]:
    """Fit the distance, and its limit on good scans that were left out."""
    held_out = np.zeros(len(scans.embedding))
    for learn, judge in _folds(scans):
        part = fit_mahalanobis(scans.embedding[learn], scans.classes[learn])
        held_out[judge] = part.distances(scans.embedding[judge])
    good = scans.good
    limit = safe_limit(held_out[good], scans.unseen[good], allowed)
    return fit_mahalanobis(scans.embedding, scans.classes), Distance(limit=limit)


def _fit_faults(scans: Embedded, faults: tuple[str, ...], allowed: float) -> Detectors:
    """Fit the scores, and the limits of those that find their fault among scans that were left out."""
    held_out = np.zeros((len(scans.embedding), len(faults)))
    for learn, judge in _folds(scans):
        part = fit_faults(scans.embedding[learn], scans.fault[learn], faults)
        held_out[judge] = part.scores(scans.embedding[judge])
    good, worst = scans.good, scans.grade == GRADES[-1]
    limits = joint_limits(held_out[good], scans.unseen[good], allowed)
    found = [float((held_out[worst & (scans.fault == fault), q] > limits[q]).mean()) for q, fault in enumerate(faults)]
    kept = [q for q, rate in enumerate(found) if rate >= DETECTED]
    if kept:  # those that do not ship cost no good scan
        limits[kept] = joint_limits(held_out[good][:, kept], scans.unseen[good], allowed)
    checks = tuple(QualityCheck(measure=faults[q], high=float(limits[q]), retake=faults[q]) for q in kept)
    notes = tuple(
        f"{fault}: not looked for, because only {found[q]:.0%} of the worst were found"
        for q, fault in enumerate(faults)
        if q not in kept
    )
    return Detectors(faults=fit_faults(scans.embedding, scans.fault, faults), checks=checks, notes=notes)
