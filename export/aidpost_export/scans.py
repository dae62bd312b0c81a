"""Reading a dataset's files: each is opened once, in a decode worker, and comes back as prepared pixels or a reason."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.decode.image import Header
from aidpost_device.decode.limits import DEFAULT_LIMITS
from aidpost_device.decode.pool import DecodePool, PreparedScan
from aidpost_export.progress import Reporter


@dataclass(frozen=True)
class ReadScan:
    """A file that could be read."""

    sha256: str
    header: Header
    slot: int
    """Where its pixels lie in `Scans.pixels`."""


@dataclass(frozen=True)
class Refusal:
    """A file that could not be read."""

    reason: str
    """Stable code of the decode workers."""
    message: str
    hint: str


@dataclass(frozen=True)
class Scans:
    """What reading the files gave, by path relative to the data folder."""

    read: dict[str, ReadScan]
    refused: dict[str, Refusal]
    pixels: NDArray[np.uint8]
    """Prepared pixels in the order they were read, on disk until this object goes.  # (M, H, W, C) uint8"""

    def picture(self, file: str) -> str:
        """Digest of a file's prepared pixels; empty for one grey or colour throughout, which identifies nothing."""
        pixels = self.pixels[self.read[file].slot]
        same = (pixels == pixels[0, 0]).all()
        return "" if same else hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def read_scans(
    folder: Path, files: Sequence[str], spec: ImageInput, reporter: Reporter, scratch: Path | None = None
) -> Scans:
    """Read and prepare files once each. `scratch` is a folder with room for all pixels (default: the system's)."""
    shape = (spec.size, spec.size, spec.channels)
    paths = {str(folder / name): name for name in files}
    read: dict[str, ReadScan] = {}
    refused: dict[str, Refusal] = {}
    workers = max(1, min(len(os.sched_getaffinity(0)), len(paths)))
    # The file has no name: its space is free again when the pixels are no longer mapped, whatever happens.
    with tempfile.TemporaryFile(dir=scratch) as store:
        with DecodePool(workers, spec, DEFAULT_LIMITS) as pool, reporter.bar("Reading the scans", len(paths)) as bar:
            for result in pool.results(Path(path) for path in paths):
                name = paths[str(result.path)]
                if isinstance(result, PreparedScan):
                    read[name] = ReadScan(result.sha256, result.header, slot=len(read))
                    store.write(np.ascontiguousarray(result.pixels).data)
                else:
                    refused[name] = Refusal(result.reason, result.message, result.hint)
                bar.advance()
        store.flush()
        pixels = np.memmap(store, np.uint8, "r", shape=(len(read), *shape)) if read else np.empty((0, *shape), np.uint8)
    return Scans(read, refused, pixels)
