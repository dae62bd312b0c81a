"""The next bundle without the minute that packing takes: the same content, a greater build, signed with any key.

`python -m tests.docs.next_bundle BUNDLE KEY VERSION OUT`
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from aidpost_device.bundle import signature
from aidpost_device.bundle.assemble import assemble
from aidpost_device.bundle.container import MANIFEST, SIGNATURE, read_container
from aidpost_device.bundle.manifest import parse_manifest


def sign_next(bundle: Path, key: Path, version: str, out: Path) -> None:
    """Write what `aidpost export pack` would write later, for the same run."""
    members = read_container(bundle.read_bytes())
    manifest = parse_manifest(members.pop(MANIFEST))
    del members[SIGNATURE]
    following = msgspec.structs.replace(manifest, version=version, build=manifest.build + 1, members={})
    out.write_bytes(assemble(following, members, signature.load_private(key)))


if __name__ == "__main__":
    sign_next(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
