"""A preview as it is printed, written and recorded."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from aidpost_device.durable import noticing_full, write_durably
from aidpost_device.errors import SettingError
from aidpost_device.preview.comparison import Comparison, FindingChange

TABLE, DOCUMENT = "preview.csv", "preview.json"
COLUMNS = ("study", "old_decision", "new_decision", "finding", "old_probability", "new_probability")
LISTED = 10
"""Changed studies that are printed; all stand in the table."""


class Preview(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the shadow reading of stored scans with a bundle came to."""

    bundle: str
    """Name of both bundles."""
    old_version: str
    old_sha256: str
    """Digest of the active bundle."""
    new_version: str
    new_sha256: str
    """Digest of the bundle that would be installed."""
    variant: str
    """The variant of it that this box would use."""
    wanted: int
    """Stored scans that were to be read, K at most."""
    unavailable: int
    """Scans among them whose file is gone or holds another content."""
    comparison: Comparison

    @property
    def document(self) -> bytes:
        """`preview.json`."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @property
    def sha256(self) -> str:
        """Digest of the document."""
        return hashlib.sha256(self.document).hexdigest()


def write_preview(preview: Preview, folder: Path) -> None:
    """Write the table of changed studies and the whole result. Raises `SettingError` or `StorageFullError`."""
    try:
        with noticing_full(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_durably(folder / TABLE, _table(preview).encode())
            write_durably(folder / DOCUMENT, preview.document)
    except OSError as error:
        raise SettingError(
            f"The folder {folder} cannot be used: {error.strerror}.", "Choose another folder with --out."
        ) from error


def lines(preview: Preview) -> Iterator[str]:
    """Say what was found, for a terminal."""
    found = preview.comparison
    yield (
        f"{found.scans} stored scans of {found.studies} studies were read with {preview.bundle} {preview.new_version} "
        f"({preview.variant}), which {preview.old_version} has read."
    )
    if preview.unavailable:
        yield f"{preview.unavailable} of {preview.wanted} scans are gone or have another content; they are not counted."
    yield ""
    yield f"{'old word':<10}{'new word':<10}{'studies':>8}"
    for pair, count in found.words.items():
        old, new = pair.split(" > ")
        yield f"{old:<10}{new:<10}{count:>8}" + ("" if old == new else "  changes")
    for change in found.findings:
        yield from _finding_lines(change, preview.bundle)
    if found.changes:
        yield ""
        yield f"Studies whose word would change: {len(found.changes)}"
    for study in found.changes[:LISTED]:
        scores = ", ".join(f"{one.label} {_number(one.old)} > {_number(one.new)}" for one in study.scores)
        yield f"  {study.study}  {study.old} > {study.new}  {scores}"
    if len(found.changes) > LISTED:
        yield f"  and {len(found.changes) - LISTED} more; --out DIR writes all of them to {TABLE}"


def _finding_lines(change: FindingChange, bundle: str) -> Iterator[str]:
    agree = "" if change.rank_correlation is None else f", rank correlation {change.rank_correlation:.2f}"
    yield ""
    yield f"{change.label}: {change.scans} scans{agree}"
    yield "  old score  " + "".join(f"{old:>6.1f}" for old, _ in change.score_map)
    yield "  new score  " + "".join(f"{_number(new, 2):>6}" for _, new in change.score_map)
    yield f"  threshold in force {change.old_threshold:.3f}; the new bundle's own {change.own_threshold:.3f}"
    if change.linked:
        one = change.linked
        yield (
            f"  to flag the same {one.share:.0%} of these scans the new one would have to be {one.value:.3f} "
            f"({one.low:.3f} to {one.high:.3f})"
        )
        yield (
            f"  to take it over once the bundle is active: aidpost device threshold --bundle {bundle} "
            f"--finding {change.label!r} --set {one.value:.9g} --author NAME --reason TEXT"
        )
    else:
        yield f"  no threshold is given that flags the same share: {change.refusal}"


def _number(value: float | None, decimals: int = 3) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _table(preview: Preview) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for change in preview.comparison.changes:
        for one in change.scores:
            cells = ("" if value is None else f"{value:.7g}" for value in (one.old, one.new))
            writer.writerow((change.study, change.old, change.new, one.label, *cells))
    return text.getvalue()
