"""Golden vectors: what each variant must give for the golden inputs, computed as a box computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import GoldenInput, ImageInput, Tolerance
from aidpost_device.engine import Prediction
from aidpost_device.golden import serialise
from aidpost_device.prepare import prepare_bytes
from aidpost_export.golden_inputs import golden_inputs
from aidpost_export.scoring import open_session, score

FLOAT_TOLERANCE = Tolerance(probability=2e-3, map=2e-3, embedding=2e-3)
"""Other processors add in another order (about 1e-5) and may prepare a pixel one grey level off (below 1e-3)."""
INT8_FLOOR, INT8_CEILING = 0.02, 0.1
"""Smallest and largest tolerance of an INT8 graph."""
INT8_MARGIN = 3.0
"""Tolerance over the gap between two right ways to compute the same INT8 graph here."""


@dataclass(frozen=True)
class GoldenVectors:
    """The golden inputs as they go into the bundle, and their pixels."""

    inputs: tuple[GoldenInput, ...]
    files: Mapping[str, bytes]
    """Member → encoded file."""
    pixels: NDArray[np.uint8]
    """Prepared by the box's own function, in the order of `inputs`.  # (G, H, W, C)"""


@dataclass(frozen=True)
class GoldenOutputs:
    """What one variant gives for them."""

    members: Mapping[str, str]
    """Golden input's name → member with the outputs."""
    files: Mapping[str, bytes]
    """Member → outputs."""
    tolerance: Tolerance


def golden_vectors(spec: ImageInput) -> GoldenVectors:
    """Encode the golden inputs for this input and prepare them."""
    inputs, files, pixels = [], {}, []
    for encoded in golden_inputs(spec):
        member = f"golden/{encoded.name}.{encoded.suffix}"
        prepared = prepare_bytes(member, encoded.content, spec)
        inputs.append(GoldenInput(name=encoded.name, file=member, decoder=prepared.decoder))
        files[member] = encoded.content
        pixels.append(prepared.pixels)
    return GoldenVectors(tuple(inputs), files, np.stack(pixels))


def golden_outputs(variant: str, graph: bytes, vectors: GoldenVectors, *, int8: bool) -> GoldenOutputs:
    """Run one variant on the golden inputs, one at a time as the box does."""
    found = _run_each(graph, vectors.pixels, fused=True)
    members = {one.name: f"golden/{one.name}.{variant}.f32" for one in vectors.inputs}
    files = {member: serialise(output) for member, output in zip(members.values(), found, strict=True)}
    tolerance = FLOAT_TOLERANCE
    if int8:
        tolerance = _int8_tolerance(found, _run_each(graph, vectors.pixels, fused=False))
    return GoldenOutputs(members, files, tolerance)


def _int8_tolerance(found: Sequence[Prediction], unfused: Sequence[Prediction]) -> Tolerance:
    """Choose the tolerance by how far integer kernels and the same operators one by one lie apart here.

    Both round rightly, and differ where a value lies between two levels; from there the levels differ downstream.
    A kernel of another processor may differ as much. A broken one, such as one whose sums overflow, differs by more.
    """

    def limit(gaps: list[float]) -> float:
        return round(min(INT8_CEILING, max(INT8_FLOOR, INT8_MARGIN * max(gaps))), 4)

    pairs = list(zip(found, unfused, strict=True))
    return Tolerance(
        probability=limit([_gap(a.probability, b.probability) for a, b in pairs]),
        map=limit([_gap(a.map, b.map) / _span(a.map) for a, b in pairs]),
        embedding=limit([_gap(a.embedding, b.embedding) / _span(a.embedding) for a, b in pairs]),
    )


def _run_each(graph: bytes, pixels: NDArray[np.uint8], *, fused: bool) -> list[Prediction]:
    session = open_session(graph, fused=fused)
    return [score(session, pixels, np.array([i])) for i in range(len(pixels))]


def _gap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.abs(a - b).max())


def _span(values: NDArray[np.float32]) -> float:
    return float(np.ptp(values)) or 1.0
