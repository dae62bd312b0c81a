"""Every error the box can raise, on one page. Each says what happened and, apart from it, what to do now."""


class AidpostError(Exception):
    """Base of all errors meant for people: `str(error)` is what happened, `hint` is what the person can do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SettingError(AidpostError):
    """A setting, option or home folder is unusable."""


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


class NoBundleError(BundleError):
    """No installed bundle fits the request."""


class TrustError(AidpostError):
    """A key or a trust file was refused. The trust of this box is unchanged."""


# ---- scans ----------------------------------------------------------------------------------------------------------


class ScanError(AidpostError):
    """A scan cannot be read. `reason` is a short stable code that goes into the record."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


class EngineError(AidpostError):
    """The model could not be loaded or gave outputs that cannot be used (wrong shape, NaN, out of range)."""


# ---- the record -----------------------------------------------------------------------------------------------------


class StoreError(AidpostError):
    """The store cannot be opened, is too new for this program, or fails its integrity check."""


class StorageFullError(AidpostError):
    """The disk is full. What was acknowledged is safe; nothing half-written remains."""
