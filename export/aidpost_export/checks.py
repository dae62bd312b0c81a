"""The dataset's checks: pure rules over the rows and what reading their files gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.calibration.words import inline
from aidpost_device.decision import Facts, not_accepted, reject
from aidpost_export.ages import parse_age
from aidpost_export.index import Index, Row
from aidpost_export.issues import Issue, Kind, at
from aidpost_export.labels import findings_of
from aidpost_export.recipe import Recipe
from aidpost_export.scans import Scans
from aidpost_export.split import joined

SPLITS = ("train", "val", "test")
"""Words of the column `split`, the freest use first."""


def check_row(row: Row, folder: Path, recipe: Recipe, *, with_split: bool) -> list[Issue]:
    """Check what one row says, and that its file is there."""
    issues = check_file(row, folder)
    if row.surplus:
        issues.append(at(row, Kind.COLUMNS, "it has more cells than the heading", "Quote texts that hold a comma."))
    if not row.label:
        issues.append(at(row, Kind.LABEL_MISSING, "the label is missing", "Write the label, or remove the row."))
    else:
        try:
            findings_of(row.label, recipe)
        except ValueError as error:
            issues.append(at(row, Kind.LABEL_UNKNOWN, str(error), "Correct the label, or the recipe."))
    if row.get("age") and parse_age(row.get("age")) is None:
        fix = "Write completed years from 0 to 130, or DICOM's form (006M)."
        issues.append(at(row, Kind.AGE, f"the age {row.get('age')!r} is not a number of years", fix))
    if with_split and row.get("split") not in SPLITS:
        fix = f"Write one of {', '.join(SPLITS)} in every row, or leave the column out."
        issues.append(at(row, Kind.SPLIT, f"the split {row.get('split')!r} is unknown", fix))
    return issues


def check_file(row: Row, folder: Path) -> list[Issue]:
    """Check that a row names a file inside the data folder, and that it is there."""
    path = PurePosixPath(row.file)
    if not row.file:
        return [at(row, Kind.FILE_MISSING, "no file is named", "Write the file's path, or remove the row.")]
    if path.is_absolute() or ".." in path.parts or "\0" in row.file:
        fix = "Write the path relative to the data folder."
        return [at(row, Kind.FILE_OUTSIDE, "the path leads out of the data folder", fix)]
    try:
        there = (folder / path).is_file()
    except OSError:  # the name is longer than the file system allows
        there = False
    if not there:
        return [at(row, Kind.FILE_MISSING, "there is no such file", "Correct the path, or remove the row.")]
    return []


def check_scan(row: Row, scans: Scans, spec: ImageInput) -> list[Issue]:
    """Check that a row's file was readable and is of a kind that the recipe accepts."""
    if (refusal := scans.refused.get(row.file)) is not None:
        message = f"the file cannot be read ({refusal.reason}): {refusal.message.rstrip('.')}"
        return [at(row, Kind.UNREADABLE, message, refusal.hint)]
    if row.file not in scans.read:
        fix = "Let nobody write into the data folder while it is read."
        return [at(row, Kind.FILE_MISSING, "the file was not there when the scans were read", fix)]
    header = scans.read[row.file].header
    modality = (header.modality or "").strip().upper()
    view = row.get("view").upper()
    issues = []
    raw = reject(Facts(contrast=0, intent=header.intent or ""), spec)  # the box rejects these, so they teach nothing
    if raw is not None:
        issues.append(at(row, Kind.NOT_ACCEPTED, inline(raw.text.rstrip(".")), raw.hint))
    for stated, accepted, what in ((modality, spec.modalities, "modality"), (view, spec.views, "view")):
        if not_accepted(stated, accepted):
            message = f"its {what} is {stated}; the recipe reads {', '.join(accepted)}"
            issues.append(at(row, Kind.NOT_ACCEPTED, message, "Remove the row, or choose the recipe for such scans."))
    return issues


def check_duplicates(rows: Sequence[Row], scans: Scans, recipe: Recipe) -> list[Issue]:
    """Find files of the same content or the same picture: the later ones, or all of them when their labels differ."""
    contents = [scans.read[row.file].sha256 for row in rows]
    same: dict[int, list[int]] = {}
    for place, key in enumerate(joined(contents, [scans.picture(row.file) for row in rows])):
        same.setdefault(key, []).append(place)
    issues = []
    for places in same.values():
        alike = [rows[place] for place in places]
        if len({findings_of(row.label, recipe) for row in alike}) > 1:
            labels = ", ".join(f"{row.label!r} in row {row.number}" for row in alike)
            message = f"the same image has different labels: {labels}"
            issues += [at(row, Kind.CONFLICT, message, "Keep the row that is right.") for row in alike]
        else:
            issues += [_duplicate(rows, contents, places, nth) for nth in range(1, len(places))]
    return issues


def _duplicate(rows: Sequence[Row], contents: Sequence[str], places: Sequence[int], nth: int) -> Issue:
    """Name the `nth` of some rows with one picture beside an earlier one, best of the same bytes."""
    own, earlier = places[nth], places[:nth]
    copies = [place for place in earlier if contents[place] == contents[own]]
    first = rows[(copies or earlier)[0]]
    message = (
        f"the same image as row {first.number}, {first.file}"
        if copies
        else f"the same picture as row {first.number}, {first.file}, saved again"
    )
    return at(rows[own], Kind.DUPLICATE, message, "Remove one of the rows.")


def patient_keys(rows: Sequence[Row]) -> list[int]:
    """Number for each row whose it is: rows of the same `group`, `patient` or DICOM header belong together.

    The header has a say in people of whom some rows have no cell. Where all of them have one the index knows better:
    scans without names often carry one and the same PatientID.
    """
    open_ones = {row.header_patient for row in rows if row.get("patient") in ("", row.header_patient)}
    headers = [row.header_patient if row.header_patient in open_ones else "" for row in rows]
    return joined([row.get("group") for row in rows], [row.get("patient") for row in rows], headers)


def check_patients(rows: Sequence[Row], keys: Sequence[int]) -> list[Issue]:
    """See that there is more than one patient."""
    if len(rows) < 2 or len(set(keys)) > 1:
        return []
    name = rows[0].get("patient") or rows[0].get("group")
    by_header = any(row.header_patient and row.get("patient") == row.header_patient for row in rows)
    whose = f"one patient, {name!r}{' by the DICOM headers' if by_header else ''}"
    message = f"{whose}, holds all {len(rows)} rows, so none can be kept apart to measure on"
    fix = "Write a column `patient` with a number of its own for each person, in every row."
    return [Issue(Kind.ONE_PATIENT, None, "", message, fix)]


def check_learnt(rows: Sequence[Row], learnt: Sequence[bool]) -> list[Issue]:
    """Find rows to measure on that the base has learnt from."""
    fix = "Take other patients to measure on, or another base; a person of the same number needs another number."
    return [
        at(row, Kind.LEARNT, f"the split is {row.get('split')!r}, but the base has learnt from this patient", fix)
        for row, known in zip(rows, learnt, strict=True)
        if known and row.get("split") != SPLITS[0]
    ]


def check_leaks(rows: Sequence[Row], keys: Sequence[int]) -> list[Issue]:
    """Find patients in two splits: named are their rows in the freer split, so that the test stays whole."""
    strictest: dict[int, str] = {}
    for key, row in zip(keys, rows, strict=True):
        strictest[key] = max(strictest.get(key, SPLITS[0]), row.get("split"), key=SPLITS.index)
    return [
        at(
            row,
            Kind.LEAK,
            f"patient {row.get('patient') or row.get('group')!r} is in {row.get('split')!r} and in {strictest[key]!r}",
            "Give all scans of a patient (and of a `group`) the same split.",
        )
        for key, row in zip(keys, rows, strict=True)
        if row.get("split") != strictest[key]
    ]


def check_classes(splits: Sequence[str], targets: NDArray[np.float32], recipe: Recipe) -> list[Issue]:
    """Find training rows that lack a finding or its absence, and other splits of one class.  # targets: (N, K)"""
    issues = []
    for split in sorted(set(splits), key=SPLITS.index):
        part = targets[np.array(splits) == split]
        positives = part.sum(0)
        lacking = [
            f"no row {'with' if count == 0 else 'without'} {label!r}"
            for label, count in zip(recipe.labels, positives, strict=True)
            if count in (0, len(part))
        ]
        if lacking and (split == SPLITS[0] or len(lacking) == len(recipe.labels)):
            message = f"the split {split!r} has a single class: {len(part)} rows, {' and '.join(lacking)}"
            kind = Kind.SINGLE_CLASS if split == SPLITS[0] else Kind.SINGLE_CLASS_MEASURED
            issues.append(Issue(kind, None, "", message, "Add labelled scans of what is lacking."))
    return issues


def has_splits(index: Index) -> bool:
    """Whether the index says what each row is for."""
    return any(row.get("split") for row in index.rows)
