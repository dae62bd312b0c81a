"""Whom the models serve, and what UNSURE does: groups and limits on the validation rows of the real sets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.workshop import WORKSHOP, adapted, aidpost, data_folder, table

if TYPE_CHECKING:
    from aidpost_export.figures import FindingFigures

ERA = "era_matched"
"""Column of the adults' films: 1 where films with and without pneumonia come from the same years."""


def main() -> None:
    """Print the groups' figures, then what the limits of UNSURE do."""
    from aidpost_export.cautions import group_name
    from aidpost_export.sentences import gap_words, number, number_interval, percent, percent_interval

    data = data_folder()
    base = data / "base" / "mobilenet_v2_1.0_224"
    runs = {
        "cxr_nih": adapted("cxr_nih-era", str(_by_era()), data / "cxr_nih", base),
        "cxr_kermany": adapted("cxr_kermany-full", "cxr-pneumonia", data / "cxr_kermany", base),
        "malaria_cells": adapted("malaria_cells-full", "smear-malaria", data / "malaria_cells", base),
    }
    figures = {name: _measured(run) for name, run in runs.items()}
    rows: list[list[str]] = []
    for name, one in figures.items():
        whole = [name, "all", f"{one.positives} of {one.cases}", number_interval(one.auroc)]
        rows.append([*whole, percent_interval(one.sensitivity), "", percent_interval(one.specificity), ""])
        rows += [
            [
                name,
                group_name(group),
                f"{group.positives} of {group.cases}",
                number_interval(group.auroc) if group.auroc else "not shown",
                percent_interval(group.sensitivity) if group.sensitivity else "not shown",
                gap_words(group.sensitivity_gap),
                percent_interval(group.specificity) if group.specificity else "not shown",
                gap_words(group.specificity_gap),
            ]
            for group in one.groups
        ]
    table(["`val` rows of", "group", "with it", "AUROC", "sensitivity", "gap", "specificity", "gap"], rows)
    print()
    rows = []
    for name, one in figures.items():
        if (found := one.abstention) is None:
            rows.append([name, f"never: {one.unlimited}", *[""] * 6])
            continue
        limits, own = found.limits, found.answers
        without = "nothing" if limits.coverage_without is None else percent(limits.coverage_without)
        rows.append(
            [
                name,
                f"{number(limits.low)} to {number(limits.high)}",
                f"{percent(limits.coverage)}, {without}",
                f"{percent_interval(own.covered_with)}, {percent_interval(own.covered_without)}",
                *(percent_interval(share) for share in (found.unsure, own.sensitivity, own.sensitivity_answered)),
                percent_interval(own.missed),
            ]
        )
    header = ["UNSURE between", "promised with, without it", "found", "people UNSURE", "REFER of all with it"]
    table(["`val` rows of", *header, "REFER of those answered", "CLEAR: missed"], rows)


def _by_era() -> Path:
    """The recipe for pneumonia with one more column to report by."""
    folder = WORKSHOP / "recipes" / "by-era"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        aidpost("export", "recipes", "cxr-pneumonia", "--copy", half)
        text = (half / "recipe.toml").read_text()
        (half / "recipe.toml").write_text(f'groups = ["sex", "age", "site", "view", "{ERA}"]\n' + text)
        half.rename(folder)
    return folder


def _measured(run: Path) -> FindingFigures:
    """The figures of the run's first finding, measured now."""
    from aidpost_export.evaluate import evaluate
    from aidpost_export.progress import SilentReporter
    from aidpost_export.run import RunFolder

    return evaluate(RunFolder(run), SilentReporter()).findings[0]
