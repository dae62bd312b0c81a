"""What becomes of a file: prepared pixels, or a rejection with its reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aidpost_device.decode.image import Header


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A file that was decoded and prepared."""

    path: str
    sha256: str
    size_bytes: int
    mtime_ns: int
    """Modification time, nanoseconds since the epoch."""
    pixels: NDArray[np.uint8]  # (S, S, C), read-only
    header: Header
    decoder: str
    """Name and version of the decoder."""
    milliseconds: float
    """Wall time in the worker: reading, hashing, decoding, preparing."""


@dataclass(frozen=True, eq=False)
class RejectedScan:
    """A file that was refused."""

    path: str
    sha256: str | None
    """None when the file could not be read whole."""
    size_bytes: int
    mtime_ns: int
    """Modification time, nanoseconds since the epoch; 0 like the size when the file could not be read."""
    reason: str
    """A value of `Reason`."""
    message: str
    hint: str
    milliseconds: float
    header: Header | None = None
    """What the file says of itself, as far as it could be read."""


@dataclass(frozen=True, eq=False)
class KnownScan:
    """A file that holds the content it was expected to hold; it was read and hashed, not decoded."""

    path: str
    sha256: str
    size_bytes: int
    mtime_ns: int
    """Modification time, nanoseconds since the epoch."""
    milliseconds: float
    """Wall time in the worker: reading and hashing."""


Result = PreparedScan | RejectedScan | KnownScan
