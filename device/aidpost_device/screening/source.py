"""The folder source: which files there are to screen. Whatever is found has a row; nothing is left out in silence."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aidpost_device.decode.scan_file import changed_ns
from aidpost_device.errors import SettingError
from aidpost_device.incoming import read_incoming
from aidpost_device.store.records import Item, Rejection, Stamp

LIST_BYTES = 256 * 2**20
"""Largest list of files that is read, bytes."""


class Unusable(StrEnum):
    """Why something that was found is not opened at all. The codes are stable."""

    LINK = "link"
    NOT_A_FILE = "not-a-file"
    MISSING = "missing"
    FOLDER_UNREADABLE = "folder-unreadable"


_TEXTS = {
    Unusable.LINK: ("It is a link, and links inside folders are not followed.", "Name the file itself."),
    Unusable.NOT_A_FILE: ("It is a pipe, a socket or a device.", "Name files and folders only."),
    Unusable.MISSING: (
        "The file is not there, or its disk cannot read it.",
        "Check the list, and whether the disk is sound.",
    ),
    Unusable.FOLDER_UNREADABLE: ("The folder cannot be read.", "Check who may read it, and whether the disk is sound."),
}


@dataclass(frozen=True)
class Listing:
    """Everything that was found, each path once, in the order given and sorted within a folder."""

    files: tuple[Stamp, ...]
    unusable: tuple[Item, ...]
    sha256: str
    """Digest of what was asked for: the same again means the same screening."""

    def __len__(self) -> int:
        return len(self.files) + len(self.unusable)


def list_files(named: Sequence[Path], listed: Sequence[Path] = (), skip: Sequence[Path] = ()) -> Listing:
    """List files, and folders with all that is below them.

    Links are followed where they are named and nowhere below; hidden files and folders are left out, and so are the
    folders in `skip` (our own output). Raises `SettingError` when a `named` path is missing or nothing is found; a
    `listed` one that is missing has a row that says so. A `named` path must not be in `skip` either.
    """
    ours = {_identity(path.stat()) for path in skip if os.path.exists(path)}  # noqa: PTH110 - the method raises
    for path in named:
        if not os.path.exists(path):  # noqa: PTH110 - the method raises for what cannot be a path
            raise SettingError(f"There is no file or folder {path}.", "Check the name, and whether the disk is there.")
        if _identity(path.stat()) in ours:
            raise SettingError(
                f"{path} is the output folder itself, or the box's own, and nothing in these is screened.",
                "Name the folder with the scans, and another one with --out.",
            )
    roots = [_root(path) for path in (*named, *listed)]
    files: dict[bytes, Stamp] = {}
    unusable: dict[bytes, Item] = {}
    for root in roots:
        for found in _walk(root, ours):
            if isinstance(found, Stamp):
                files.setdefault(found.path, found)
            else:
                unusable.setdefault(found.stamp.path, found)
    if not files and not unusable:
        raise SettingError(
            "There is nothing to screen: no file was found.", "Hidden files are left out; name the folder."
        )
    return Listing(tuple(files.values()), tuple(unusable.values()), hashlib.sha256(b"\0".join(roots)).hexdigest())


def read_list(path: Path) -> list[Path]:
    """Read a list of files and folders, one path to a line, as `find` writes it; empty lines do not count.

    Raises `SettingError` where it cannot be read, or separates its paths by NUL. A line that is no path gets a row.
    """
    content = read_incoming(path, LIST_BYTES).removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\n")
    if b"\0" in content and len(lines) == 1:
        raise SettingError(
            f"The list {path} separates its paths by NUL, as `find -print0` does.",
            "Write one path to a line, as `find -print` does.",
        )
    return [Path(os.fsdecode(line)) for line in (line.rstrip(b"\r") for line in lines) if line]


def absolute(path: Path) -> bytes:
    """Make a path absolute as bytes; links stay as they are named, unless `..` makes it unsafe to keep them."""
    return os.fsencode(_resolved(path) if ".." in path.parts else path.absolute())


def _root(path: Path) -> bytes:
    """Make a named path absolute. A link to a file is replaced by that file: decode workers open no links."""
    return absolute(_resolved(path) if os.path.isfile(path) else path)  # noqa: PTH113 - the method raises


def _resolved(path: Path) -> Path:
    """Follow links as far as the disk tells; what cannot be a path stays as it is and has a row later."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # the last: links that go round
        return path.absolute()


def _walk(root: bytes, ours: set[tuple[int, int]]) -> Iterator[Stamp | Item]:
    """Go down from one root. A stack, not recursion: folders on a stick may be nested without end."""
    waiting = [root]
    while waiting:
        path = waiting.pop()
        try:
            status = os.stat(path, follow_symlinks=path is root)  # noqa: PTH116 - paths are bytes
        except (OSError, ValueError):  # the latter: no path has a NUL in it
            yield _refuse(path, Unusable.MISSING)
            continue
        if stat.S_ISREG(status.st_mode):
            yield Stamp(path, status.st_size, changed_ns(status))
        elif stat.S_ISLNK(status.st_mode):
            yield _refuse(path, Unusable.LINK)
        elif not stat.S_ISDIR(status.st_mode):
            yield _refuse(path, Unusable.NOT_A_FILE)
        elif _identity(status) not in ours:
            try:
                waiting += _entries(path)
            except OSError:
                yield _refuse(path, Unusable.FOLDER_UNREADABLE)


def _identity(status: os.stat_result) -> tuple[int, int]:
    """What tells a folder from others, whatever it is called."""
    return status.st_dev, status.st_ino


def _entries(folder: bytes) -> list[bytes]:
    """List a folder's entries that are not hidden, the last one first."""
    with os.scandir(folder) as entries:
        return sorted((entry.path for entry in entries if entry.name[:1] != b"."), reverse=True)


def _refuse(path: bytes, why: Unusable) -> Item:
    message, hint = _TEXTS[why]
    return Item(Stamp(path, 0, 0), Rejection(why, message, hint, milliseconds=0.0))
