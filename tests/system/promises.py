"""Runs `aidpost`, and writes down which files the store has promised to keep, as soon as it has.

    python -P promises.py PROMISES ARGUMENT…

PROMISES is a file on another disk: one path per line, as `repr` of its bytes. It is a file and not a pipe, because a
pipe that nobody reads would hold up the command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from aidpost_device.store.records import Item
from aidpost_device.store.store import Screening, Store

PROGRAM = (sys.executable, "-P", __file__)

if __name__ == "__main__":
    from aidpost_device.cli.main import main

    promises = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    record = Store.record

    def record_and_promise(self: Store, screening: Screening, items: Iterable[Item]) -> None:
        kept = list(items)
        record(self, screening, kept)
        os.write(promises, b"".join(repr(item.stamp.path).encode() + b"\n" for item in kept))

    Store.record = record_and_promise  # type: ignore[method-assign]
    main(sys.argv[2:])
