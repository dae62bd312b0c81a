"""The children's network on adults: as it came, and adapted with 50, 100, 200 and all local labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.bench.workshop import adapted, data_folder, table

LABELS = (50, 100, 200, None)
"""Local labels; None for all of them."""
Mask = NDArray[np.bool_]


def main() -> None:
    """Print what each network does on the adults' validation rows, and on those of one period and machine."""
    data = data_folder()
    imagenet = data / "base" / "mobilenet_v2_1.0_224"
    children = adapted("cxr_kermany-full", "cxr-pneumonia", data / "cxr_kermany", imagenet)
    matched = era_matched(data / "cxr_nih" / "index.csv")
    rows = []
    for labels in LABELS:
        limit = () if labels is None else ("--limit", str(labels))
        name = f"cxr_nih-from-children-{labels or 'full'}"
        run = adapted(name, "cxr-pneumonia", data / "cxr_nih", children, *limit)
        if not rows:
            rows.append(("0, as it came", *figures(run, matched, base=children)))
        rows.append((str(labels or "all"), *figures(run, matched)))
    parts = [f"{what}, {where}" for where in ("all", "era-matched") for what in ("AUROC", "sensitivity", "specificity")]
    table(["local labels", *parts], rows)


def era_matched(index: Path) -> set[str]:
    """Files of the rows whose films come from the years and machines of both classes."""
    with index.open(newline="") as file:
        return {row["file"] for row in csv.DictReader(file) if row["era_matched"] == "1"}


def figures(run: Path, matched: set[str], base: Path | None = None) -> list[str]:
    """AUROC, sensitivity and specificity on the validation rows, then on the matched ones among them.

    With `base` the run's cases are read by that earlier run's network, at its own temperature and threshold.
    """
    from aidpost_device.calibration.proportions import rates
    from aidpost_export.demo.worth import read_unadapted
    from aidpost_export.measure import calibrate
    from aidpost_export.resampling import auroc_interval
    from aidpost_export.run import RunFolder

    folder = RunFolder(run)
    cases, recipe = folder.cases(), folder.recipe().recipe
    if base is None:
        scores = calibrate(folder.logits(), cases, recipe)
        probability, threshold = scores.probability[:, 0], scores.points[0].threshold
    else:
        unadapted, scores = read_unadapted(RunFolder(base), folder)
        probability, threshold = unadapted[:, 0], scores.points[0].threshold
    told = []
    validation = cases.where("validation")
    for rows in (validation, np.array([i for i in validation if cases.files[i] in matched], np.intp)):
        p, y, who = probability[rows], cases.targets[rows, 0], np.array(cases.patients)[rows]
        sensitivity, specificity = rates(p, y, threshold, who)
        found = (auroc_interval(p, y, who), sensitivity, specificity)
        told += [f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" if one else "too few" for one in found]
    return told
