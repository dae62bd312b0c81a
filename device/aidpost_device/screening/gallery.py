"""The gallery: pictures of the worst scans, kept as they go by so that the report need not decode them again."""

from __future__ import annotations

import os
from heapq import heappush, heapreplace
from pathlib import Path
from typing import TYPE_CHECKING

from aidpost_device.decode.pool import DecodePool, PreparedScan
from aidpost_device.report.digest import STUDIES, Digest
from aidpost_device.report.rank import Rank

if TYPE_CHECKING:
    from aidpost_device.report.picture import Picture
    from aidpost_device.screening.reader import Reader
    from aidpost_device.store.rows import ScanRow


class Gallery:
    """Keeps the pictures of the worst scans, by content; memory stays bounded however many scans go by."""

    def __init__(self, capacity: int = STUDIES) -> None:
        self._capacity = capacity
        self._mildest: list[tuple[int, float, str]] = []  # a heap, the first to go on top
        self._pictures: dict[str, Picture] = {}

    def wants(self, rank: Rank) -> bool:
        """Whether a scan of this rank would be kept now."""
        return len(self._mildest) < self._capacity or _badness(rank) > self._mildest[0][:2]

    def offer(self, sha256: str, rank: Rank, picture: Picture) -> None:
        """Keep the picture if its scan is among the worst so far."""
        if sha256 in self._pictures or not self.wants(rank):
            return
        entry = (*_badness(rank), sha256)
        self._pictures[sha256] = picture
        if len(self._mildest) < self._capacity:
            heappush(self._mildest, entry)
        else:
            *_, dropped = heapreplace(self._mildest, entry)
            del self._pictures[dropped]

    def get(self, sha256: str) -> Picture | None:
        """Give the picture of a content, if it was kept."""
        return self._pictures.get(sha256)


def collect_pictures(digest: Digest, gallery: Gallery, pool: DecodePool, reader: Reader) -> dict[str, Picture]:
    """Give the pictures for a page, by content; those that did not go by in this run are prepared again.

    A file that has changed or gone since it was read has none.
    """
    pictures: dict[str, Picture] = {}
    missing: dict[str, ScanRow] = {}
    for row, _ in digest.worst():
        kept = gallery.get(row.sha256)
        if kept is not None:
            pictures[row.sha256] = kept
        else:
            missing[os.fsdecode(row.path)] = row
    for scan in pool.results(map(Path, missing)):
        row = missing[scan.path]
        if isinstance(scan, PreparedScan) and scan.sha256 == row.sha256:
            pictures[row.sha256] = reader.look_again(scan.pixels, row.findings)
    return pictures


def _badness(rank: Rank) -> Rank:
    return -rank[0], -rank[1]
