"""The cases of a run: one row per image with its targets, its role and what is known of the person."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from aidpost_device.durable import write_durably
from aidpost_export.errors import RunError

Role = Literal["fit", "tuning", "calibration", "validation", "test"]
"""`fit`, `tuning` and `calibration` are cut from the training rows by patient; the others are only read for figures."""
ROLES: tuple[Role, ...] = get_args(Role)
GROUP_COLUMNS = ("sex", "age", "view", "site")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Cases:
    """N cases in a fixed order, K findings."""

    labels: tuple[str, ...]
    """The findings' labels, K."""
    files: tuple[str, ...]
    """Paths relative to the data folder, N."""
    sha256: tuple[str, ...]
    """Digests of the files, N."""
    targets: NDArray[np.float32]
    """1 where the finding is there, else 0.  # (N, K) float32"""
    roles: tuple[Role, ...]
    patients: tuple[str, ...]
    """What may never be parted: the column `group`, else `patient`, else the file."""
    columns: dict[str, tuple[str, ...]]
    """Further columns of the index, as text; empty where unknown."""

    def __len__(self) -> int:
        return len(self.files)

    def where(self, *roles: Role) -> NDArray[np.intp]:
        """Indices of the cases with one of these roles, in order."""
        return np.flatnonzero(np.isin(np.array(self.roles), roles))

    def take(self, rows: Sequence[int]) -> Cases:
        """These cases, in this order."""

        def pick(values: Sequence[_T]) -> tuple[_T, ...]:
            return tuple(values[row] for row in rows)

        return Cases(
            labels=self.labels,
            files=pick(self.files),
            sha256=pick(self.sha256),
            targets=self.targets[list(rows)],
            roles=pick(self.roles),
            patients=pick(self.patients),
            columns={name: pick(values) for name, values in self.columns.items()},
        )

    def write(self, path: Path) -> None:
        """Write the cases as CSV."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        extra = list(self.columns)
        writer.writerow(["file", "sha256", "role", "patient", *(f"target:{label}" for label in self.labels), *extra])
        for i, file in enumerate(self.files):
            marks = [str(int(value)) for value in self.targets[i]]
            more = [self.columns[name][i] for name in extra]
            writer.writerow([file, self.sha256[i], self.roles[i], self.patients[i], *marks, *more])
        write_durably(path, buffer.getvalue().encode())

    @classmethod
    def read(cls, path: Path) -> Cases:
        """Read what `write` wrote. Raises `RunError` for anything else."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                return cls._parse(list(csv.reader(file)))
        except (ValueError, IndexError, csv.Error) as error:
            raise RunError(
                f"{path} is not what adapt wrote: {error}.",
                "Bring the file back as it was, or adapt again with a new --run.",
            ) from error

    @classmethod
    def _parse(cls, rows: list[list[str]]) -> Cases:
        header, body = rows[0], rows[1:]
        if unknown := sorted({row[2] for row in body} - set(ROLES)):
            raise ValueError(f"the role {unknown[0]!r} is unknown")
        labels = tuple(name.removeprefix("target:") for name in header if name.startswith("target:"))
        first = 4 + len(labels)
        return cls(
            labels=labels,
            files=tuple(row[0] for row in body),
            sha256=tuple(row[1] for row in body),
            targets=np.array([[float(v) for v in row[4:first]] for row in body], np.float32).reshape(-1, len(labels)),
            roles=tuple(role for row in body for role in ROLES if role == row[2]),
            patients=tuple(row[3] for row in body),
            columns={name: tuple(row[first + j] for row in body) for j, name in enumerate(header[first:])},
        )


def unstated_patients(cases: Cases) -> int:
    """Count the cases whose person neither the index nor a DICOM header states: each counts as a person of its own."""
    return sum(patient == file for patient, file in zip(cases.patients, cases.files, strict=True))
