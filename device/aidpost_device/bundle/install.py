"""Installing, activating and going back: the order of checks and writes around the pure rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from aidpost_device import golden
from aidpost_device.bundle import slots, trust_file
from aidpost_device.bundle.admit import admit
from aidpost_device.bundle.image_input import image_input
from aidpost_device.bundle.manifest import ImageInput, Manifest
from aidpost_device.bundle.slots import Slot, State
from aidpost_device.bundle.trust import Trust
from aidpost_device.bundle.verify import VerifiedBundle, verify
from aidpost_device.engine import Target
from aidpost_device.errors import BundleError, NoBundleError, RollbackError
from aidpost_device.home import Home
from aidpost_device.in_force import Signed
from aidpost_device.preview.rule import needs_reason, record_override
from aidpost_device.timing import fastest

Prepare = Callable[[str, bytes, ImageInput], NDArray[np.uint8]]
"""Decodes and prepares one encoded file for an input: name, content, input → (H, W, C)."""


@dataclass(frozen=True)
class Installed:
    """What an installation did."""

    manifest: Manifest
    variant: str
    """The variant this box will use."""
    changed: bool
    """False when exactly this bundle was active already."""
    previous: Slot | None
    """What a rollback would return to."""


@dataclass(frozen=True)
class Entry:
    """One installed bundle, as it is listed."""

    name: str
    slot: Slot | None
    """None where the record of this name is damaged."""
    active: bool
    manifest: Manifest | None
    """None where the bundle no longer verifies."""
    key: str
    problem: BundleError | None
    """Why it cannot be used."""


@dataclass(frozen=True)
class Rehearsed:
    """A bundle that could be activated."""

    verified: VerifiedBundle
    state: State | None
    """What is active under its name."""
    variant: str
    """The variant this box would use."""


def install(
    home: Home,
    data: bytes,
    now: date | None,
    *,
    prepare: Prepare,
    target: Target,
    without_preview: Signed | None = None,
) -> Installed:
    """Verify, admit, run and activate a bundle. Raises an `AidpostError`; then nothing is left and nothing changed.

    One that takes the place of a bundle which has read here needs a recorded preview, or somebody's reason for having
    none.
    """
    with home.locked():
        slots.sweep(home)
        try:
            return _install(home, data, now, prepare, target, without_preview)
        finally:
            slots.sweep(home)


def rehearse(home: Home, data: bytes, now: date | None, *, prepare: Prepare, target: Target) -> Rehearsed:
    """Do all that an install does before it changes something. Raises what it would raise."""
    verified, state = _admitted(home, data, now)
    return Rehearsed(verified, state, _try_out(verified, prepare, target))


def _install(
    home: Home, data: bytes, now: date | None, prepare: Prepare, target: Target, without_preview: Signed | None
) -> Installed:
    verified, state = _admitted(home, data, now)
    manifest, overridden = verified.manifest, False
    if state is not None and state.active.sha256 == verified.sha256:
        if _is_intact(home, manifest.name, state.active):
            return Installed(manifest, state.active.variant, changed=False, previous=state.previous)
    elif state is not None:
        overridden = needs_reason(
            home, manifest, verified.sha256, state.active.sha256, given=without_preview is not None
        )
    variant = _try_out(verified, prepare, target)
    slot = Slot(version=manifest.version, build=manifest.build, sha256=verified.sha256, variant=variant)
    after = slots.activate(state, slot)
    slots.write_slot(home, manifest.name, slot, data)
    if overridden and state is not None and without_preview is not None:
        record_override(home, manifest, verified.sha256, state.active.sha256, without_preview)
    slots.write_state(home, manifest.name, after)
    return Installed(manifest, variant, changed=True, previous=after.previous)


def _admitted(home: Home, data: bytes, now: date | None) -> tuple[VerifiedBundle, State | None]:
    """Verify and admit a bundle; give it with what is active under its name. The active one is admitted already."""
    trust = trust_file.load(home)
    verified = verify(data, trust)
    state = slots.read_state(home, verified.manifest.name)
    if state is None or state.active.sha256 != verified.sha256:
        admit(verified, trust, now, state.highest_build if state else 0)
        _refuse_twin(verified, state)
    return verified, state


def active_bundle(home: Home, name: str | None = None) -> VerifiedBundle:
    """Read and verify the active bundle of a name, or of the only name. Raises `NoBundleError` or a `BundleError`."""
    name = _choose(home, name)
    state = _require_state(home, name)
    return verify(slots.read_slot(home, name, state.active), trust_file.load(home))


def active_variant(home: Home, name: str) -> str:
    """Give the variant that was chosen on this box for the active bundle. Raises `NoBundleError`."""
    return _require_state(home, name).active.variant


def rollback(home: Home, name: str) -> tuple[Slot, Slot]:
    """Return to the bundle that was active before; give it and the one left. Neither its build nor its date matters.

    Raises `NoBundleError`, `RollbackError` where there is none before, or the error for which it no longer verifies.
    """
    with home.locked():
        slots.sweep(home)
        state = _require_state(home, name)
        if state.previous is None:
            raise RollbackError(
                f"Only {state.active.version} (build {state.active.build}) of {name} was ever active here.",
                "Install another bundle instead: aidpost device install FILE",
            )
        verify(slots.read_slot(home, name, state.previous), trust_file.load(home))
        slots.write_state(
            home, name, State(active=state.previous, previous=state.active, highest_build=state.highest_build)
        )
        return state.previous, state.active


def entries(home: Home) -> list[Entry]:
    """List what is installed, each bundle verified again, the active one of each name first."""
    trust = trust_file.load(home)
    listed: list[Entry] = []
    for name in slots.names(home):
        try:
            state = _require_state(home, name)
        except BundleError as error:
            listed.append(Entry(name, None, active=False, manifest=None, key="", problem=error))
            continue
        listed += [_entry(home, name, slot, trust, active=slot is state.active) for slot in state.slots]
    return listed


def _entry(home: Home, name: str, slot: Slot, trust: Trust, *, active: bool) -> Entry:
    try:
        bundle = verify(slots.read_slot(home, name, slot), trust)
    except BundleError as error:
        return Entry(name, slot, active, manifest=None, key="", problem=error)
    return Entry(name, slot, active, bundle.manifest, bundle.key, problem=None)


def _try_out(verified: VerifiedBundle, prepare: Prepare, target: Target) -> str:
    """Run the model on the golden inputs and on blank ones; give the variant that this box shall use."""
    spec = image_input(verified.manifest)

    def prepare_golden(name: str, data: bytes) -> NDArray[np.uint8]:
        return prepare(name, data, spec)

    engines = list(golden.accepted_engines(verified, target, prepare_golden, probe=True))
    return (engines[0] if len(engines) == 1 else fastest(engines)).variant.name


def _is_intact(home: Home, name: str, slot: Slot) -> bool:
    try:
        slots.read_slot(home, name, slot)
    except BundleError:  # the copy on the disk is damaged: installing again is the cure
        return False
    return True


def _refuse_twin(verified: VerifiedBundle, state: State | None) -> None:
    """Refuse another bundle under a build counter that is taken: records could not tell the two apart."""
    manifest = verified.manifest
    for slot in state.slots if state else ():
        if slot.build == manifest.build and slot.sha256 != verified.sha256:
            raise RollbackError(
                f"Build {manifest.build} of {manifest.name} is here already with another content ({slot.version}).",
                "Ask the workstation to pack the new bundle with the next build number.",
            )


def _require_state(home: Home, name: str) -> State:
    # Only names that were found on the disk are looked up: what is typed never becomes a path.
    state = slots.read_state(home, name) if name in slots.names(home) else None
    if state is None:
        raise NoBundleError(f"No bundle is installed as {name!r}.", _which(home))
    return state


def _choose(home: Home, name: str | None) -> str:
    if name is not None:
        return name
    installed = slots.names(home)
    if len(installed) != 1:
        what = f"{len(installed)} bundles are installed" if installed else "No bundle is installed"
        raise NoBundleError(f"{what}: which one is meant is not clear." if installed else f"{what}.", _which(home))
    return installed[0]


def _which(home: Home) -> str:
    installed = slots.names(home)
    if installed:
        return f"Name one of: {', '.join(installed)}."
    return "Install one first: aidpost device install FILE"
