"""The dataset's index: which files there are, and what people wrote about them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from aidpost_export.errors import DatasetError
from aidpost_export.recipe import Recipe

NAMES = ("index.csv", "labels.csv")
"""Files that can be the index, the fuller one first. Beside `labels.csv` the rest is read from DICOM headers."""
HEADER_COLUMNS = ("patient", "sex", "age", "view")
"""Columns that a DICOM header can fill where the index leaves them empty."""
KNOWN = ("file", *HEADER_COLUMNS, "site", "split", "group")
"""Columns that the program reads, beside the recipe's own."""
NOT_PATIENT = ("patient_id", "patientid", "subject", "subject_id")
"""Headings that mean `patient`, and would be passed over."""


@dataclass(frozen=True)
class Row:
    """One row of the index."""

    number: int
    """As a spreadsheet numbers it: the heading is row 1."""
    file: str
    """Path relative to the data folder, with forward slashes, in its shortest form."""
    label: str
    """As written, of the recipe's label column."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The other columns, stripped; empty texts where a cell is empty."""
    surplus: int = 0
    """Cells beyond the heading's."""
    header_patient: str = ""
    """The patient by the file's DICOM header, as a number; empty where it states none."""

    def get(self, column: str) -> str:
        """Text of a column, empty where there is none."""
        return self.columns.get(column, "")

    def filled(self, known: Mapping[str, str]) -> Row:
        """The row with its empty cells filled from what is known otherwise."""
        more = {name: text for name, text in known.items() if text and not self.get(name)}
        return replace(self, columns={**self.columns, **more}) if more else self


@dataclass(frozen=True)
class Index:
    """The rows of a dataset's index."""

    name: str
    """`index.csv` or `labels.csv`."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_index(folder: Path, recipe: Recipe) -> Index:
    """Read a data folder's index. Raises `DatasetError` when there is none, or a needed column is missing."""
    path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if path is None:
        raise DatasetError(
            f"{folder} holds neither index.csv nor labels.csv.",
            f"Write index.csv with a heading `file,{recipe.label_column},patient` and one row per scan.",
        )
    table = read_table(path)
    heading = _heading(table[0] if table else [], recipe)
    needed = ("file", recipe.label_column)
    if missing := [name for name in needed if name not in heading]:
        raise DatasetError(
            f"{path} lacks the column {missing[0]!r}; its heading is: {', '.join(heading) or '(empty)'}.",
            f"Name the columns in the first row; {' and '.join(map(repr, needed))} are needed.",
        )
    if twice := sorted({name for name in heading if heading.count(name) > 1}):
        raise DatasetError(f"{path} has the column {twice[0]!r} twice.", "Remove or rename one of them.")
    if "patient" not in heading and (other := _patient_columns(heading, recipe)):
        raise DatasetError(
            f"{path} has a column {other[0]!r} and no column 'patient'.",
            f"Rename {other[0]!r} to 'patient': without it one person's scans may stand on both sides of the test.",
        )
    rows = tuple(
        _row(number, heading, cells, recipe)
        for number, cells in enumerate(table[1:], start=2)
        if any(map(str.strip, cells))
    )
    if not rows:
        raise DatasetError(f"{path} has a heading and no rows.", "Add one row per scan.")
    return Index(path.name, tuple(heading), rows)


def lacking(index: Index, recipe: Recipe) -> list[str]:
    """Name the columns to report by that the index does not have and no DICOM header can fill."""
    return [name for name in recipe.groups if name not in index.columns and name not in HEADER_COLUMNS]


def read_table(path: Path) -> list[list[str]]:
    """Read a CSV file as spreadsheets write it: with or without a byte-order mark, with commas or semicolons."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        heading = text.partition("\n")[0]
        delimiter = ";" if heading.count(";") > heading.count(",") else ","
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path} cannot be read as a table: {error}.", "Save it from the spreadsheet as CSV in UTF-8."
        ) from error


def _heading(cells: list[str], recipe: Recipe) -> list[str]:
    """The columns' names, known ones as the program writes them, without the empty columns that spreadsheets add."""
    known = {_plain(name): name for name in (*KNOWN, *recipe.groups, recipe.label_column)}
    names = [known.get(_plain(cell), cell.strip()) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _patient_columns(heading: list[str], recipe: Recipe) -> list[str]:
    """Columns that mean `patient` by their name, unless the recipe reads them as something else."""
    return [name for name in heading if _plain(name) in NOT_PATIENT and name not in recipe.groups]


def _plain(heading: str) -> str:
    """A heading without what people do not see as a difference."""
    return heading.strip().casefold().replace(" ", "_").replace("-", "_")


def _row(number: int, heading: list[str], cells: list[str], recipe: Recipe) -> Row:
    values = dict.fromkeys(heading, "") | {name: cell.strip() for name, cell in zip(heading, cells, strict=False)}
    file = values.pop("file").replace("\\", "/")
    if "split" in values:
        values["split"] = values["split"].casefold()
    return Row(
        number=number,
        file=str(PurePosixPath(file)) if file else "",  # `./a.png` is a.png
        label=values.pop(recipe.label_column),
        columns=values,
        surplus=sum(1 for cell in cells[len(heading) :] if cell.strip()),
    )
