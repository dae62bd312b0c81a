"""Axial slices of brain MRI, with a tumour or without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_export.phantoms.field import Field, grid, smooth_noise, soft


def draw_brain(rng: np.random.Generator, label: str) -> NDArray[np.uint16]:
    """Draw a slice with a `tumour` or a `normal` one.  # (H, W) uint16, 12 bits"""
    shape = (256, 224)
    x, y = grid(*shape)
    wide, long = rng.uniform(0.3, 0.34), rng.uniform(0.4, 0.44)
    y = y - np.float32(0.5 + rng.normal(0, 0.01))
    radius = np.sqrt((x / np.float32(wide)) ** 2 + (y / np.float32(long)) ** 2) + 0.015 * smooth_noise(rng, shape, 4)
    scalp = soft(0.07 - np.abs(radius - 1.08), 0.05)
    brain = soft(0.94 - radius, 0.03)
    folds = np.abs(smooth_noise(rng, shape, 17))
    ridges = 0.12 * soft(0.5 - folds, 0.6) * soft(radius - 0.55, 0.3)
    furrows = 0.25 * soft(0.16 - folds, 0.2) * soft(radius - 0.6, 0.2)
    image: Field = 0.75 * scalp + brain * (0.5 + ridges - furrows) - 0.3 * brain * soft(0.008 - np.abs(x), 0.012)
    image -= 0.32 * brain * _ventricles(rng, x, y)
    if label == "tumour":
        image = _add_tumour(rng, image, brain, x, y, wide, long)
    image *= 1 + 0.08 * smooth_noise(rng, shape, 2)
    real, imaginary = 0.02 * rng.standard_normal((2, *shape), np.float32)
    noisy = np.hypot(image + real, imaginary)  # Rician, as the magnitude of a complex signal is
    stored: NDArray[np.uint16] = np.clip(noisy * rng.uniform(1500, 3500), 0, 4095).astype(np.uint16)
    return stored


def _ventricles(rng: np.random.Generator, x: Field, y: Field) -> Field:
    size = rng.uniform(0.7, 1.3)
    side = np.abs(x) - np.float32(0.035)
    horns = np.sqrt((side / np.float32(0.022 * size)) ** 2 + ((y + np.float32(0.03)) / np.float32(0.11 * size)) ** 2)
    return soft(1 - horns, 0.6)


def _add_tumour(
    rng: np.random.Generator, image: Field, brain: Field, x: Field, y: Field, wide: float, long: float
) -> Field:
    turn, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.75)
    left, top = np.float32(far * wide * np.cos(turn)), np.float32(far * long * np.sin(turn))
    size = rng.uniform(0.03, 0.08)
    distance = np.sqrt((x - left) ** 2 + (y - top) ** 2) / np.float32(size) + 0.15 * smooth_noise(rng, x.shape, 8)
    swelling = brain * soft(2.0 - distance, 1.2)
    rim, core = brain * soft(0.3 - np.abs(distance - 0.9), 0.4), brain * soft(0.8 - distance, 0.4)
    bright = np.float32(rng.uniform(0.15, 0.4))
    return np.asarray(image - 0.12 * swelling + bright * rim + np.float32(rng.uniform(-0.2, 0.2)) * core)
