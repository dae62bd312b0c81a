"""The rule that a bundle which has read here is replaced only by one whose preview was made, or with a reason."""

from __future__ import annotations

from aidpost_device.bundle.manifest import Manifest
from aidpost_device.errors import PreviewError
from aidpost_device.home import Home
from aidpost_device.in_force import Signed
from aidpost_device.store.store import Store


def needs_reason(home: Home, manifest: Manifest, sha256: str, active_sha256: str, *, given: bool) -> bool:
    """Say whether the bundle with this digest may become active only for a reason.

    Raises `PreviewError` when it needs one and none is `given`.
    """
    if not home.store_file.exists():
        return False
    with Store(home.store_file) as store:
        if not store.has_readings(active_sha256) or store.has_preview(sha256, active_sha256):
            return False
    if not given:
        raise PreviewError(
            f"{manifest.name} {manifest.version} was not tried on the scans that the active bundle has read here.",
            "See first what would change: aidpost device install FILE --preview. "
            "To install it all the same: aidpost device install FILE --without-preview --author NAME --reason TEXT",
        )
    return True


def record_override(home: Home, manifest: Manifest, sha256: str, active_sha256: str, signed: Signed) -> None:
    """Keep in the audit trail why a bundle became active without a preview."""
    details = {"bundle_sha256": sha256, "active_sha256": active_sha256, "reason": signed.reason}
    with Store(home.store_file) as store:
        store.audit_event(signed, "activated-without-preview", f"bundle {manifest.name} {manifest.version}", details)
