"""What a base has learnt from already, when it is an earlier run: such rows measure nothing any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aidpost_export.cases import Cases
from aidpost_export.index import Row
from aidpost_export.scans import Scans

_BY_HEADER = "dicom-"
"""First letters of a patient's name that was made from the DICOM headers: each dataset counts them anew."""


@dataclass(frozen=True)
class Learnt:
    """The scans and the patients that an earlier run fitted, stopped or calibrated on."""

    sha256: frozenset[str] = frozenset()
    patients: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Those that its index stated, each with its sites, "" where none is stated: two hospitals count from 1 alike.
    Elsewhere a patient is known again by a scan only."""

    def rows(self, rows: Sequence[Row], keys: Sequence[int], scans: Scans) -> list[bool]:
        """Say of each row whether the base knows its scan or its patient; rows of the same key go together."""
        known = {
            key
            for key, row in zip(keys, rows, strict=True)
            if scans.read[row.file].sha256 in self.sha256 or self._knows(row)
        }
        return [key in known for key in keys]

    def _knows(self, row: Row) -> bool:
        here = row.get("site")
        sites = [self.patients.get(name, frozenset()) for name in (row.get("patient"), row.get("group"))]
        return any(found and (not here or found & {here, ""}) for found in sites)


def header_name(number: int) -> str:
    """Name the patient of a DICOM header by a number, so that no identity leaves the file."""
    return f"{_BY_HEADER}{number:05d}"


def read_learnt(base: Path | None) -> Learnt:
    """Read what a base learnt from: nothing is known of a base that is no earlier run.

    What that run's own base learnt from is not followed. Raises `RunError`.
    """
    path = base / "cases.csv" if base else None
    if path is None or not path.is_file():
        return Learnt()
    cases = Cases.read(path)
    rows = cases.where("fit", "tuning", "calibration")
    sites, patients = cases.columns.get("site", ("",) * len(cases)), defaultdict[str, set[str]](set)
    for row in rows:
        name = cases.patients[row]
        if name != cases.files[row] and not name.startswith(_BY_HEADER):
            patients[name].add(sites[row])
    scans = frozenset(cases.sha256[row] for row in rows)
    return Learnt(scans, {name: frozenset(where) for name, where in patients.items()})
