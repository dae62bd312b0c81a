"""`readings.csv`: one line per file and finding, for spreadsheets and statistics."""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

from aidpost_device.decision import Word
from aidpost_device.report.path_text import path_text
from aidpost_device.store.rows import RejectedRow, Row, ScanRow

COLUMNS = (
    "path",
    "sha256",
    "study",
    "finding",
    "probability",
    "finding_decision",
    "decision",
    "reasons",
    "region",
    "bundle",
    "bundle_version",
    "variant",
    "model_sha256",
    "decoder",
    "ms",
    "threshold",
    "local_probability",
)
"""`decision` is the study's, `finding_decision` the finding's; reasons are separated by a semicolon; `region` is empty
where the model's map names none.

A rejected file has one line, with neither finding nor probability; its study where its header says which.
"""


class CsvTable:
    """Writes rows as they come."""

    def __init__(self, file: BinaryIO, bundle: str, bundle_version: str) -> None:
        """Begin the table; bundle and version are those that rejected files were offered to."""
        self._offered = (bundle, bundle_version)
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def add(self, row: Row) -> None:
        """Write the lines of one file."""
        if isinstance(row, RejectedRow):
            self._writer.writerow(self._rejected(row))
        else:
            self._writer.writerows(_lines(row))

    def close(self) -> None:
        """Pass on what is still held back. The file stays open: it is its opener's."""
        self._text.detach()

    def _rejected(self, row: RejectedRow) -> tuple[object, ...]:
        path, nothing = path_text(row.path), ""
        facts = (path, row.sha256 or nothing, row.study, nothing, nothing, nothing, Word.REJECTED, row.reason, nothing)
        return (*facts, *self._offered, nothing, nothing, nothing, f"{row.milliseconds:.1f}", nothing, nothing)


def _lines(row: ScanRow) -> list[tuple[object, ...]]:
    path = path_text(row.path)
    model = (row.model.bundle, row.model.bundle_version, row.model.variant, row.model.sha256)
    return [
        (
            path,
            row.sha256,
            row.study,
            found.label,
            f"{found.probability:.7g}",
            found.word,
            row.decision,
            ";".join((*found.reasons, *row.study_reasons)),
            found.region,
            *model,
            row.decoder,
            f"{row.milliseconds:.1f}",
            f"{found.threshold:.7g}",
            "" if found.local_probability is None else f"{found.local_probability:.7g}",
        )
        for found in row.findings
    ]
