"""Radiographs of a forearm or a lower leg, with a fracture or without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_export.phantoms.field import Field, grid, smooth_noise, soft


def draw_limb(rng: np.random.Generator, label: str) -> NDArray[np.uint16]:
    """Draw two long bones; one has a `fracture`, or both are `normal`.  # (H, W) uint16, 12 bits"""
    shape = (360, 240)
    x, y = grid(*shape)
    turn = np.float32(rng.normal(0, 0.12))
    x = x - turn * (y - np.float32(0.5)) + np.float32(0.006) * smooth_noise(rng, shape, 3)
    image = np.float32(rng.uniform(0.25, 0.4)) * soft(rng.uniform(0.2, 0.26) - np.abs(x), 0.05)
    broken = int(rng.integers(2)) if label == "fracture" else -1
    for number, middle in enumerate((-0.08, 0.075)):
        image = image + _bone(rng, x - np.float32(middle + rng.normal(0, 0.008)), y, broken=number == broken)
    image *= 1 + 0.06 * smooth_noise(rng, shape, 40)
    for _ in range(int(rng.poisson(0.8))):  # a vessel's canal, which is no fracture: along the bone
        left, top = np.float32(rng.choice((-0.08, 0.075))), np.float32(rng.uniform(0.2, 0.8))
        image -= 0.1 * soft(0.004 - np.abs(x - left - 0.15 * (y - top)), 0.004) * soft(0.04 - np.abs(y - top), 0.02)
    noisy = np.clip(image + 0.02 * rng.standard_normal(shape, np.float32), 0, 1.2) / 1.2
    stored: NDArray[np.uint16] = (noisy * 4095).astype(np.uint16)
    return stored


def _bone(rng: np.random.Generator, x: Field, y: Field, *, broken: bool) -> Field:
    """One shaft that widens to its ends: a dense cortex round a lighter marrow."""
    half = np.float32(rng.uniform(0.03, 0.042)) * (1 + 1.2 * (2 * np.abs(y - np.float32(0.5))) ** 4)
    gap = np.zeros_like(y)
    if broken:
        top, slope = np.float32(rng.uniform(0.2, 0.8)), np.float32(rng.normal(0, 0.5))
        line = y - top - slope * x + np.float32(0.006) * smooth_noise(rng, y.shape, 30)
        x = x + np.float32(rng.choice((-1, 1)) * rng.uniform(0.002, 0.02)) * soft(line, 0.004)  # the ends are displaced
        gap = np.float32(rng.uniform(0.3, 0.8)) * soft(rng.uniform(0.002, 0.006) - np.abs(line), 0.005)
    across = np.abs(x) / half
    cortex = soft(1 - across, 0.12) * (0.3 + 0.35 * np.clip(across, 0, 1) ** 4)
    return np.asarray(cortex * (1 - gap))
