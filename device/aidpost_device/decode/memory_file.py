"""A read-only file over bytes that are already in memory, without copying them."""

from __future__ import annotations

import io


class MemoryFile(io.RawIOBase):
    """Reads from a memory view. Unlike `io.BytesIO` it does not copy what it was given."""

    def __init__(self, content: memoryview) -> None:
        super().__init__()
        self._content = content
        self._place = 0
        self._reach = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, all that is left when negative."""
        end = len(self._content) if size is None or size < 0 else self._place + size
        self._reach = max(self._reach, end)
        chunk = bytes(self._content[self._place : end])
        self._place += len(chunk)
        return chunk

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, which may lie behind the end: reading there gives nothing."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._content)}[whence]
        if start + offset < 0:
            raise ValueError(f"place {start + offset} lies before the beginning")
        self._place = start + offset
        self._reach = max(self._reach, self._place)
        return self._place

    def tell(self) -> int:
        """Say where the next read begins."""
        return self._place

    @property
    def overreach(self) -> int:
        """How many bytes behind the end have been asked for at most."""
        return max(0, self._reach - len(self._content))
