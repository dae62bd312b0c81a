"""Which plots an evaluation is shown with, by the name of their file."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence

import msgspec
import numpy as np

from aidpost_device.calibration.yields import curve
from aidpost_export.cautions import group_name
from aidpost_export.curves import roc_curve
from aidpost_export.figures import Evaluation, FindingFigures
from aidpost_export.measure import Measured
from aidpost_export.plots.canvas import Canvas
from aidpost_export.plots.exchange import exchange_plot
from aidpost_export.plots.forest import Row, forest_plot
from aidpost_export.plots.histogram import histogram_plot
from aidpost_export.plots.history import Epoch, history_plot
from aidpost_export.plots.people import people_plot, thousand
from aidpost_export.plots.reliability import reliability_plot
from aidpost_export.plots.roc import roc_plot
from aidpost_export.plots.yields import yields_plot
from aidpost_export.run import RunFolder
from aidpost_export.sentences import inline, number, number_interval, percent

PROBES = {"metadata": "what is known beside it", "intensity": "overall grey levels"}
"""What a probe is called in a plot."""


def draw(measured: Measured, evaluation: Evaluation, run: RunFolder) -> dict[str, Canvas]:
    """Draw everything that can be drawn: name of the file without its ending → picture."""
    pictures = {}
    for k, finding in enumerate(evaluation.findings):
        tag = finding_tag(evaluation, k)
        for kind, canvas in _finding_pictures(measured, finding, k).items():
            pictures[f"{kind}-{tag}"] = canvas
    for one in evaluation.programmes:
        k = measured.recipe.labels.index(one.finding)
        cases = measured.decided(k)
        if 0 < cases.target.sum() < cases.target.size:
            found = curve(cases.probability, cases.target, cases.patients, one.programme)
            name, threshold = evaluation.findings[k].name, evaluation.findings[k].operating_point.threshold
            pictures[f"yields-{finding_tag(evaluation, k)}"] = yields_plot(inline(name), found, threshold)
    if evaluation.explanation and evaluation.explanation.calibration:
        pictures["map"] = exchange_plot(evaluation.explanation.calibration)
    if epochs := read_history(run):
        pictures["history"] = history_plot(epochs, evaluation.kept)
    return pictures


def finding_tag(evaluation: Evaluation, k: int) -> str:
    """Name finding k in file names: its label in safe letters, with its number where there are several."""
    return label_tag([finding.label for finding in evaluation.findings], k)


def label_tag(labels: Sequence[str], k: int) -> str:
    """Name the k-th of these labels as `finding_tag` does."""
    safe = re.sub(r"[^a-z0-9]+", "-", labels[k].lower()).strip("-") or "finding"
    return safe if len(labels) == 1 else f"{k + 1}-{safe}"


def read_history(run: RunFolder) -> tuple[Epoch, ...]:
    """Read the epochs of `history.csv`; none when the run trained only a head."""
    path = run.path / "history.csv"
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Epoch(
            int(row["epoch"]),
            _known(row["train_loss"]),
            float(row["tuning_loss"]),
            _known(row["tuning_auroc"]),
        )
        for row in rows
    )


def read_kept(run: RunFolder) -> int | None:
    """Number of the epoch whose weights were kept, 0 for the start; None where the training left no record of it."""
    path = run.path / "training.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, int]).get("kept") if path.is_file() else None


def _known(text: str) -> float | None:
    value = float(text or "nan")
    return None if math.isnan(value) else value


def _finding_pictures(measured: Measured, finding: FindingFigures, k: int) -> dict[str, Canvas]:
    cases = measured.decided(k)
    p, y = cases.probability, cases.target
    name, pictures = inline(finding.name), {}
    curve = roc_curve(p, y, cases.patients)
    if curve and finding.sensitivity and finding.specificity:
        point = (1 - finding.specificity.value, finding.sensitivity.value)
        pictures["roc"] = roc_plot(name, curve, point, f"AUROC {number_interval(finding.auroc)}")
        if finding.prevalence is not None:
            chances = (finding.sensitivity.value, finding.specificity.value, finding.prevalence)
            pictures["people"] = people_plot(name, thousand(*chances))
    error = f"calibration error {number_interval(finding.calibration_error)}"
    pictures["reliability"] = reliability_plot(name, finding.reliability, np.asarray(p), error)
    pictures["scores"] = histogram_plot(name, p, y, finding.operating_point.threshold)
    if finding.groups:
        pictures["groups"] = _groups(finding)
    if finding.control or finding.probes:
        pictures["comparison"] = _comparison(finding)
    return pictures


def _groups(finding: FindingFigures) -> Canvas:
    rows = [
        Row(group_name(group), None)
        if group.sensitivity is None
        else Row(group_name(group), group.sensitivity.value, group.sensitivity.low, group.sensitivity.high)
        for group in finding.groups
    ]
    if whole := finding.sensitivity:
        rows.insert(0, Row("all", whole.value, whole.low, whole.high, "limit"))
    wanted = finding.operating_point.target_sensitivity
    title = f"Sensitivity for {inline(finding.name)} by group"
    return forest_plot(title, rows, percent, "with the finding and referred", (wanted, f"target {percent(wanted)}"))


def _comparison(finding: FindingFigures) -> Canvas:
    rows = []
    if own := finding.auroc:
        rows.append(Row("the adapted model", own.value, own.low, own.high))
    if finding.control:
        scratch = finding.control.auroc
        rows.append(Row("the same, from random weights", scratch.value, scratch.low, scratch.high, "other"))
    rows.extend(Row(PROBES[p.kind], p.auroc.value, p.auroc.low, p.auroc.high, "positive") for p in finding.probes)
    return forest_plot(f"What tells {inline(finding.name)} apart", rows, number, "AUROC", (0.5, "chance"))
