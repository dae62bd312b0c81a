"""Reads one stored scan into memory, once: what is hashed is what is decoded."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass

from aidpost_device.decode.limits import Limits
from aidpost_device.decode.protocol import LARGEST, Facts
from aidpost_device.decode.reason import Reason, rejection

_KEPT_BYTES = 64 * 2**20
"""Size up to which the memory of one file is kept for the next, so that it need not be asked for again."""


def changed_ns(status: os.stat_result) -> int:
    """Time of a file's last change, nanoseconds since 1970, as far as a record can hold it: to the year 2262.

    A clock or a stick may be wrong by centuries.
    """
    return max(-LARGEST, min(status.st_mtime_ns, LARGEST))


@dataclass(frozen=True, eq=False)
class ScanFile:
    """A file's bytes with what is known of it. The bytes are valid until the next file is read."""

    content: memoryview
    facts: Facts


class Reader:
    """Reads files one after the other into the same memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._memory = bytearray()

    def read(self, path: bytes) -> ScanFile:
        """Read and hash a regular file. Links, devices and pipes are not followed or opened. Raises `ScanError`."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise rejection(Reason.NOT_A_FILE, "is a link or a socket") from error
            raise rejection(Reason.UNREADABLE, f"cannot be opened ({error.strerror})") from error
        try:
            return self._read(handle)
        except OSError as error:
            raise rejection(Reason.UNREADABLE, f"cannot be read ({error.strerror})") from error
        finally:
            os.close(handle)

    def _read(self, handle: int) -> ScanFile:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise rejection(Reason.NOT_A_FILE, "is a folder, a device or a pipe")
        size = before.st_size
        if size > self._limits.file_bytes:
            raise rejection(Reason.TOO_LARGE, f"is {size} bytes; at most {self._limits.file_bytes} bytes are read")
        content = self._memory_of(size)
        place = 0
        while place < size and (count := os.readv(handle, [content[place:]])):
            place += count
        after = os.fstat(handle)
        if place < size or (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
            raise rejection(Reason.CHANGING, "is still being written")
        return ScanFile(content, Facts(hashlib.sha256(content).hexdigest(), size, changed_ns(before)))

    def _memory_of(self, size: int) -> memoryview:
        if len(self._memory) < size or len(self._memory) > max(size, _KEPT_BYTES):
            self._memory = bytearray(size)
        return memoryview(self._memory)[:size]
