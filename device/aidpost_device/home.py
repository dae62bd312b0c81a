"""The home folder: everything a box keeps, in one place."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aidpost_device.durable import noticing_full
from aidpost_device.errors import SettingError

SYSTEM = Path("/var/lib/aidpost")
"""The home of an installed box."""


@dataclass(frozen=True)
class Home:
    """Names the places inside a home folder; `at` and `locate` also create it."""

    path: Path

    @classmethod
    def locate(cls, environment: Mapping[str, str] = os.environ) -> Home:
        """Open `$AIDPOST_HOME`, else the system folder where it is writable, else the XDG data folder."""
        if chosen := environment.get("AIDPOST_HOME"):
            return cls.at(Path(chosen))
        if os.access(SYSTEM, os.W_OK | os.X_OK):
            return cls.at(SYSTEM)
        # The XDG specification tells programs to ignore a relative path there.
        data = Path(environment.get("XDG_DATA_HOME", ""))
        return cls.at((data if data.is_absolute() else Path.home() / ".local" / "share") / "aidpost")

    @classmethod
    def at(cls, path: Path) -> Home:
        """Open the home at `path`, creating it for this user alone. Raises `SettingError` or `StorageFullError`."""
        path = path.expanduser().absolute()
        try:
            make_private(path)
            owner = path.stat().st_uid
        except OSError as error:
            raise SettingError(
                f"The home folder {path} cannot be used: {error.strerror}.",
                "Set AIDPOST_HOME to a folder that you may write to.",
            ) from error
        if owner != os.geteuid():
            # Root would leave files behind that the box's own user can no longer replace.
            raise SettingError(
                f"The home folder {path} belongs to user {owner}, not to you (user {os.geteuid()}).",
                f"Run the command as its owner: sudo -u '#{owner}' aidpost …, or set AIDPOST_HOME to your own folder.",
            )
        return cls(path)

    @property
    def trust_file(self) -> Path:
        """The keys this box accepts."""
        return self.path / "trust.json"

    @property
    def bundles(self) -> Path:
        """Folder of the installed bundles, one folder per name."""
        return self.path / "bundles"

    @property
    def store_file(self) -> Path:
        """The database of scans and readings."""
        return self.path / "store.sqlite3"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this home's keys and bundles for one change. Raises `SettingError` when another command holds them."""
        make_private(self.path)
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SettingError(
                    f"Another command is changing the keys or bundles in {self.path}.",
                    "Wait until it has finished and run this command again.",
                ) from error
            yield
        finally:
            os.close(handle)


def make_private(folder: Path) -> None:
    """Create a folder that only this user can enter; one that exists keeps its mode. Raises `StorageFullError`."""
    with noticing_full(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
