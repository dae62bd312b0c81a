"""Single red cells of a Giemsa-stained thin smear, with or without a ring of a parasite."""

from __future__ import annotations

import numpy as np

from aidpost_export.phantoms.colour import Image, finish, flat, lay, ragged_disc
from aidpost_export.phantoms.field import Field, blob, grid, smooth_noise, soft

PURPLE = (0.36, 0.16, 0.5)


def draw_cell(rng: np.random.Generator, label: str) -> Image:
    """Draw a cell that is `parasitised` or `uninfected`.  # (H, W, 3) uint8"""
    shape = (int(rng.integers(84, 112)), int(rng.integers(84, 112)))
    x, y = grid(*shape)
    tint = rng.normal(0, 0.04, 3)
    image = flat(shape, np.array((0.93, 0.9, 0.9)) + tint)
    edge = np.float32(0.05) * smooth_noise(rng, shape, 3)
    cell = ragged_disc(x, y, 0, 0.5, rng.uniform(0.38, 0.44), edge, 0.03)
    pale = np.float32(rng.uniform(0.1, 0.45)) * blob(x, y, rng.normal(0, 0.03), 0.5, 0.2, 0.2)
    lay(image, cell * (0.85 - pale + 0.06 * smooth_noise(rng, shape, 12)), np.array((0.82, 0.55, 0.56)) + tint)
    if label == "parasitised":
        for _ in range(1 + int(rng.random() < 0.25)):
            _add_ring(rng, image, x, y)
    for _ in range(int(rng.poisson(0.5))):  # platelets and stain, which are no parasites
        left, top, size = rng.uniform(-0.4, 0.4), rng.uniform(0.1, 0.9), rng.uniform(0.02, 0.05)
        speck = blob(x, y, left, top, size, size * rng.uniform(0.7, 1.4))
        lay(image, np.float32(rng.uniform(0.3, 0.8)) * speck, PURPLE)
    return finish(rng, np.clip(image * rng.uniform(0.85, 1.08), 0, 1), 0.02)


def _add_ring(rng: np.random.Generator, image: Field, x: Field, y: Field) -> None:
    turn, far, size = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.24), rng.uniform(0.05, 0.1)
    left, top = far * np.cos(turn), 0.5 + far * np.sin(turn)
    distance = np.sqrt((x - np.float32(left)) ** 2 + (y - np.float32(top)) ** 2)
    ring = soft(0.016 - np.abs(distance - np.float32(size)), 0.02)
    dot = rng.uniform(0, 2 * np.pi)
    chromatin = blob(x, y, left + size * np.cos(dot), top + size * np.sin(dot), 0.025, 0.025)
    strength = np.float32(rng.uniform(0.35, 0.85))
    lay(image, strength * np.clip(0.8 * ring + chromatin, 0, 1), PURPLE)
