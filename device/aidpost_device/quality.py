"""Quality: what can be measured on the prepared pixels before anyone trusts a reading of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

TRIM = 0.005
"""Fraction of the pixels left out at either end of the grey scale, so that a dead pixel or a marker is no contrast."""
_SAMPLES = 96
"""Rows and columns that are looked at, at least: enough for a grey scale, and cheap beside the model."""


@dataclass(frozen=True)
class Quality:
    """Measures of one prepared scan."""

    contrast: int
    """Grey levels between dark and bright inside the image, borders left out, in [0, 255]."""


MEASURES = tuple(field.name for field in fields(Quality))
"""Names of the measures, which a bundle's quality checks may use."""


def measure(pixels: NDArray[np.uint8]) -> Quality:  # (H, W, C) uint8
    """Measure one prepared scan. Black borders, which preparation adds to keep the aspect ratio, do not count."""
    content = pixels[content_area(pixels)]
    step = max(1, min(content.shape[:2]) // _SAMPLES)
    sample = content[::step, ::step]
    return Quality(contrast=max(_spread(sample[..., band]) for band in range(pixels.shape[2])))


def content_area(pixels: NDArray[np.uint8]) -> tuple[slice, slice]:  # (H, W, C) uint8
    """Find the rows and columns inside the black borders; nothing where all is black."""
    rows = np.flatnonzero(pixels.reshape(len(pixels), -1).max(axis=1))
    columns = np.flatnonzero(pixels.max(axis=0).max(axis=1))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _spread(band: NDArray[np.uint8]) -> int:
    if not band.size:
        return 0
    below = np.cumsum(np.bincount(band.ravel(), minlength=256))
    dark = np.searchsorted(below, TRIM * band.size, side="right")
    bright = np.searchsorted(below, (1 - TRIM) * band.size, side="left")
    return max(0, int(bright - dark))
