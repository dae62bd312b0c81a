"""The dataset: from a folder of labelled scans to the cases of a run, with every fault named before training.

Reading → checks → cut. Validation and test rows are what the index says, or cut by patient; what is left is cut into
`fit`, `tuning` and `calibration`, so that no patient is ever in two of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aidpost_device.decode.image import Header
from aidpost_device.durable import write_durably
from aidpost_export import checks
from aidpost_export.ages import parse_age
from aidpost_export.cases import GROUP_COLUMNS, Cases, Role
from aidpost_export.index import Index, Row, read_index
from aidpost_export.issues import Issue, Kind, refuse
from aidpost_export.labels import findings_of
from aidpost_export.learnt import Learnt, header_name
from aidpost_export.pixels import prepare_cases
from aidpost_export.progress import Reporter, SilentReporter
from aidpost_export.recipe import Recipe
from aidpost_export.roles import assign_roles
from aidpost_export.scans import Scans, read_scans

__all__ = ["Issue", "build_cases", "dataset_digest", "is_synthetic", "prepare_cases", "read_index"]
SYNTHETIC = "synthetic"
"""First word of the column `site` of generated scans."""
_STATED: dict[str, Role] = {"val": "validation", "test": "test"}
"""Roles that the column `split` gives; training rows get theirs from the cut."""


@dataclass(frozen=True)
class _Examined:
    """The rows that passed the checks."""

    rows: tuple[Row, ...]
    targets: NDArray[np.float32]  # (N, K)
    keys: tuple[int, ...]
    """Rows of the same key may not be parted."""
    learnt: tuple[bool, ...]
    """Whether the base has learnt from a row or its patient."""
    issues: tuple[Issue, ...]


def build_cases(
    folder: Path,
    recipe: Recipe,
    *,
    seed: int,
    limit: int | None = None,
    skip_bad: bool = False,
    reporter: Reporter | None = None,
    scans: Scans | None = None,
    issues_file: Path | None = None,
    index: Index | None = None,
    learnt: Learnt | None = None,
) -> tuple[Cases, list[Issue]]:
    """Check a folder of labelled scans and cut it into the cases of a run.

    `limit` bounds the training labels used (fit, tuning and calibration together); a smaller limit's cases are among a
    larger one's. `skip_bad` leaves rows with faults out instead of stopping. `scans` are the files as `read_dataset`
    read them, else they are read here, and so is the `index`. What the base has `learnt` from is only learnt from
    again. All issues are written to `issues_file` before any is raised. Raises `DatasetError`.
    """
    index = index or read_index(folder, recipe)
    if scans is None:
        scans = read_dataset(folder, recipe, reporter or SilentReporter(), index=index)
    examined = _examine(index, folder, recipe, scans, learnt or Learnt(), skip_bad=skip_bad, issues_file=issues_file)
    stated = [_STATED.get(row.get("split")) if checks.has_splits(index) else None for row in examined.rows]
    roles = assign_roles(
        examined.targets, examined.keys, stated, recipe, seed=seed, limit=limit, learnt=examined.learnt
    )
    return _assemble(examined, roles, recipe, scans), list(examined.issues)


def read_dataset(
    folder: Path, recipe: Recipe, reporter: Reporter, scratch: Path | None = None, *, index: Index | None = None
) -> Scans:
    """Read every file that the index names, once. `scratch` is a folder with room for the pixels."""
    index = index or read_index(folder, recipe)
    files = dict.fromkeys(row.file for row in index.rows if not checks.check_file(row, folder))
    return read_scans(folder, list(files), recipe.input, reporter, scratch)


def dataset_digest(cases: Cases) -> str:
    """Digest of the cases used: contents, labels, patients and splits, whatever the order and the cut."""
    empty = ("",) * len(cases)
    columns = (cases.sha256, cases.columns.get("label", empty), cases.patients, cases.columns.get("split", empty))
    return hashlib.sha256(json.dumps(sorted(zip(*columns, strict=True))).encode()).hexdigest()


def is_synthetic(index: Index) -> bool:
    """Whether any row of an index says that its scan was generated."""
    return any(row.get("site").lower().startswith(SYNTHETIC) for row in index.rows)


# ---- checks ---------------------------------------------------------------------------------------------------------


def _examine(
    index: Index,
    folder: Path,
    recipe: Recipe,
    scans: Scans,
    learnt: Learnt,
    *,
    skip_bad: bool,
    issues_file: Path | None,
) -> _Examined:
    """Run the checks in turn, each over the rows that passed the ones before it."""
    with_split = checks.has_splits(index)
    issues: list[Issue] = []

    def keep(rows: Sequence[Row], faults: Iterable[Issue]) -> list[Row]:
        new = list(faults)
        issues.extend(new)
        bad = {issue.row for issue in new}
        return [row for row in rows if row.number not in bad]

    rows: list[Row] = list(index.rows)
    rows = keep(rows, (issue for row in rows for issue in checks.check_row(row, folder, recipe, with_split=with_split)))
    rows = _fill_from_headers(rows, scans)
    rows = keep(rows, (issue for row in rows for issue in checks.check_scan(row, scans, recipe.input)))
    rows = keep(rows, checks.check_duplicates(rows, scans, recipe))
    keys = checks.patient_keys(rows)
    alone = checks.check_patients(rows, keys)
    if with_split and not alone:
        rows = keep(rows, checks.check_learnt(rows, learnt.rows(rows, keys, scans)))
        rows = keep(rows, checks.check_leaks(rows, checks.patient_keys(rows)))
    issues.sort(key=lambda issue: issue.row or 0)
    issues += alone
    named = [findings_of(row.label, recipe) for row in rows]
    targets = np.array([[label in own for label in recipe.labels] for own in named], np.float32)
    targets = targets.reshape(len(rows), len(recipe.labels))
    splits = [row.get("split") if with_split else checks.SPLITS[0] for row in rows]
    issues += checks.check_classes(splits, targets, recipe)
    if issues_file:
        write_durably(issues_file, msgspec.json.format(msgspec.json.encode(issues), indent=2) + b"\n")
    hopeless = [issue for issue in issues if issue.kind in (Kind.SINGLE_CLASS, Kind.ONE_PATIENT)]
    if issues and (hopeless or not rows or not skip_bad):
        raise refuse(issues, index.name, issues_file, skippable=bool(rows) and not hopeless)
    keys = checks.patient_keys(rows)
    return _Examined(tuple(rows), targets, tuple(keys), tuple(learnt.rows(rows, keys, scans)), tuple(issues))


def _fill_from_headers(rows: Sequence[Row], scans: Scans) -> list[Row]:
    """Fill the cells that the index leaves empty from the DICOM headers; a patient's id becomes a number."""
    numbers: dict[str, str] = {}
    filled = []
    for row in rows:
        if (read := scans.read.get(row.file)) is not None:
            identity = (read.header.patient_id or "").strip()
            patient = numbers.setdefault(identity, header_name(len(numbers) + 1)) if identity else ""
            row = replace(row.filled({"patient": patient, **_stated(read.header)}), header_patient=patient)
        filled.append(row)
    return filled


def _stated(header: Header) -> dict[str, str]:
    return {
        "sex": header.sex,
        "age": "" if header.age is None else f"{header.age:g}",
        "view": header.view or "",
    }


# ---- cases ----------------------------------------------------------------------------------------------------------


def _assemble(examined: _Examined, roles: Sequence[Role | None], recipe: Recipe, scans: Scans) -> Cases:
    names = _patient_names(examined)
    kept = [(i, role) for i, role in enumerate(roles) if role is not None]
    rows = [examined.rows[i] for i, _ in kept]
    wanted = dict.fromkeys(("split", *GROUP_COLUMNS, *recipe.groups))
    columns = {"label": tuple(row.label for row in rows)}
    columns |= {name: tuple(_tidy(name, row.get(name)) for row in rows) for name in wanted}
    return Cases(
        labels=recipe.labels,
        files=tuple(row.file for row in rows),
        sha256=tuple(scans.read[row.file].sha256 for row in rows),
        targets=examined.targets[[i for i, _ in kept]],
        roles=tuple(role for _, role in kept),
        patients=tuple(names[i] for i, _ in kept),
        columns=columns,
    )


def _patient_names(examined: _Examined) -> list[str]:
    """A name of its own for each set of rows that may not be parted: the first row's group, patient or file."""
    taken: dict[str, int] = {}
    names = {}
    for key in dict.fromkeys(examined.keys):
        row = examined.rows[key]
        name = row.get("group") or row.get("patient") or row.file
        names[key] = name if taken.setdefault(name, key) == key else f"{name} ({row.file})"
    return [names[key] for key in examined.keys]


def _tidy(column: str, text: str) -> str:
    """Write a value the one way that groups are counted by."""
    if column == "age":
        years = parse_age(text)
        return "" if years is None else f"{years:.4g}"
    if column == "sex":
        return {"f": "F", "female": "F", "m": "M", "male": "M"}.get(text.lower(), text)
    return text.upper() if column == "view" else text
