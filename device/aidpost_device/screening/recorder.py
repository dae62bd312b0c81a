"""The recorder: passes what became of files to the store in small batches, so that a cut repeats little."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from aidpost_device.store.records import Item, Reading
from aidpost_device.store.store import Screening, Store

BATCH = 32
"""Files that are recorded together at most."""
SECONDS = 0.5
"""How long a file waits to be recorded, at most, while others keep coming."""


class Recorder:
    """Records one screening's files. A context manager: however the block ends, what it has taken is recorded."""

    def __init__(self, store: Store, screening: Screening) -> None:
        self._store, self._screening = store, screening
        self._waiting: list[Item] = []
        self._contents: set[str] = set()
        self._since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def has_reading(self, sha256: str) -> bool:
        """Whether this content has been read with this bundle and these settings."""
        return sha256 in self._contents or self._store.has_reading(self._screening.key, sha256)

    def add(self, item: Item) -> None:
        """Take one file."""
        if not self._waiting:
            self._since = monotonic()
        self._waiting.append(item)
        if isinstance(item.outcome, Reading):
            self._contents.add(item.outcome.scan.sha256)
        if len(self._waiting) >= BATCH or monotonic() - self._since >= SECONDS:
            self.flush()

    def flush(self) -> None:
        """Record what is waiting; when it returns, it is on the disk."""
        if self._waiting:
            self._store.record(self._screening, self._waiting)
        self._waiting.clear()
        self._contents.clear()
