"""Mammograms: a breast against the edge of the film, with a mass or without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_export.phantoms.field import grid, smooth_noise, soft


def draw_mammogram(rng: np.random.Generator, label: str, view: str) -> NDArray[np.uint16]:
    """Draw a `CC` or `MLO` view with a `mass` or with `no mass`.  # (H, W) uint16, 12 bits"""
    shape = (420, 320)
    x, y = grid(*shape)
    depth = x - x[0, 0]  # from the chest wall
    middle, high, deep = rng.normal(0.5, 0.03), rng.uniform(0.3, 0.42), rng.uniform(0.42, 0.62)
    radius = np.sqrt((depth / np.float32(deep)) ** 2 + ((y - np.float32(middle)) / np.float32(high)) ** 2)
    breast = soft(1 - radius, 0.06)
    dense = np.float32(rng.uniform(0.1, 0.5))
    gland = soft(0.85 - radius + 0.12 * smooth_noise(rng, shape, 4), 0.4)
    strands = sum(np.float32(0.5**k) * np.abs(smooth_noise(rng, shape, 6 * 2**k)) for k in range(4))
    image = breast * (0.25 + dense * gland * (0.35 + 0.45 * strands))
    if view == "MLO":
        image = image + 0.35 * soft(0.28 - depth - 0.6 * y, 0.05) * (1 + 0.1 * smooth_noise(rng, shape, 5))
    if label == "mass":
        left, top = np.float32(rng.uniform(0.12, 0.7) * deep), np.float32(middle + rng.uniform(-0.5, 0.5) * high)
        distance = np.sqrt((depth - left) ** 2 + (y - top) ** 2)
        angle = np.arctan2(y - top, depth - left)
        wavy = angle * int(rng.integers(7, 15)) + 3 * smooth_noise(rng, shape, 6)
        spikes = np.float32(rng.uniform(0, 0.25)) * np.cos(wavy)
        size = rng.uniform(0.025, 0.06)
        mass = soft(1 + spikes + 0.15 * smooth_noise(rng, shape, 14) - distance / np.float32(size), 0.7)
        image = image + np.float32(rng.uniform(0.14, 0.35)) * mass * breast
    if rng.random() < 0.5:
        image = image[:, ::-1]
    noisy = np.clip(image + 0.012 * rng.standard_normal(shape, np.float32), 0, 1.1) / 1.1
    stored: NDArray[np.uint16] = (noisy * 4095).astype(np.uint16)
    return stored
