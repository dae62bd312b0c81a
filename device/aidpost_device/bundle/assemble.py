"""Assembly: the only way a bundle file is made. The workstation's pack and the tests both come through here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aidpost_device.bundle import signature
from aidpost_device.bundle.container import MANIFEST, SIGNATURE, write_container
from aidpost_device.bundle.manifest import Manifest, Member, serialise_manifest
from aidpost_device.bundle.trust import Key, Trust
from aidpost_device.bundle.verify import verify


def assemble(manifest: Manifest, members: Mapping[str, bytes], private_key: Ed25519PrivateKey) -> bytes:
    """List the members in the manifest, sign it, and write the file.

    The result is verified as a box would; raises the `BundleError` that the box would raise.
    """
    data = seal(serialise_manifest(list_members(manifest, members)), members, private_key)
    verify(data, Trust(root=Key(public=signature.public_bytes(private_key))))
    return data


def list_members(manifest: Manifest, members: Mapping[str, bytes]) -> Manifest:
    """Give the manifest with every member's digest and size."""
    listed = {
        name: Member(sha256=hashlib.sha256(content).hexdigest(), size=len(content)) for name, content in members.items()
    }
    return msgspec.structs.replace(manifest, members=listed)


def seal(manifest: bytes, members: Mapping[str, bytes], private_key: Ed25519PrivateKey) -> bytes:
    """Sign a manifest as it stands and write the container, judging nothing."""
    return write_container({MANIFEST: manifest, **members, SIGNATURE: signature.sign(manifest, private_key)})
