"""The region in words: which zone of the recipe the graph's own map points at. Pure.

Zones are fractions of the scan inside its black borders, so that they lie over the same part of a film whether it is
tall or wide: preparation puts the borders around it to keep its aspect ratio.
Axes: h, w of the map; S rows and columns of the prepared pixels; Z zones; G points of a grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import Zone
from aidpost_device.quality import content_area

FLOOR = 1.0
"""Logits that the map must reach somewhere: a report draws nothing fainter in full colour either."""
INSIDE = 0.5
"""Share of the positive evidence that must lie in zones at all."""
CONCENTRATION = 1.5
"""How much more evidence a zone must hold than its share of the scan's area: less is spread evenly."""
LEAD = 1.1
"""How much more evidence a zone must hold than any other: of two that hold as much, one name would hide the other."""
_GRID = 128
"""Points a side at which map and zones are looked up."""


def name_region(
    heat: NDArray[np.floating],  # (h, w), logit scale
    zones: Sequence[Zone],
    pixels: NDArray[np.uint8],  # (S, S, C)
) -> str:
    """Name the zone that holds most of what raised the probability, or nothing where the map points nowhere.

    It points nowhere where it stays below `FLOOR`, where most of its positive evidence lies outside of all zones or on
    the black borders, where the evidence is spread evenly, and where two zones hold as much.
    """
    if not zones or float(heat.max()) < FLOOR:
        return ""
    rows, columns = content_area(pixels)
    if not rows.stop:
        return ""
    evidence = np.maximum(heat, 0.0).astype(np.float64)  # (h, w)
    held, shares, covered = _held(evidence, zones, _bounds(rows, len(pixels)), _bounds(columns, len(pixels)))
    best = int(np.argmax(held))
    others = np.delete(held, best)
    if covered < INSIDE or held[best] < LEAD * others.max(initial=0.0) or held[best] < CONCENTRATION * shares[best]:
        return ""
    return zones[best].name


def _bounds(part: slice, size: int) -> tuple[float, float]:
    return part.start / size, part.stop / size


def _held(
    evidence: NDArray[np.float64],  # (h, w), nowhere below 0, somewhere above
    zones: Sequence[Zone],
    rows: tuple[float, float],
    columns: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Give each zone's share of all evidence and of the scan's area, and the share of the evidence in any zone.

    (Z,), (Z,) in [0, 1]; a point where zones overlap counts for each of them.
    """
    points = (np.arange(_GRID) + 0.5) / _GRID  # fractions of the scan  # (G,)
    inside = np.stack(
        [
            np.outer((points > zone.top) & (points < zone.bottom), (points > zone.left) & (points < zone.right))
            for zone in zones
        ]
    )  # (Z, G, G)
    height, width = evidence.shape
    down = _cells(rows[0] + points * (rows[1] - rows[0]), height)
    across = _cells(columns[0] + points * (columns[1] - columns[0]), width)
    there = evidence[np.ix_(down, across)]  # (G, G)
    # A point stands for an equal part of the scan; what lies on the borders is in `total` only.
    area = (rows[1] - rows[0]) * (columns[1] - columns[0]) / _GRID**2
    total = evidence.mean() / area
    return (inside * there).sum((1, 2)) / total, inside.mean((1, 2)), float(there[inside.any(0)].sum() / total)


def _cells(places: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Cells of the map at places, fractions of the prepared image."""
    return np.minimum((places * count).astype(np.intp), count - 1)
