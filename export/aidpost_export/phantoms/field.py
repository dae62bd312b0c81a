"""Smooth random fields and soft shapes: what every phantom is painted with."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""One number per pixel, in practice float32.  # (H, W)"""


def grid(height: int, width: int) -> tuple[Field, Field]:
    """Give the coordinates of the pixel centres: x from the middle to the right, y from the top down.  # (H, W) each"""
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / height
    return np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], knots: float, across: float | None = None) -> Field:
    """Draw noise of mean 0 and variance about 1 with `knots` random values down and `across` (as dense) to the right.

    A cubic B-spline through white noise: two small matrix products instead of a filter.
    """
    height, width = shape
    down = max(2, round(knots))
    right = max(2, round(across if across is not None else knots * width / height))
    values = rng.standard_normal((down + 3, right + 3), np.float32)
    field: Field = _spline(height, down) @ values @ _spline(width, right).T
    return field * np.float32(2.09)  # a spline of unit noise has deviation 0.479 in two dimensions


def spread(field: Field, knots: int) -> Field:
    """Blur a field until about `knots` details remain from edge to edge (scatter, veils)."""
    height, width = field.shape
    down, right = _spline(height, knots), _spline(width, knots)
    coarse = (down.T @ field @ right) / np.outer(down.sum(0), right.sum(0))
    blurred: Field = down @ coarse @ right.T
    return blurred


def soft(distance: Field, width: float) -> Field:
    """Turn a signed distance into coverage: 0 outside, 1 inside, with an edge of this width."""
    ramp: Field = distance * np.float32(0.5 / width)
    ramp += np.float32(0.5)
    np.clip(ramp, 0, 1, out=ramp)
    cover = ramp * ramp  # in place from here: this is called forty times a film
    ramp *= -2
    ramp += 3
    cover *= ramp
    return cover


def blob(x: Field, y: Field, left: float, top: float, wide: float, high: float) -> Field:
    """Gaussian spot of height 1 at (left, top)."""
    across, down = (x - np.float32(left)) / np.float32(wide), (y - np.float32(top)) / np.float32(high)
    spot: Field = np.exp(-(across * across + down * down))
    return spot


@cache
def _spline(samples: int, intervals: int) -> Field:
    """Weights of a uniform cubic B-spline.  # (samples, intervals + 3) float32"""
    position = (np.arange(samples) + 0.5) / samples * intervals
    first = np.minimum(position.astype(int), intervals - 1)
    t = position - first
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((samples, intervals + 3), np.float32)
    for offset, piece in enumerate(pieces):
        weights[np.arange(samples), first + offset] = piece / 6
    return weights
