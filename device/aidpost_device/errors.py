"""Every error the box can raise, on one page. Each says what happened and, apart from it, what to do now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aidpost_device.decode.image import Header


class AidpostError(Exception):
    """Base of all errors meant for people: `str(error)` is what happened, `hint` is what the person can do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SettingError(AidpostError):
    """A setting, option or home folder is unusable."""


class StoppedError(AidpostError):
    """A person stopped the work before it was done. What was done is kept."""

    exit_code = 130


# ---- the bundle -----------------------------------------------------------------------------------------------------


class BundleError(AidpostError):
    """A bundle was refused. Nothing of it was kept and the active bundle is untouched."""


class ContainerError(BundleError):
    """The file is not a canonical bundle container: truncated, altered, oversized or with unsafe names."""


class ManifestError(BundleError):
    """The manifest does not parse, has unknown keys, or contradicts itself."""


class DigestError(BundleError):
    """A member's content or size differs from what the signed manifest lists, or the list and the members differ."""


class SignatureError(BundleError):
    """The signature is missing or does not belong to this manifest."""


class UntrustedKeyError(SignatureError):
    """The bundle is signed by a key that this box does not trust."""


class RevokedKeyError(SignatureError):
    """The bundle is signed by a key that has been revoked."""


class GraphError(BundleError):
    """The ONNX graph has external data, a foreign operator domain, or cannot be walked within its bounds."""


class RollbackError(BundleError):
    """The build counter is older than what this box has seen (anti-rollback), or there is nothing to roll back to."""


class ExpiredError(BundleError):
    """The bundle has expired."""


class GoldenError(BundleError):
    """No variant reproduces the golden outputs on this machine: the box refuses to score."""


class TargetError(BundleError):
    """The bundle has no variant for this machine, or the machine is not one that is known."""


class NoBundleError(BundleError):
    """No installed bundle fits the request."""


class PreviewError(BundleError):
    """A bundle was to take the place of one that has read here, and its preview was not made or cannot be."""


class TrustError(AidpostError):
    """A key or a trust file was refused. The trust of this box is unchanged."""


# ---- scans ----------------------------------------------------------------------------------------------------------


class ScanError(AidpostError):
    """A scan cannot be read. `reason` is a short stable code that goes into the record."""

    header: Header | None = None
    """What the file says of itself, where that much could be read: a rejected scan still belongs to its study."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


class DecodeServiceError(AidpostError):
    """The service that decodes scans cannot be started, or has ended by itself. No scan is at fault."""


class EngineError(AidpostError):
    """The model could not be loaded or gave outputs that cannot be used (wrong shape, NaN, out of range)."""


class CalibrationError(AidpostError):
    """The cases do not allow a temperature, a threshold or limits to be chosen."""


class OutcomeError(AidpostError):
    """Confirmed outcomes cannot be used. The message names the rows, each with its fix; nothing was recorded."""


# ---- the record -----------------------------------------------------------------------------------------------------


class StoreError(AidpostError):
    """The store cannot be opened, is too new for this program, or fails its integrity check."""


class StorageFullError(AidpostError):
    """The disk is full. What was acknowledged is safe; nothing half-written remains."""
