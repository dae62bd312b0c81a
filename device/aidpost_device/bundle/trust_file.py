"""The trust of a box, kept in its home folder."""

from __future__ import annotations

from collections.abc import Callable

from aidpost_device.bundle.trust import FILE_LIMIT, Trust, parse, serialise
from aidpost_device.durable import write_durably
from aidpost_device.home import Home
from aidpost_device.incoming import read_incoming


def load(home: Home) -> Trust:
    """Read the box's trust; a box that was never given a key trusts nobody. Raises `TrustError`."""
    if not home.trust_file.exists():
        return Trust()
    return parse(read_incoming(home.trust_file, FILE_LIMIT))


def change(home: Home, transition: Callable[[Trust], Trust]) -> Trust:
    """Replace the box's trust by what the transition makes of it, durably; nothing changes when it raises."""
    with home.locked():
        old = load(home)
        new = transition(old)
        if new != old:
            for leftover in home.path.glob(f".{home.trust_file.name}.*"):
                leftover.unlink()
            write_durably(home.trust_file, serialise(new), mode=0o600)
    return new
