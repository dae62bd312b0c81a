"""Runs `aidpost` on a disk, and cuts its power just before one of the calls that change it.

    python -P fuse.py FOLDER STEPS NUMBER ARGUMENT…

FOLDER is where the disk is mounted. The calls that change it are noted one by one in the file STEPS, on another disk;
the power goes, and the command with it, instead of the call with this NUMBER. 0 lets all of them happen.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
CALLS = ("fchmod", "fsync", "mkdir", "rename", "replace", "rmdir", "unlink")
"""The functions of `os` that change a disk or wait for it; contents get there at the latest by `fsync`."""
PROGRAM = (sys.executable, "-P", __file__)


def cut_power(folder: Path) -> None:
    """Stop the disk that is mounted at a folder: what it does not hold by now is lost."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(handle)


class Fuse:
    """Counts calls that change the disk, and blows instead of one of them."""

    def __init__(self, folder: Path, steps: Path, number: int) -> None:
        self._folder, self._number, self._count = folder, number, 0
        self._steps = os.open(steps, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def wire(self) -> None:
        """Put the fuse before every call."""
        for name in CALLS:
            setattr(os, name, self._before(name, getattr(os, name)))

    def _before(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(target: Any, *arguments: Any, **options: Any) -> Any:
            path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(os.fsdecode(target))
            nothing = name == "mkdir" and path.exists()
            if path.is_relative_to(self._folder) and not nothing:
                self._step(f"{name} {path.relative_to(self._folder)}")
            return call(target, *arguments, **options)

        return watched

    def _step(self, what: str) -> None:
        self._count += 1
        os.write(self._steps, f"{what}\n".encode())
        if self._count == self._number:
            cut_power(self._folder)
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from aidpost_device.cli.main import main

    Fuse(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])).wire()
    main(sys.argv[4:])
