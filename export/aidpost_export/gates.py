"""Gates: what an INT8 graph may change before it is refused. Pure: arrays of the calibration cases in, a judgement out.

The graph's own threshold is chosen on the same cases, so on others more verdicts flip: the report counts them there.
Flips are of verdicts, which side of its threshold a case lies on, and not of words: a word that turns from CLEAR to
REFER or back is a verdict that flips, while UNSURE instead of either only asks a person, and the limits of UNSURE are
each graph's own. So flips count every change that harms, and some that do not.
N calibration cases, K findings. Every figure is the worst finding's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.variant import OperatingPoint
from aidpost_device.calibration.threshold import operating_point, positives_needed
from aidpost_device.errors import CalibrationError
from aidpost_export.calibrate import fit_temperature, probabilities
from aidpost_export.cases import Cases
from aidpost_export.groups import group_columns
from aidpost_export.recipe import Gates, Recipe
from aidpost_export.sensitivity_gate import SensitivityChange, sensitivity_changes
from aidpost_export.statistics import auroc

FASTER = 1.0
"""Speed ratio above which a graph is worth shipping."""


@dataclass(frozen=True)
class Calibrated:
    """One graph's calibrated outputs on the calibration cases."""

    temperature: NDArray[np.float64]  # (K,)
    probability: NDArray[np.float32]  # (N, K)
    points: tuple[OperatingPoint, ...]  # K
    decided: NDArray[np.bool_]
    """Whether the box decides each finding of each case; the others count nowhere.  # (N, K)"""

    @property
    def verdicts(self) -> NDArray[np.bool_]:
        """Whether each case is positive for each finding.  # (N, K)"""
        thresholds = np.array([point.threshold for point in self.points], np.float32)
        found: NDArray[np.bool_] = self.probability >= thresholds
        return found


@dataclass(frozen=True)
class Change:
    """What a graph changed against the float graph."""

    auroc: float
    """AUROC minus that of the float graph."""
    flips: float
    """Fraction of verdicts that differ."""

    def refusals(self, speed: float | None, gates: Gates) -> tuple[str, ...]:
        """Say why the graph is refused, in words; nothing when it passes. `speed` is None where it was not timed."""
        told = []
        if self.auroc < -gates.auroc_loss:
            told.append(f"its AUROC is {-self.auroc:.4f} lower ({gates.auroc_loss} is allowed)")
        if self.flips > gates.flips:
            told.append(f"{self.flips:.1%} of its verdicts differ ({100 * gates.flips:g}% are allowed)")
        if speed is not None and speed <= FASTER:
            told.append(f"it is no faster here ({speed:.2f} times the float graph's speed)")
        return tuple(told)


def recalibrate(
    logits: NDArray[np.floating],  # (N, K)
    targets: NDArray[np.float32],  # (N, K)
    patients: Sequence[str],  # N
    recipe: Recipe,
    reference: Calibrated,
) -> Calibrated:
    """Refit temperature and operating points on another graph's logits, near the reference's verdicts."""
    temperature = fit_temperature(logits, targets, recipe.activation)
    probability = probabilities(logits, temperature, recipe.activation)
    verdicts, witnesses = reference.verdicts, np.array(patients)
    points = []
    for k in range(len(recipe.labels)):
        inside = reference.decided[:, k]
        p, y = probability[inside, k], targets[inside, k]
        threshold = matching_threshold(p, y, verdicts[inside, k], recipe.target_of(k))
        points.append(operating_point(p, y, threshold, recipe.target_of(k), witnesses[inside]))
    return Calibrated(temperature, probability, tuple(points), reference.decided)


def matching_threshold(
    probability: NDArray[np.float32],  # (N,)
    target: NDArray[np.float32],  # (N,) in {0, 1}
    verdicts: NDArray[np.bool_],  # (N,)
    target_sensitivity: float,
) -> float:
    """Choose, among the thresholds that reach the target sensitivity, the one that keeps most of the verdicts.

    With a hundred calibration cases each case is 1 % of the verdicts: the largest threshold alone, as the float graph
    takes it, would often flip a case only because its neighbours changed places. Of equal ones it takes the middle of
    the widest gap between scores. Raises `CalibrationError` when no case has the finding.
    """
    positives = int((target > 0).sum())
    if positives == 0:
        raise CalibrationError("No calibration case has the finding.", "Label more cases with it.")
    scores = np.unique(probability)
    below = np.concatenate([np.zeros(1, np.float32), scores[:-1]])
    middles = ((scores.astype(np.float64) + below) / 2).astype(np.float32)
    thresholds = np.where(middles > below, middles, scores)  # (T,), exact in float32, in which the box compares
    positive = probability[None, :] >= thresholds[:, None]  # (T, N)
    found = (positive & (target > 0)).sum(axis=1)
    flips = (positive != verdicts).sum(axis=1)
    allowed = found >= positives_needed(positives, target_sensitivity)
    best = allowed & (flips == flips[allowed].min())
    return float(thresholds[best][np.argmax((scores - below)[best])])


def compare(found: Calibrated, reference: Calibrated, targets: NDArray[np.float32]) -> Change:  # targets (N, K)
    """Measure what a graph changed."""
    changes = []
    for k in range(targets.shape[1]):
        inside = reference.decided[:, k]
        before, after = (auroc(one.probability[inside, k], targets[inside, k]) for one in (reference, found))
        if before is not None and after is not None:
            changes.append(after - before)
    flips = np.mean(found.verdicts != reference.verdicts, axis=0, where=reference.decided)  # (K,)
    return Change(auroc=min(changes, default=0.0), flips=float(flips.max()))


def sensitivity_gate(
    found: Calibrated, reference: Calibrated, cases: Cases, rows: NDArray[np.intp], recipe: Recipe
) -> tuple[SensitivityChange, ...]:
    """Hold the sensitivity of each finding that refers against the float graph's, over all and in each group.

    `rows` are the calibration cases among `cases`.  # (N,)
    """
    patients, columns = np.array(cases.patients)[rows], group_columns(cases, recipe, rows)
    changes: list[SensitivityChange] = []
    for k, finding in enumerate(recipe.finding):
        if finding.refers:
            inside = reference.decided[:, k]
            before, after = (one.verdicts[inside, k] for one in (reference, found))
            groups = {column: tuple(compress(values, inside)) for column, values in columns.items()}
            target = cases.targets[rows[inside], k]
            changes += sensitivity_changes(finding.label, before, after, target, patients[inside], groups, recipe.gates)
    return tuple(changes)
