"""Going on: which files of a listing still have to be read, offered one by one until somebody says stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aidpost_device.screening.source import Listing
from aidpost_device.store.records import Stamp
from aidpost_device.store.store import Screening, Store


def remaining(store: Store, screening: Screening, listing: Listing) -> list[Stamp]:
    """Record what cannot be read at all, and return the files that this screening has still to read."""
    store.record(screening, store.without_row(screening, listing.unusable))
    return store.remaining(screening, listing.files)


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
