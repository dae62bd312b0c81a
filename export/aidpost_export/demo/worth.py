"""What transfer was worth: the same cases read by the base as it came, a network from scratch, and the adapted one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.proportions import rates
from aidpost_export.calibrate import probabilities
from aidpost_export.cases import Cases
from aidpost_export.evaluate import control_scores
from aidpost_export.figures import Evaluation
from aidpost_export.measure import Scores, calibrate, decided_cases
from aidpost_export.network import load_network
from aidpost_export.recipe import Recipe
from aidpost_export.resampling import auroc_interval
from aidpost_export.run import RunFolder
from aidpost_export.statistics import Interval


@dataclass(frozen=True)
class Worth:
    """One network on the validation cases."""

    name: str
    labels: int
    """Local labels it has learnt from."""
    auroc: Interval | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    """At the network's own operating point."""


def measure_worth(run: RunFolder, base: RunFolder | None, evaluation: Evaluation) -> list[Worth]:
    """Compare on the first referring finding; `base` is an earlier run that can read the cases without adaptation."""
    cases, recipe = run.cases(), run.recipe().recipe
    k = next(i for i, finding in enumerate(recipe.finding) if finding.refers)
    labels = len(cases.where("fit", "tuning", "calibration"))
    rows = []
    if base is not None and base.recipe().recipe.labels == recipe.labels:
        unadapted, before = read_unadapted(base, run)
        rows.append(_worth("base as it came", 0, cases, recipe, unadapted, before, k))
    if (scratch := control_scores(run, cases, recipe)) is not None:
        rows.append(_worth("from scratch", labels, cases, recipe, scratch.probability, scratch, k))
    found = evaluation.findings[k]
    rows.append(Worth("adapted", labels, found.auroc, found.sensitivity, found.specificity))
    for variant in evaluation.device.variants if evaluation.device else ():
        if variant.precision == "int8":
            own = variant.findings[k]
            rows.append(Worth("adapted, INT8", labels, own.auroc, own.sensitivity, own.specificity))
    return rows


def read_unadapted(base: RunFolder, run: RunFolder) -> tuple[NDArray[np.float32], Scores]:
    """Read a run's cases with an earlier run's network as it is; give its probabilities (N, K) and its own scores."""
    scores = calibrate(base.logits(), base.cases(), base.recipe().recipe)
    logits = _read(base, run.pixels())
    return probabilities(logits, scores.temperature, base.recipe().recipe.activation), scores


def _worth(
    name: str, labels: int, cases: Cases, recipe: Recipe, probability: NDArray[np.float32], scores: Scores, k: int
) -> Worth:  # probability: (N, K)
    rows = cases.where("validation")
    rows = rows[decided_cases(cases, recipe)[rows, k]]  # of these cases; `scores` may be those of the base's own
    p, y, patients = probability[rows, k], cases.targets[rows, k], np.array(cases.patients)[rows]
    sensitivity, specificity = rates(p, y, scores.points[k].threshold, patients)
    return Worth(name, labels, auroc_interval(p, y, patients), sensitivity, specificity)


@torch.no_grad()
def _read(base: RunFolder, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of an earlier run's network on other cases' pixels.  # (N, H, W, C) → (N, K)"""
    network = load_network(base.path)
    parts = []
    for start in range(0, len(pixels), 64):
        batch = pixels[start : start + 64].transpose(0, 3, 1, 2).copy()
        parts.append(network(torch.from_numpy(batch)).logits.numpy())
    return np.concatenate(parts)
