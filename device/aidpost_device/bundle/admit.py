"""Admission: whether a verified bundle may be installed here and today."""

from __future__ import annotations

from datetime import date

from aidpost_device.bundle.manifest import Manifest
from aidpost_device.bundle.trust import Trust, require_fingerprint
from aidpost_device.bundle.verify import VerifiedBundle
from aidpost_device.errors import ExpiredError, RollbackError


def admit(verified: VerifiedBundle, trust: Trust, now: date | None, highest_build: int) -> None:
    """Admit a bundle. `now` is None when the clock is not set; `highest_build` is 0 when none was ever active here.

    Raises `RollbackError` for an older build, `ExpiredError` for a bundle past its date, and the errors of trust when
    the trust has moved on since the bundle was verified.
    """
    require_fingerprint(trust, verified.key)
    manifest = verified.manifest
    if manifest.build < highest_build:
        raise RollbackError(
            f"{_title(manifest)} is older than build {highest_build}, which this box has had.",
            f"Ask for the newest bundle. To return to the one before: aidpost device rollback {manifest.name}",
        )
    if is_expired(manifest, now):
        raise ExpiredError(
            f"{_title(manifest)} expired on {manifest.expires}; today is {now}.",
            "Ask for a newer bundle. If today's date is wrong, set the clock.",
        )


def is_expired(manifest: Manifest, now: date | None) -> bool:
    """Say whether the bundle's last day has passed; with a clock that is not set nothing has."""
    return now is not None and manifest.expires is not None and now > date.fromisoformat(manifest.expires)


def expiry_alarm(manifest: Manifest, now: date | None) -> str | None:
    """Give the alarm to show while an expired bundle reads on, or None."""
    if not is_expired(manifest, now):
        return None
    return f"{_title(manifest)} expired on {manifest.expires}. It reads on; ask for a newer bundle."


def _title(manifest: Manifest) -> str:
    return f"Bundle {manifest.name} {manifest.version} (build {manifest.build})"
