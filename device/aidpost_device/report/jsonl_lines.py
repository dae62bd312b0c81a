"""`readings.jsonl`: one JSON object per file, for programs."""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from aidpost_device.decision import Word
from aidpost_device.report.path_text import path_text
from aidpost_device.store.rows import RejectedRow, Row, ScanRow


class JsonlLines:
    """Writes rows as they come."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def add(self, row: Row) -> None:
        """Write the line of one file."""
        content = _rejected(row) if isinstance(row, RejectedRow) else _read(row)
        self._file.write(self._encoder.encode(content) + b"\n")


def _read(row: ScanRow) -> dict[str, object]:
    return {
        "path": path_text(row.path),
        "sha256": row.sha256,
        "study": row.study,
        "person": row.person,
        "decision": row.decision,
        "reasons": row.reasons,
        "findings": [
            {
                "finding": found.label,
                "probability": found.probability,
                "local_probability": found.local_probability,
                "threshold": found.threshold,
                "decision": found.word,
                "reasons": found.reasons,
                "region": found.region,
            }
            for found in row.findings
        ],
        "bundle": row.model.bundle,
        "bundle_version": row.model.bundle_version,
        "variant": row.model.variant,
        "model_sha256": row.model.sha256,
        "decoder": row.decoder,
        "ms": round(row.milliseconds, 1),
    }


def _rejected(row: RejectedRow) -> dict[str, object]:
    return {
        "path": path_text(row.path),
        "sha256": row.sha256,
        "study": row.study or None,
        "person": row.person or None,
        "decision": Word.REJECTED,
        "reasons": [row.reason],
        "message": row.message,
        "hint": row.hint,
        "ms": round(row.milliseconds, 1),
    }
