"""Reading several scans at once, in threads: the runtime gives up Python's lock while it computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from aidpost_device.decode.result import PreparedScan, Result

if TYPE_CHECKING:
    from aidpost_device.screening.reader import Read, Reader


def read_scans(
    scans: Iterable[Result], reader: Reader, is_known: Callable[[str], bool], threads: int
) -> Iterator[tuple[Result, Read | None]]:
    """Yield each scan with what was read of it, in the order of `scans`; None where nothing is to be read.

    One session serves all threads, so that the model is in memory once. At most `threads` scans are kept waiting.
    """
    begun: deque[tuple[Result, Future[Read] | None]] = deque()
    with ThreadPoolExecutor(threads, "reader") as crew:
        for scan in scans:
            reading = None
            if isinstance(scan, PreparedScan) and not is_known(scan.sha256):
                reading = crew.submit(reader.read, scan)
            begun.append((scan, reading))
            while begun and (len(begun) > threads or _is_done(begun[0][1])):
                yield _finished(*begun.popleft())
        while begun:
            yield _finished(*begun.popleft())


def _is_done(reading: Future[Read] | None) -> bool:
    return reading is None or reading.done()


def _finished(scan: Result, reading: Future[Read] | None) -> tuple[Result, Read | None]:
    return scan, None if reading is None else reading.result()
