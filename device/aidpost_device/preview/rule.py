"""The rule that a bundle which has read here is replaced only by one whose preview was made, or with a reason."""

from __future__ import annotations

from aidpost_device.bundle.manifest import Manifest
from aidpost_device.errors import PreviewError
from aidpost_device.home import Home
from aidpost_device.store.store import Store


def needs_reason(home: Home, manifest: Manifest, sha256: str, active_sha256: str, reason: str | None) -> bool:
    """Say whether the bundle with this digest may become active only for the reason that is given.

    Raises `PreviewError` when it needs one and none is given, or an empty one.
    """
    if reason is not None and not reason.strip():
        raise PreviewError("The reason is empty.", 'Say why: --without-preview "the old model missed cases"')
    if not home.store_file.exists():
        return False
    with Store(home.store_file) as store:
        if not store.has_readings(active_sha256) or store.has_preview(sha256, active_sha256):
            return False
    if reason is None:
        raise PreviewError(
            f"{manifest.name} {manifest.version} was not tried on the scans that the active bundle has read here.",
            "See first what would change: aidpost device install FILE --preview. "
            'To install it all the same: aidpost device install FILE --without-preview "reason"',
        )
    return True


def record_override(home: Home, manifest: Manifest, sha256: str, active_sha256: str, reason: str) -> None:
    """Keep why a bundle became active without a preview."""
    with Store(home.store_file) as store:
        store.record_override(manifest.name, sha256, active_sha256, reason.strip())
