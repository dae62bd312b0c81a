"""Golden vectors: what each variant must give for the golden inputs, computed as a box computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.bundle.variant import GoldenInput, Tolerance
from aidpost_device.engine import Prediction
from aidpost_device.golden import compress_pixels, serialise
from aidpost_device.prepare import prepare_bytes
from aidpost_export.golden_inputs import golden_inputs
from aidpost_export.scoring import open_session, score

FLOAT_TOLERANCE = Tolerance(probability=1e-3, map=1e-3, embedding=1e-3)
"""Another processor adds in another order: about 1e-5 from x86 to Arm. A grey level off in a few pixels fits in too."""
LEAST = Tolerance(probability=0.03, map=0.05, embedding=0.05, detectors=0.03)
"""Smallest tolerance of an INT8 graph."""
MOST = Tolerance(probability=0.1, map=0.3, embedding=0.1, detectors=0.1)
"""Largest tolerance of an INT8 graph. What really goes wrong (sums that overflow, another layout) is far outside."""
MARGIN = 2.0
"""Tolerance of an INT8 graph over the gap between two right ways to compute it here."""


@dataclass(frozen=True)
class GoldenVectors:
    """The golden inputs as they go into the bundle, and their pixels."""

    inputs: tuple[GoldenInput, ...]
    files: Mapping[str, bytes]
    """Member → encoded file, or prepared pixels."""
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
    example: Prediction
    """The first of them; every graph's have its shapes."""


def golden_vectors(spec: ImageInput) -> GoldenVectors:
    """Encode the golden inputs for this input and prepare them."""
    inputs, pixels = [], []
    files: dict[str, bytes] = {}
    for encoded in golden_inputs(spec):
        member = f"golden/{encoded.name}.{encoded.suffix}"
        prepared = prepare_bytes(member, encoded.content, spec)
        expected = f"golden/{encoded.name}.pixels.z"
        inputs.append(GoldenInput(name=encoded.name, file=member, decoder=prepared.decoder, pixels=expected))
        files |= {member: encoded.content, expected: compress_pixels(prepared.pixels)}
        pixels.append(prepared.pixels)
    return GoldenVectors(tuple(inputs), files, np.stack(pixels))


def golden_outputs(variant: str, graph: bytes, vectors: GoldenVectors, *, int8: bool) -> GoldenOutputs:
    """Run one variant on the golden inputs, one at a time as the box does."""
    found = _run_each(graph, vectors.pixels, fused=True)
    members = {one.name: f"golden/{one.name}.{variant}.f32" for one in vectors.inputs}
    files = {member: serialise(output) for member, output in zip(members.values(), found, strict=True)}
    tolerance = _int8_tolerance(found, _run_each(graph, vectors.pixels, fused=False)) if int8 else FLOAT_TOLERANCE
    return GoldenOutputs(members, files, tolerance, found[0])


def _int8_tolerance(found: Sequence[Prediction], unfused: Sequence[Prediction]) -> Tolerance:
    """Choose the tolerance by how far the integer kernels and the same operators one by one lie apart here.

    Both are right. They differ where a value lies on the edge between two levels, and from there on downstream; the
    kernels of an Arm processor lie as far from those of x86.
    """
    pairs = list(zip(found, unfused, strict=True))

    def limit(name: str, gaps: Sequence[float]) -> float:
        least, most = float(getattr(LEAST, name)), float(getattr(MOST, name))
        return round(min(most, max(least, MARGIN * max(gaps, default=0.0))), 3)

    def gaps(name: str, *, relative: bool) -> list[float]:
        return [_gap(getattr(a, name), getattr(b, name), relative=relative) for a, b in pairs]

    return Tolerance(
        probability=limit("probability", gaps("probability", relative=False)),
        map=limit("map", gaps("map", relative=True)),
        embedding=limit("embedding", gaps("embedding", relative=True)),
        detectors=limit("detectors", [gap for a, b in pairs for gap in _detector_gaps(a, b)]),
    )


def _detector_gaps(a: Prediction, b: Prediction) -> list[float]:
    """Largest differences of distance and quality, as the box measures them: fractions of at least 1."""
    both = [(a.distance, b.distance), (a.quality, b.quality)]
    return [
        float((np.abs(x - y) / np.maximum(np.abs(x), 1.0)).max()) for x, y in both if x is not None and y is not None
    ]


def _run_each(graph: bytes, pixels: NDArray[np.uint8], *, fused: bool) -> list[Prediction]:
    session = open_session(graph, fused=fused)
    return [score(session, pixels, np.array([i])) for i in range(len(pixels))]


def _gap(a: NDArray[np.float32], b: NDArray[np.float32], *, relative: bool) -> float:
    """Largest difference, as it is or as a fraction of the range of `a`."""
    return float(np.abs(a - b).max()) / ((float(np.ptp(a)) or 1.0) if relative else 1.0)
