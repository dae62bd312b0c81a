"""A disk whose power can be cut: ext4 on a sparse image, mounted through a loop device.

A cut stops the disk at one instant (`EXT4_IOC_SHUTDOWN`, what xfstests' `godown` does): what was not flushed to it by
then is gone when it is mounted again, and the journal is replayed as after a real cut. It does not model the cache of
a disk that lies about its flushes, nor torn sectors. ext4 is told not to flush what is renamed by itself
(`noauto_da_alloc`): other file systems do not either.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from .fuse import cut_power

TOOLS = ("mkfs.ext4", "mount", "umount")


class Disk:
    """One mounted disk; everything of it goes when it is closed."""

    def __init__(self, workshop: Path, megabytes: int) -> None:
        """Make and mount a disk of a size. Skips the test where that is not allowed."""
        if os.geteuid() != 0:
            pytest.skip("mounting a disk takes root")
        if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
            pytest.skip(f"{missing[0]} is not installed")
        self.image, self.folder = workshop / "disk.img", workshop / "disk"
        with self.image.open("wb") as file:
            file.truncate(megabytes * 2**20)
        # Blocks as on every disk of a box, also on a small one, and none of them kept back for root.
        options = ("-q", "-F", "-b", "4096", "-m", "0", "-J", f"size={4 if megabytes < 100 else 64}")
        subprocess.run(["mkfs.ext4", *options, str(self.image)], check=True, capture_output=True)
        self.folder.mkdir()
        done = self._mount()
        if done.returncode:
            self.image.unlink()
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._unmount()
        self.image.unlink()

    def cut(self) -> None:
        """Cut the power now. Programs that still run get errors from the disk."""
        cut_power(self.folder)

    def restore(self) -> None:
        """Mount the disk again as it is after the cut; no program may use it any more."""
        self._unmount()
        done = self._mount()
        assert done.returncode == 0, done.stderr

    def _mount(self) -> subprocess.CompletedProcess[str]:
        command = ["mount", "-t", "ext4", "-o", "loop,noauto_da_alloc", str(self.image), str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _unmount(self) -> None:
        """Unmount; a process that was just killed may hold the disk a moment longer."""
        deadline = time.monotonic() + 20
        while subprocess.run(["umount", str(self.folder)], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, f"something holds {self.folder}"
            time.sleep(0.05)
