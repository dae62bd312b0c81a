"""Prepared pixels of a run's cases, as one array on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.durable import replacing
from aidpost_export.cases import Cases
from aidpost_export.errors import DatasetError
from aidpost_export.progress import Reporter
from aidpost_export.scans import Scans, read_scans


def prepare_cases(
    cases: Cases, folder: Path, spec: ImageInput, path: Path, reporter: Reporter, scans: Scans | None = None
) -> None:
    """Write the cases' pixels in their order, whole or not at all.  # `path`: (N, H, W, C) uint8

    `scans` are the files as the checks read them; without them each file is read again. Raises `DatasetError` when a
    file is no longer what the checks saw.
    """
    if scans is None:
        scans = read_scans(folder, cases.files, spec, reporter, scratch=path.parent)
    slots = [_slot(scans, file, sha256) for file, sha256 in zip(cases.files, cases.sha256, strict=True)]
    shape = (len(cases), spec.size, spec.size, spec.channels)
    with replacing(path) as file:
        npy.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for slot in slots:
            file.write(np.ascontiguousarray(scans.pixels[slot]).data)


def _slot(scans: Scans, file: str, sha256: str) -> int:
    read = scans.read.get(file)
    if read is None or read.sha256 != sha256:
        why = scans.refused[file].message if file in scans.refused else "its content is another"
        raise DatasetError(
            f"{file} changed while the run was being prepared: {why}.",
            "Let nobody write into the data folder while a run is prepared, and run again.",
        )
    return read.slot
