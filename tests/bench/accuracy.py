"""Accuracy on real data, computed from the CSV that the box writes with the packed bundle."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from tests.bench.workshop import WORKSHOP, adapted, aidpost, data_folder, installed, table

WANTED = {"cxr_kermany": 0.996, "cxr_nih": 0.90, "malaria_cells": 0.985}
MOST_REFUSED = 0.02
"""Share of validation rows that the box may refuse as unlike the training scans."""


@dataclass(frozen=True)
class Task:
    """One data set with its recipe."""

    data: str
    recipe: str
    finding: str


TASKS = (
    Task("cxr_kermany", "cxr-pneumonia", "pneumonia"),
    Task("cxr_nih", "cxr-pneumonia", "pneumonia"),
    Task("malaria_cells", "smear-malaria", "parasitised"),
)


def main() -> None:
    """Print AUROC on the validation rows: INT8 as shipped, float, 200 labels, and the control from scratch."""
    data = data_folder()
    base = data / "base" / "mobilenet_v2_1.0_224"
    rows = []
    for task in TASKS:
        full = adapted(f"{task.data}-full", task.recipe, data / task.data, base)
        small = adapted(f"{task.data}-200", task.recipe, data / task.data, base, "--limit", "200", control=True)
        shipped = screened(task, full, data)
        rows.append(
            (
                task.data,
                f"≥ {WANTED[task.data]}",
                f"{shipped[0]:.4f} ({shipped[1]})",
                area(full, task),
                area(small, task),
                area(small / "control", task),
            )
        )
    table(["`val` rows of", "wanted", "shipped, from readings.csv", "float", "200 labels", "from scratch, 200"], rows)


def screened(task: Task, run: Path, data: Path) -> tuple[float, str]:
    """AUROC of the readings of the validation rows, and what read them and how many it refused."""
    with (data / task.data / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    truth = {str(data / task.data / row["file"]): row["label"] for row in rows}
    out = WORKSHOP / "readings" / run.name
    shutil.rmtree(out, ignore_errors=True)
    listing = WORKSHOP / "lists" / f"{run.name}.txt"
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("".join(f"{path}\n" for path in truth))
    aidpost("device", "screen", "--list", listing, "--out", out, home=installed(run))
    with (out / "readings.csv").open(newline="") as file:
        readings = [row for row in csv.DictReader(file) if row["finding"] == task.finding]
    refused = len(truth) - len({row["path"] for row in readings} & set(truth))
    if refused > MOST_REFUSED * len(truth):
        raise SystemExit(f"{out / 'readings.csv'} lacks {refused} of {len(truth)} validation rows of {task.data}.")
    target = np.array([truth[row["path"]] == task.finding for row in readings])
    area = float(roc_auc_score(target, [float(row["probability"]) for row in readings]))
    return area, f"{readings[0]['variant']}, {refused} refused"


def area(run: Path, task: Task) -> str:
    """AUROC on the validation rows with its interval, from the run's logits."""
    from aidpost_export.resampling import auroc_interval
    from aidpost_export.run import RunFolder

    folder = RunFolder(run)
    cases = folder.cases()
    rows, column = cases.where("validation"), cases.labels.index(task.finding)
    patients = np.array(cases.patients)[rows]
    value = auroc_interval(folder.logits()[rows, column], cases.targets[rows, column], patients)
    if value is None:
        raise SystemExit(f"{run}: the validation rows have one class only.")
    return f"{value.value:.4f} ({value.low:.3f} to {value.high:.3f})"
