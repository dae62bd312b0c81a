"""A decoded frame: stored values as the codec gave them, before anything is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aidpost_device.decode.image import Pixels


@dataclass(frozen=True, eq=False)
class Frame:
    """What one decoder made of one compressed or uncompressed image."""

    pixels: Pixels  # (H, W) or (H, W, 3)
    decoder: str
    """Name and version."""
    step: int = 1
    """Full-resolution pixels per pixel."""
    origin: float = 0.5
    """Full-resolution coordinate of the first pixel's centre."""
    rgb: bool = False
    """Whether the decoder has turned the colours into RGB already."""


def interpret(raw: Pixels, bits: int, signed: bool) -> Pixels:
    """Read the lowest `bits` of unsigned containers as the numbers they hold; what stands above them is no image."""
    unused = 8 * raw.dtype.itemsize - bits
    if signed:
        numbers = raw.view(f"i{raw.dtype.itemsize}")
        return numbers if not unused else (numbers << unused) >> unused
    mask = (1 << bits) - 1
    return raw if not unused or int(raw.max(initial=0)) <= mask else np.bitwise_and(raw, raw.dtype.type(mask))
