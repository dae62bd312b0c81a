"""Durable writes: what this module has returned from survives a power cut."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aidpost_device.errors import StorageFullError


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content` atomically: temporary file beside it, fsync, rename, fsync of the folder.

    After a crash at any instant the path holds either the old content or the new, whole.
    Raises `StorageFullError` when the disk is full; the old file then stands untouched.
    """
    with replacing(path, mode=mode) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends well, as `write_durably` does."""
    with noticing_full(path):
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextmanager
def noticing_full(path: Path) -> Iterator[None]:
    """Raise `StorageFullError` when the block finds no space left to write `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                f"No space is left to write {path}.", "Free some space on this disk and run the command again."
            ) from error
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename or an unlink in it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
