"""The file of outcomes: a CSV that names scans, studies or patients, and says what was confirmed. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from aidpost_device.errors import OutcomeError

Key: TypeAlias = Literal["sha256", "study", "path", "patient"]
KEYS: tuple[Key, ...] = get_args(Key)
"""Columns that say what a row is about; of several the first of these is used."""
POSITIVE, NEGATIVE = "positive", "negative"
SHOWN = 20
"""Faulty rows that a message shows."""
LIMIT = 64 * 2**20
"""Largest file of outcomes, bytes."""


@dataclass(frozen=True)
class Question:
    """Which finding the outcomes are to be read for."""

    finding: str
    """Its label."""
    labels: tuple[str, ...]
    """Labels of all findings of the bundle."""
    exclusive: bool
    """Whether exactly one finding is true, so that another one's label is a negative answer."""


@dataclass(frozen=True)
class OutcomeRow:
    """One answer."""

    row: int
    """Row of the file as a spreadsheet counts them: the heading is row 1."""
    value: str
    """What it is about, in the words of the file's key column."""
    positive: bool
    patient: str = ""
    """Whose scan it is, where the file says so beside its key."""


@dataclass(frozen=True)
class Fault:
    """Why a row cannot be used."""

    row: int
    text: str
    fix: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.text}. {self.fix}."


@dataclass(frozen=True)
class OutcomeTable:
    """What a file of outcomes says of one finding."""

    key: Key
    rows: tuple[OutcomeRow, ...] = ()
    faults: tuple[Fault, ...] = ()
    unanswered: int = 0
    """Rows whose outcome is empty."""
    others: int = 0
    """Rows about other findings."""


@dataclass
class _Reading:
    rows: list[OutcomeRow] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unanswered: int = 0
    others: int = 0


def read_outcomes(content: bytes, question: Question) -> OutcomeTable:
    """Read a file of outcomes. Raises `OutcomeError` where it is no such table; faulty rows are listed, not raised."""
    lines = _lines(content)
    heading = [cell.strip().lower() for cell in lines[0]] if lines else []
    key = next((name for name in KEYS if name in heading), None)
    if key is None or "outcome" not in heading:
        missing = "outcome" if key is not None else f"one of the columns {', '.join(KEYS)}"
        raise OutcomeError(
            f"The file of outcomes has no {'column ' if key is not None else ''}{missing}; its heading is: "
            f"{', '.join(heading) or 'empty'}.",
            f"Write one row for each person with the columns {' or '.join(KEYS)}, and outcome.",
        )
    twice = [name for name in (key, "outcome", "finding", "patient") if heading.count(name) > 1]
    if twice:
        raise OutcomeError(
            f"The file of outcomes has several columns {twice[0]}: which one counts is not clear.",
            "Keep one of them and give the file again; nothing was recorded.",
        )
    found = _Reading()
    for row, cells in enumerate(lines[1:], start=2):
        if any(cell.strip() for cell in cells):
            _read_row(row, heading, key, cells, question, found)
    return OutcomeTable(key, tuple(found.rows), tuple(found.faults), found.unanswered, found.others)


def refuse(file: str, faults: Sequence[Fault]) -> None:
    """Raise `OutcomeError` that shows the first faults, by row; nothing where there are none."""
    if not faults:
        return
    shown = sorted(faults, key=lambda fault: fault.row)[:SHOWN]
    more = f"\n  … and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    count = "1 row" if len(faults) == 1 else f"{len(faults)} rows"
    raise OutcomeError(
        f"{count} of {file} cannot be used:" + "".join(f"\n  {fault}" for fault in shown) + more,
        "Correct these rows and give the file again; nothing was recorded.",
    )


def _lines(content: bytes) -> list[list[str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OutcomeError(
            f"The file of outcomes is not text in UTF-8 (byte {error.start}).", "Save it as CSV in UTF-8."
        ) from error
    first = text.partition("\n")[0]
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=";" if "," not in first else ",", strict=True))
    except csv.Error as error:
        raise OutcomeError(f"The file of outcomes is not CSV: {error}.", "Save the table as CSV again.") from error


def _read_row(
    row: int, heading: Sequence[str], key: Key, cells: Sequence[str], question: Question, found: _Reading
) -> None:
    if len(cells) != len(heading):
        text = f"it has {len(cells)} cells, the heading has {len(heading)}"
        found.faults.append(Fault(row, text, "Put a cell with a comma in it between quotation marks"))
        return
    named = {name: cell.strip() for name, cell in zip(heading, cells, strict=True)}
    if not named["outcome"]:
        found.unanswered += 1
    elif not named[key]:
        found.faults.append(Fault(row, f"its {key} is empty", "Fill it in, or take the row out"))
    else:
        answer = _answer(named, question)
        if isinstance(answer, bool):
            found.rows.append(OutcomeRow(row, named[key], answer, named.get("patient", "")))
        elif answer is None:
            found.others += 1
        else:
            found.faults.append(Fault(row, *answer))


def _answer(named: Mapping[str, str], question: Question) -> bool | tuple[str, str] | None:
    """Give the answer to the question, None where the row is about another finding, else what is wrong and its fix."""
    about, outcome = named.get("finding", ""), named["outcome"]
    known = f"The findings are: {', '.join(question.labels)}"
    if about and about not in question.labels:
        return f"the finding {about!r} is unknown", known
    said = {POSITIVE: True, NEGATIVE: False}.get(outcome.lower())
    if about and about != question.finding:
        return None
    if said is not None or outcome == question.finding:
        return said is not False
    if outcome in question.labels and question.exclusive and not about:
        return False
    if outcome in question.labels:
        return f"the outcome {outcome!r} says nothing about {question.finding!r}", f"Write {POSITIVE} or {NEGATIVE}"
    return f"the outcome {outcome!r} is unknown", f"Write {POSITIVE} or {NEGATIVE}, or a finding. {known}"
