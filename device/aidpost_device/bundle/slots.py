"""Slots: the bundles kept on the box, per name the active one and the one before it.

    bundles/NAME/BUILD-VERSION.aidpost    a bundle file, as it was carried here
    bundles/NAME/state.json               which file is active, which was before, and the highest build ever active

A file that no state refers to is a leftover of an interrupted change and is swept by the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from aidpost_device.bundle.container import FILE_LIMIT
from aidpost_device.bundle.section import Sha256, Slug
from aidpost_device.durable import sync_folder, write_durably
from aidpost_device.errors import BundleError, SettingError
from aidpost_device.home import Home, make_private
from aidpost_device.incoming import read_incoming

SUFFIX = ".aidpost"
"""Ending of a bundle's file name."""
_STATE = "state.json"
_STATE_LIMIT = 64 * 1024

Build = Annotated[int, Meta(ge=1, le=2**53)]


class Slot(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One installed bundle."""

    version: Slug
    build: Build
    sha256: Sha256
    """Digest of the bundle file."""
    variant: Slug
    """The variant chosen at install: the fastest of those that gave the golden outputs here."""

    @property
    def file(self) -> str:
        """Name of the bundle file in its folder."""
        return f"{self.build}-{self.version}{SUFFIX}"


class State(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is active under one name. Replacing this one file is what activates a bundle."""

    schema: Literal[1] = 1
    active: Slot
    previous: Slot | None = None
    highest_build: Build
    """Greatest build counter that was ever active here (anti-rollback); a rollback never lowers it."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots in use, the active one first."""
        return (self.active,) if self.previous is None else (self.active, self.previous)


def activate(state: State | None, slot: Slot) -> State:
    """Give the state in which a newly installed slot is active and the one before it can come back."""
    if state is None:
        return State(active=slot, highest_build=slot.build)
    previous = state.previous if state.active.file == slot.file else state.active
    return State(active=slot, previous=previous, highest_build=max(state.highest_build, slot.build))


def names(home: Home) -> list[str]:
    """Name what is installed."""
    return sorted(path.parent.name for path in home.bundles.glob(f"*/{_STATE}"))


def read_state(home: Home, name: str) -> State | None:
    """Read the state of one name, None where nothing is installed. Raises `BundleError` when it is damaged."""
    path = home.bundles / name / _STATE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_incoming(path, _STATE_LIMIT), type=State)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, SettingError) as error:
        raise BundleError(
            f"The record of what is installed as {name} is damaged: {error}.",
            f"Remove the folder {path.parent} and install the newest bundle again.",
        ) from error


def write_state(home: Home, name: str, state: State) -> None:
    """Write the state of one name: from here on its active slot is in use."""
    write_durably(home.bundles / name / _STATE, msgspec.json.encode(state), mode=0o600)


def read_slot(home: Home, name: str, slot: Slot) -> bytes:
    """Read a slot's bundle file. Raises `BundleError` when it is gone or no longer what was installed."""
    path = home.bundles / name / slot.file
    hint = "Install the bundle again from the stick; if it happens again, replace the box's disk."
    try:
        data = read_incoming(path, FILE_LIMIT)
    except SettingError as error:
        raise BundleError(f"The installed bundle {name} {slot.version} is lost. {error}", hint) from error
    if hashlib.sha256(data).hexdigest() != slot.sha256:
        raise BundleError(f"The installed bundle {name} {slot.version} was damaged on this disk.", hint)
    return data


def write_slot(home: Home, name: str, slot: Slot, data: bytes) -> None:
    """Write a slot's bundle file; it is not in use until a state refers to it."""
    folder = home.bundles / name
    make_private(home.bundles)
    make_private(folder)
    sync_folder(home.path)
    sync_folder(home.bundles)
    write_durably(folder / slot.file, data, mode=0o600)


def sweep(home: Home) -> None:
    """Remove what an interrupted change left behind, and slots that no state refers to any more."""
    if not home.bundles.is_dir():
        return
    for folder in home.bundles.iterdir():
        if not folder.is_dir():
            continue
        try:
            state = read_state(home, folder.name)
        except BundleError:  # damaged: its bundles may be all that is left to look at
            continue
        for path in _leftovers(folder, {slot.file for slot in state.slots} if state else set()):
            path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def _leftovers(folder: Path, used: set[str]) -> Iterator[Path]:
    """Yield temporaries of `write_durably` and bundle files that are not in use."""
    for path in list(folder.iterdir()):
        temporary = path.name.startswith(f".{_STATE}.") or (path.name.startswith(".") and f"{SUFFIX}." in path.name)
        if temporary or (path.suffix == SUFFIX and path.name not in used):
            yield path
