"""Going on: which files of a listing still have to be read, offered one by one until somebody says stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aidpost_device.screening.source import Listing
from aidpost_device.store.records import Stamp
from aidpost_device.store.store import Screening, Store

CHUNK = 1000
"""Files that are looked up in one transaction."""


def remaining(store: Store, screening: Screening, listing: Listing) -> list[Stamp]:
    """Record what needs no reading, and return the files that do.

    These have no reading with this bundle, path, size and time of change; a file whose content was exchanged while
    both stayed the same is not noticed.
    """
    unusable = {item.stamp: item for item in listing.unusable}
    new = _carry_over(store, screening, list(unusable))
    store.record(screening, [unusable[stamp] for stamp in new])
    return _carry_over(store, screening, listing.files)


class Offer:
    """The paths to be read, in order. It ends early once `stop` says so, and remembers that it did."""

    def __init__(self, stamps: Sequence[Stamp], stop: Callable[[], bool]) -> None:
        self._stamps, self._stop = stamps, stop
        self.stopped = False
        """Whether some files were not offered."""

    def __iter__(self) -> Iterator[Path]:
        for stamp in self._stamps:
            if self._stop():
                self.stopped = True
                return
            yield Path(os.fsdecode(stamp.path))


def _carry_over(store: Store, screening: Screening, stamps: Sequence[Stamp]) -> list[Stamp]:
    return [
        stamp
        for start in range(0, len(stamps), CHUNK)
        for stamp in store.carry_over(screening, stamps[start : start + CHUNK])
    ]
