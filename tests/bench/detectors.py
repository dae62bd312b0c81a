"""Detectors on real data: what good scans they send back, which faults they see, and what else they refuse."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from pathlib import Path

from tests.bench.workshop import WORKSHOP, adapted, aidpost, data_folder, table

from aidpost_device.bundle.variant import Estimate
from aidpost_export.detectors.figures import DetectorFigures, VariantDetectors
from aidpost_export.detectors.tables import NOTHING
from aidpost_export.evaluate import read_evaluation
from aidpost_export.run import RunFolder

SETS = {"cxr_nih": "cxr-pneumonia", "cxr_kermany": "cxr-pneumonia", "malaria_cells": "smear-malaria"}
"""Data set → recipe."""
MODALITIES = ("CR", "CT", "MR", "NM", "US", "XA")
"""Of the DICOM files; the others are dose maps, segmentations, screenshots and such."""


def main() -> None:
    """Print the tables of the three runs, each tried on the other sets and on the DICOM files by modality."""
    data = data_folder()
    base = data / "base" / "mobilenet_v2_1.0_224"
    groups = dicom_groups(data / "dicom")
    for name, recipe in SETS.items():
        run = RunFolder(adapted(f"{name}-full", recipe, data / name, base))
        aidpost("export", "quantize", run.path, "--target", "x86")
        folders = [*(data / other for other in SETS if other != name), *groups]
        aidpost("export", "evaluate", run.path, *(part for folder in folders for part in ("--against", folder)))
        figures = read_evaluation(run).detectors
        if figures is None:
            raise SystemExit(f"{run.path} has no detectors.")
        tell(name, figures)


def dicom_groups(folder: Path) -> list[Path]:
    """Lay the DICOM files out by modality, films by part of the body; malformed ones apart."""
    files: dict[str, list[Path]] = defaultdict(list)
    with (folder / "index.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            known = row["modality"] if row["modality"] in MODALITIES else "others"
            kind = f"CR {row['body'].lower()}" if known == "CR" else known  # films of chests and of limbs
            kind = "malformed" if row["category"].startswith("fuzz") else kind
            files[f"DICOM {kind}"].append(folder / row["file"])
    root = WORKSHOP / "dicom-groups"
    shutil.rmtree(root, ignore_errors=True)
    for name, paths in files.items():
        (root / name).mkdir(parents=True)
        for number, path in enumerate(paths):
            shutil.copy(path, root / name / f"{number}-{path.name}")
    return sorted(root.iterdir())


def tell(name: str, figures: DetectorFigures) -> None:
    """Print one run's tables, a column for each variant."""
    variants = figures.variants
    columns = [f"{one.variant} {what}" for one in variants for what in ("refused", "taken again")]
    rows = [("`val`, untouched", str(variants[0].good.scans), *(cell for one in variants for cell in _good(one)))]
    for position, source in enumerate(variants[0].sources):
        shares = [one.sources[position] for one in variants]
        count = f"{source.scans}" + (f" (+{source.unreadable} unreadable)" if source.unreadable else "")
        rows.append((source.name, count, *(_share(s) for one in shares for s in (one.refused, one.repeated))))
    print(f"\n### `{name}`\n")
    table(["images", "number", *columns], rows)
    for one in variants:
        print(f"\n{one.variant}, spoilt `val` scans: sent back for that fault, in brackets caught at all\n")
        faults = dict.fromkeys(grade.fault for grade in one.grades)
        table(["fault", "1", "2", "3", "4"], [(fault, *_grades(one, fault)) for fault in faults])
        for note in one.missing:
            print(f"\n{one.variant}: {note}")


def _good(one: VariantDetectors) -> tuple[str, str]:
    return _share(one.good.refused), _share(one.good.repeated)


def _grades(one: VariantDetectors, fault: str) -> list[str]:
    found = [grade for grade in one.grades if grade.fault == fault]
    return [f"{_percent(grade.named)} [{_percent(grade.repeated, grade.refused)}]" for grade in found]


def _percent(*shares: Estimate | None) -> str:
    return f"{sum(one.value for one in shares if one):.0%}"


def _share(share: Estimate | None) -> str:
    return NOTHING if share is None else f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"
