"""Verification: bytes and trust in, a `VerifiedBundle` out or an error. No clock, no files, no state."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aidpost_device.bundle import signature
from aidpost_device.bundle.container import MANIFEST, SIGNATURE, read_container
from aidpost_device.bundle.manifest import Manifest, parse_manifest
from aidpost_device.bundle.onnx_walk import check_graph
from aidpost_device.bundle.trust import Trust, require
from aidpost_device.errors import DigestError, SignatureError


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle that passed every check of `verify`. Nothing else makes one."""

    manifest: Manifest
    members: Mapping[str, bytes]
    """Every member except manifest and signature, by name."""
    sha256: str
    """Digest of the whole file."""
    key: str
    """Fingerprint of the key that signed it."""


def verify(data: bytes, trust: Trust) -> VerifiedBundle:
    """Check a bundle file in full. Raises a `BundleError` of the kind that says what is wrong."""
    members = read_container(data)
    content = members.pop(MANIFEST)
    signed = members.pop(SIGNATURE, None)
    if signed is None:
        raise SignatureError("The bundle is not signed.", "Ask for the bundle that `aidpost export pack` wrote.")
    public_key = signature.check(content, signed)
    require(trust, public_key)
    manifest = parse_manifest(content)
    _check_members(manifest, members)
    for file in dict.fromkeys(variant.file for variant in manifest.variants):
        check_graph(file, members[file])
    return VerifiedBundle(
        manifest=manifest,
        members=MappingProxyType(members),
        sha256=hashlib.sha256(data).hexdigest(),
        key=signature.fingerprint(public_key),
    )


def _check_members(manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """See that exactly the listed members are there, each with the content that was signed."""
    unlisted = sorted(members.keys() - manifest.members.keys())
    missing = sorted(manifest.members.keys() - members.keys())
    if unlisted or missing:
        raise DigestError(
            f"The members are not those that were signed: unlisted {unlisted[:4]}, missing {missing[:4]}.",
            _HINT,
        )
    for name, listed in manifest.members.items():
        content = members[name]
        if len(content) != listed.size:
            raise DigestError(f"Member {name} has {len(content)} bytes; {listed.size} were signed.", _HINT)
        if hashlib.sha256(content).hexdigest() != listed.sha256:
            raise DigestError(f"The content of member {name} is not what was signed.", _HINT)


_HINT = "Do not use this file. Copy the bundle again from where it came; if it is refused again, report it."
