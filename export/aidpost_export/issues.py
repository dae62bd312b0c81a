"""What the dataset checks can find, each with its row and the fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from aidpost_export.errors import DatasetError
from aidpost_export.index import Row

SHOWN = 10
"""Issues that the error message quotes; the full list goes to `issues.json`."""


class Kind(StrEnum):
    """Stable names of what can be wrong."""

    COLUMNS = "columns"
    FILE_MISSING = "file-missing"
    FILE_OUTSIDE = "file-outside"
    UNREADABLE = "unreadable"
    NOT_ACCEPTED = "not-accepted"
    LABEL_MISSING = "label-missing"
    LABEL_UNKNOWN = "label-unknown"
    AGE = "age"
    SPLIT = "split"
    DUPLICATE = "duplicate"
    CONFLICT = "duplicate-with-another-label"
    LEAK = "patient-in-two-splits"
    LEARNT = "learnt-by-the-base"
    """A row to measure on, of which the base has learnt already."""
    ONE_PATIENT = "one-patient"
    """All rows are of one patient: nothing can be kept apart."""
    SINGLE_CLASS = "single-class"
    """Of the training rows: there is nothing to learn."""
    SINGLE_CLASS_MEASURED = "single-class-measured"
    """Of `val` or `test` rows: there is nothing to tell apart in the figures."""


class Issue(Struct, frozen=True):
    """One thing that is wrong with one row, or with the dataset as a whole."""

    kind: Kind
    row: int | None
    """As a spreadsheet numbers it, the heading being 1; None for the whole dataset."""
    file: str
    message: str
    fix: str

    @property
    def line(self) -> str:
        """The issue in one line."""
        where = f"row {self.row}, {self.file}: " if self.row is not None else ""
        return f"{where}{self.message}. {self.fix}"


def at(row: Row, kind: Kind, message: str, fix: str) -> Issue:
    """Make an issue of a row."""
    return Issue(kind, row.number, row.file, message, fix)


def refuse(issues: Sequence[Issue], index: str, issues_file: Path | None, *, skippable: bool) -> DatasetError:
    """Make the error that stops the run: counts and the first issues."""
    counts = ", ".join(f"{count} {kind}" for kind, count in Counter(issue.kind.value for issue in issues).most_common())
    shown = "".join(f"\n  {issue.line}" for issue in issues[:SHOWN])
    rest = f"\n  and {len(issues) - SHOWN} more" + (f", all of them in {issues_file}" if issues_file else "")
    more = rest if len(issues) > SHOWN else ""
    hint = f"Correct {index}"
    return DatasetError(
        f"The dataset has {len(issues)} faults ({counts}):{shown}{more}",
        f"{hint}, or run again with --skip-bad to leave these rows out." if skippable else f"{hint} and run again.",
    )
