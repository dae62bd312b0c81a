"""The region in words: the zone that the map points at, and silence where it points nowhere."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from aidpost_device.bundle.install import Installed, active_bundle
from aidpost_device.bundle.manifest import Zone
from aidpost_device.engine import Engine
from aidpost_device.home import Home
from aidpost_device.prepare import prepare_bytes
from aidpost_device.region import FLOOR, name_region
from aidpost_device.screening.screen import screen

from . import bundles, scans

CHEST = tuple(
    Zone(name=f"{side} {height}", left=left, right=left + 0.42, top=top, bottom=bottom)
    for height, top, bottom in (("upper", 0.1, 0.38), ("middle", 0.38, 0.6), ("lower", 0.6, 0.88))
    for side, left in (("right", 0.08), ("left", 0.5))
)
MIRRORED = {"right": "left", "left": "right"}
FULL = np.full((96, 96, 1), 200, np.uint8)
Heat = NDArray[np.float64]  # (h, w)


def framed(rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Prepared pixels of a film that fills this part; the rest is black border."""
    pixels = np.zeros_like(FULL)
    pixels[rows, columns] = 200
    return pixels


def spots(*places: tuple[int, int], value: float = 5.0, ground: float = -1.0, side: int = 12) -> Heat:
    """A map that points at some of its cells: (row, column)."""
    heat = np.full((side, side), ground)
    for place in places:
        heat[place] = value
    return heat


TALL, WIDE = framed(slice(0, 96), slice(24, 72)), framed(slice(24, 72), slice(0, 96))


@pytest.mark.parametrize(
    ("heat", "pixels", "name"),
    [
        (spots((2, 3)), FULL, "right upper"),
        (spots((2, 8)), FULL, "left upper"),
        (spots((5, 2)), FULL, "right middle"),
        (spots((8, 9)), FULL, "left lower"),
        (spots((8, 9), (9, 9), (2, 3)), FULL, "left lower"),
        (spots((2, 3), value=FLOOR), FULL, "right upper"),
        (spots((2, 3), value=0.99 * FLOOR), FULL, ""),
        (spots((2, 3), value=-0.1), FULL, ""),
        (np.full((12, 12), 5.0), FULL, ""),
        (spots((0, 0), (0, 11), (11, 0), (2, 3)), FULL, ""),
        (spots((8, 3), (8, 8)), FULL, ""),
        (spots((2, 3)), np.zeros_like(FULL), ""),
        # The same place of a tall film and of a wide one, each with its borders; and what lies on a border.
        (spots((2, 4)), TALL, "right upper"),
        (spots((5, 3)), TALL, "right middle"),
        (spots((5, 8)), TALL, "left middle"),
        (spots((5, 1)), TALL, ""),
        (spots((4, 3)), WIDE, "right upper"),
        (spots((1, 3)), WIDE, ""),
        (spots((7, 8)), WIDE, "left lower"),
    ],
)
def test_the_zone_that_holds_most_of_the_evidence_is_named(heat: Heat, pixels: NDArray[np.uint8], name: str) -> None:
    assert name_region(heat, CHEST, pixels) == name


def test_without_zones_nothing_is_named() -> None:
    assert name_region(spots((2, 3)), (), FULL) == ""


heats = st.integers(2, 14).flatmap(
    lambda side: arrays(np.float64, (side, side), elements=st.floats(-8, 8, width=16, allow_subnormal=False))
)
films = st.sampled_from([FULL, TALL, WIDE])


@given(heats, films, st.sampled_from([2.0, 8.0, 1024.0]))
def test_a_stronger_map_of_the_same_shape_names_the_same(heat: Heat, pixels: NDArray[np.uint8], factor: float) -> None:
    if heat.max() >= FLOOR:
        assert name_region(factor * heat, CHEST, pixels) == name_region(heat, CHEST, pixels)


@given(heats, films)
def test_the_mirrored_map_names_the_mirrored_zone(heat: Heat, pixels: NDArray[np.uint8]) -> None:
    side, _, height = name_region(heat, CHEST, pixels).partition(" ")
    expected = f"{MIRRORED[side]} {height}" if side else ""
    assert name_region(heat[:, ::-1], CHEST, pixels[:, ::-1]) == expected


@given(heats, films, st.floats(0.25, 8.0))
def test_what_lowers_the_probability_moves_no_name(heat: Heat, pixels: NDArray[np.uint8], depth: float) -> None:
    lower = np.where(heat < 0, depth * heat, heat)
    assert name_region(lower, CHEST, pixels) == name_region(heat, CHEST, pixels)


QUARTERS = tuple(
    Zone(name=f"{name} quarter", left=left, right=left + 0.5, top=top, bottom=top + 0.5)
    for name, left, top in (("first", 0.0, 0.0), ("second", 0.5, 0.0), ("third", 0.0, 0.5), ("fourth", 0.5, 0.5))
)


@pytest.mark.parametrize("shown", ["cam", "none"])
def test_readings_name_the_region_of_what_refers(
    trusting: Home, install_here: Callable[[bytes], Installed], tmp_path: Path, shown: str
) -> None:
    draft = scans.splitting(bundles.draft(bright=True))
    outputs = msgspec.structs.replace(draft.manifest.outputs, map=shown)
    install_here(draft.having(zones=QUARTERS, outputs=outputs).pack())
    for seed in range(16):
        scans.png(tmp_path / "in" / f"{seed}.png", seed)
    bundle = active_bundle(trusting)
    screen(trusting, bundle, [tmp_path / "in"], tmp_path / "out", workers=1)
    engine = Engine.load(bundle, "int8")
    named = 0
    with (tmp_path / "out" / "readings.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            pixels = prepare_bytes(row["path"], Path(row["path"]).read_bytes(), bundles.SPEC).pixels
            pointed = name_region(engine.run(pixels[None]).map[0, 0], QUARTERS, pixels)
            assert row["region"] == (pointed if row["decision"] == "REFER" and shown == "cam" else "")
            named += bool(row["region"])
    page = (tmp_path / "out" / "report.html").read_text()
    lines = (tmp_path / "out" / "readings.jsonl").read_text()
    assert page.count("where: <strong>") == named
    assert lines.count('quarter"') == named
    assert (named > 0) == (shown == "cam")
