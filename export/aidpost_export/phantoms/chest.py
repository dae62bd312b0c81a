"""Chest phantoms: one person's film with or without consolidation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aidpost_export.phantoms.film import Detector, expose
from aidpost_export.phantoms.opacity import add_clothing, add_consolidations, add_devices, add_look_alikes
from aidpost_export.phantoms.thorax import Build, paint_thorax, sample_pose

AIR = np.float32(2.2)
"""Attenuation that one unit of aerated lung takes away."""


@dataclass(frozen=True)
class Technique:
    """How a hospital takes chest films."""

    rows: int
    columns: int
    detector: Detector
    care: float
    """1 for careful positioning; larger is less careful."""
    exposure_spread: float
    """Deviation of the exposure's natural logarithm."""
    devices: float
    """Share of films with leads or tubes on them."""
    clothing: float
    """Share of films taken through clothes."""


def chest_film(
    rng: np.random.Generator, build: Build, technique: Technique, *, anteroposterior: bool, strength: float
) -> NDArray[np.uint16]:
    """Take one film; `strength` is the density of consolidations, 0 for none.  # (H, W) uint16, dense bright"""
    chest = paint_thorax(build, sample_pose(rng, anteroposterior, technique.care), technique.rows, technique.columns)
    add_look_alikes(rng, chest)
    if strength:
        add_consolidations(rng, chest, strength)
    if rng.random() < technique.devices * (1.6 if anteroposterior else 0.5):
        add_devices(rng, chest)
    if rng.random() < technique.clothing:
        add_clothing(rng, chest)
    exposure = float(np.exp(rng.normal(0, technique.exposure_spread)))
    return expose(rng, chest.tissue - AIR * chest.air, technique.detector, exposure)
