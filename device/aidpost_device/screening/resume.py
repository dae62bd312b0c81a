"""Going on: which files of a listing still have to be read, offered one by one until somebody says stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from aidpost_device.screening.source import Listing
from aidpost_device.store.records import Stamp
from aidpost_device.store.store import Screening, Store


def remaining(store: Store, screening: Screening, listing: Listing) -> list[Stamp]:
    """Record what cannot be read at all, and return the files that this screening has still to read."""
    store.record(screening, store.without_row(screening, listing.unusable))
    return store.remaining(screening, listing.files)


def offer(stamps: Iterable[Stamp], stop: Callable[[], bool]) -> Iterator[Path]:
    """Give the paths to be read, in order, until `stop` says so."""
    for stamp in stamps:
        if stop():
            return
        yield Path(os.fsdecode(stamp.path))
