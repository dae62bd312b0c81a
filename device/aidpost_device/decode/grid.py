"""Reduces stored values by whole numbers, by the mean of boxes: exact in integers, so the same on every machine.

Axes: H rows, W columns; h and w after reduction. The last box of an axis may be smaller than the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_device.decode.image import Pixels

_LARGEST_FACTOR = 256
"""Sums of 16-bit values over a box of this side still fit into 32 bits."""


def reduction_factor(side: int, size: int) -> int:
    """Return by how much a grid may be reduced so that its shorter side keeps at least `size` pixels."""
    return max(1, min(side // size, _LARGEST_FACTOR))


def box_mean(values: Pixels, factor: int) -> NDArray[np.float32]:  # (H, W) → (h, w)
    """Return the mean of each `factor` x `factor` box."""
    if factor == 1:
        return values.astype(np.float32)
    counts = np.multiply.outer(*(_lengths(side, factor) for side in values.shape))
    return (box_sum(values, factor) / counts).astype(np.float32)


def box_mean_where(values: Pixels, valid: NDArray[np.bool_], factor: int) -> NDArray[np.float32]:  # (H, W) → (h, w)
    """Return the mean of each box's valid values, NaN where a box has none."""
    sums = box_sum(np.where(valid, values, values.dtype.type(0)), factor)
    counts = box_sum(valid, factor)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)


def box_sum(values: Pixels, factor: int) -> Pixels:  # (H, W) → (h, w)
    """Return the sum of each box: in 32-bit integers up to 16 bits, beyond in double precision."""
    rows = values[::factor].astype(_accumulator(values.dtype))  # (h, W)
    for offset in range(1, min(factor, len(values))):
        part = values[offset::factor]
        rows[: len(part)] += part
    sums = rows[:, ::factor].copy()  # (h, w)
    for offset in range(1, min(factor, values.shape[1])):
        columns = rows[:, offset::factor]
        sums[:, : columns.shape[1]] += columns
    return sums


def _accumulator(stored: np.dtype[np.generic]) -> type[np.generic]:
    if stored.itemsize > 2 or stored.kind == "f":
        return np.float64
    return np.int32 if stored.kind == "i" else np.uint32


def _lengths(side: int, factor: int) -> NDArray[np.int64]:
    """Pixels in each box along one axis."""
    starts = np.arange(0, side, factor)
    return np.minimum(factor, side - starts)
