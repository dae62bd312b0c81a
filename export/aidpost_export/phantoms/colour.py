"""Colour images from fields: smears, fundus photographs and skin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aidpost_export.phantoms.field import Field, soft

Image = NDArray[np.uint8]
"""(H, W, 3) uint8."""
Colour = Sequence[float] | NDArray[np.floating[Any]]
"""Red, green and blue in [0, 1]."""


def flat(shape: tuple[int, int], colour: Colour) -> Field:
    """An image of one colour in [0, 1].  # (H, W, 3)"""
    return np.broadcast_to(np.array(colour, np.float32), (*shape, 3)).copy()


def lay(image: Field, cover: Field, colour: Colour) -> None:
    """Lay a colour over an image where `cover` (H, W) in [0, 1] says how much."""
    image += cover[..., None] * (np.array(colour, np.float32) - image)


def finish(rng: np.random.Generator, image: Field, grain: float) -> Image:
    """Add the camera's noise and round to 8 bits."""
    noisy = image + np.float32(grain) * rng.standard_normal(image.shape, np.float32)
    rounded: Image = (np.clip(noisy, 0, 1) * 255).round().astype(np.uint8)
    return rounded


def ragged_disc(x: Field, y: Field, left: float, top: float, radius: float, edge: Field, softness: float) -> Field:
    """A disc whose radius is changed by `edge`, a field of fractions."""
    distance = np.sqrt((x - np.float32(left)) ** 2 + (y - np.float32(top)) ** 2)
    return soft(radius * (1 + edge) - distance, softness)
