"""Fundus photographs, with the spots and bleedings of referable retinopathy or without."""

from __future__ import annotations

import numpy as np

from aidpost_export.phantoms.colour import Colour, Image, finish, flat, lay
from aidpost_export.phantoms.field import Field, blob, grid, smooth_noise, soft

SIDE = 400
"""Pixels."""


def draw_fundus(rng: np.random.Generator, label: str) -> Image:
    """Draw a fundus that is `referable` or `not referable`.  # (H, W, 3) uint8"""
    shape = (SIDE, SIDE)
    x, y = grid(*shape)
    eye = rng.choice((-1.0, 1.0))
    disc_x, disc_y = float(eye * rng.normal(0.2, 0.02)), float(rng.normal(0.5, 0.02))
    image = flat(shape, np.array((0.62, 0.3, 0.14)) * rng.uniform(0.75, 1.25))
    image *= (1 + np.float32(0.07) * smooth_noise(rng, shape, 5))[..., None]
    lay(image, 0.45 * blob(x, y, -eye * 0.05, disc_y + 0.02, 0.09, 0.09), (0.35, 0.14, 0.07))
    lay(image, 0.8 * _vessels(rng, x - np.float32(disc_x), y - np.float32(disc_y)), (0.38, 0.08, 0.06))
    distance = np.sqrt((x - np.float32(disc_x)) ** 2 + ((y - np.float32(disc_y)) / 1.1) ** 2)
    lay(image, 0.85 * soft(0.06 - distance, 0.02), (0.95, 0.8, 0.5))
    referable = label == "referable"
    for _ in range(int(rng.integers(6, 26)) if referable else int(rng.poisson(1))):
        _add_spot(rng, image, x, y, rng.uniform(0.004, 0.018 if referable else 0.006), (0.32, 0.05, 0.04))
    for _ in range(int(rng.poisson(10)) if referable else 0):
        _add_spot(rng, image, x, y, rng.uniform(0.003, 0.009), (0.98, 0.88, 0.45))
    lay(image, 0.2 * blob(x, y, rng.uniform(-0.4, 0.4), rng.uniform(0.1, 0.9), 0.12, 0.12), (1, 0.9, 0.8))  # a reflex
    image *= soft(0.47 - np.sqrt(x * x + (y - np.float32(0.5)) ** 2), 0.02)[..., None]
    return finish(rng, image, 0.02)


def _vessels(rng: np.random.Generator, right: Field, down: Field) -> Field:
    """Vessels that leave the optic disc in arcs above and below."""
    radius = np.sqrt(right**2 + down**2)
    angle = np.arctan2(down, right) + np.float32(0.25) * smooth_noise(rng, right.shape, 6)
    ridges = smooth_noise(rng, (96, 384), 5, 26)
    lines = np.exp(-((ridges / np.float32(0.16)) ** 2))
    outward = np.clip(np.sqrt(radius) * 100, 0, 95).astype(np.intp)
    around = ((angle + np.float32(np.pi)) * np.float32(383 / (2 * np.pi))).astype(np.intp) % 384
    away = np.exp(-radius * 2.2)
    return np.asarray(lines[outward, around] * away * np.clip(np.abs(np.sin(angle)) + 0.2, 0, 1))


def _add_spot(
    rng: np.random.Generator,
    image: Field,
    x: Field,
    y: Field,
    size: float,
    colour: Colour,
) -> None:
    left, top = rng.normal(0, 0.17), rng.normal(0.5, 0.17)
    row, column, reach = int(top * SIDE), int((left + 0.5) * SIDE), int(4 * size * SIDE) + 3
    near = np.s_[max(0, row - reach) : max(0, row + reach), max(0, column - reach) : max(0, column + reach)]
    spot = blob(x[near], y[near], left, top, size, size * rng.uniform(0.6, 1.5))
    lay(image[near], np.clip(np.float32(rng.uniform(0.6, 1.3)) * spot, 0, 1), colour)
