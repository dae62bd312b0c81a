"""Files that come from outside (a stick, a download): read whole, within a limit, and only plain files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from aidpost_device.errors import SettingError


def read_incoming(path: Path, limit: int) -> bytes:
    """Read a plain file of at most `limit` bytes. Raises `SettingError`; never blocks on a pipe or a device."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SettingError(f"{path} cannot be opened: {error.strerror}.", "Check the name and the stick.") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise SettingError(f"{path} is not a file.", "Name the file itself.")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read: {error.strerror}.", "The stick may be damaged: copy the file again."
        ) from error
    finally:
        os.close(handle)
    if len(content) > limit:
        raise SettingError(
            f"{path} has {max(status.st_size, len(content))} bytes, more than the {limit} that such a file may have.",
            "Check that this is the right file.",
        )
    return content
