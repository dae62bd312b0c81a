"""Golden vectors: what each variant must give for a few known files, checked at install and at every start."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import Manifest
from aidpost_device.bundle.variant import Tolerance, Variant
from aidpost_device.bundle.verify import VerifiedBundle
from aidpost_device.engine import Engine, Prediction, Target, output_shapes
from aidpost_device.errors import EngineError, GoldenError, ManifestError, ScanError, TargetError

Prepare = Callable[[str, bytes], NDArray[np.uint8]]
"""Decodes and prepares one encoded file: name, content → (H, W, C)."""
GREY_LEVELS = 2
"""How far a prepared pixel may lie from the expected one: rounding differs, what a decoder does must not.

A graph alone would not tell: the tolerance that INT8 arithmetic needs lets a picture pass that moved by a pixel.
"""
_FLOAT = np.dtype("<f4")
_REPORT = "Do not screen with this box. Report this message with the box's type; another bundle may work."


def open_engine(
    bundle: VerifiedBundle, target: Target, prepare: Prepare, *, prefer: str | None = None, threads: int = 1
) -> Engine:
    """Open the first of the target's variants that gives the golden outputs, `prefer` before the others.

    Raises `GoldenError` when none does, `TargetError` when the bundle is not for this target.
    """
    return next(accepted_engines(bundle, target, prepare, prefer=prefer, threads=threads))


def accepted_engines(
    bundle: VerifiedBundle,
    target: Target,
    prepare: Prepare,
    *,
    prefer: str | None = None,
    threads: int = 1,
    probe: bool = False,
) -> Iterator[Engine]:
    """Yield the target's variants that give the golden outputs; `probe` runs blank images too.

    Raises `GoldenError` at the end when there was none, `TargetError` when the bundle is not for this target.
    """
    manifest = bundle.manifest
    order = sorted(_order(manifest, target), key=lambda name: name != prefer)
    inputs = _prepare_inputs(bundle, prepare)
    refusals: list[str] = []
    for name in order:
        try:
            engine = Engine.load(bundle, name, threads=threads)
            if probe:
                engine.probe()
            refusal = _refusal(bundle, engine, inputs)
        except EngineError as error:
            refusal = str(error)
        if refusal is None:
            yield engine
        else:
            refusals.append(refusal)
    if len(refusals) == len(order):
        raise GoldenError(
            f"No variant of {manifest.name} {manifest.version} works as it must on this machine. " + " ".join(refusals),
            _REPORT,
        )


def difference(found: Prediction, expected: Prediction, tolerance: Tolerance) -> str | None:
    """Say which output lies farther from the expected one than the tolerance allows, or give None."""
    allowed: dict[str, float | NDArray[np.float32]] = {
        "probability": tolerance.probability,
        "map": tolerance.map * _span(expected.map),
        "embedding": tolerance.embedding * _span(expected.embedding),
    }
    for name in ("distance", "quality"):
        if (wanted := getattr(expected, name)) is not None:
            allowed[name] = tolerance.detectors * np.maximum(np.abs(wanted), 1.0)
    for name, limit in allowed.items():
        gap = np.abs(getattr(found, name) - getattr(expected, name))
        if not (gap <= limit).all():
            worst = np.unravel_index(np.argmax(gap - limit), gap.shape)
            bound = np.broadcast_to(limit, gap.shape)[worst]
            return f"{name} differs by {gap[worst]:.3g} where {bound:.3g} is allowed"
    return None


def serialise(prediction: Prediction) -> bytes:
    """Write the golden outputs of one image: float32 little-endian, in the order of `Prediction`."""
    parts = [part for field in fields(prediction) if (part := getattr(prediction, field.name)) is not None]
    if any(len(part) != 1 for part in parts):
        raise ValueError("golden outputs are those of one image")
    return b"".join(part.astype(_FLOAT).tobytes() for part in parts)


def compress_pixels(pixels: NDArray[np.uint8]) -> bytes:  # (H, W, C)
    """Write the prepared pixels of one golden input."""
    return zlib.compress(pixels.tobytes(), 9)


def expand_pixels(content: bytes, shape: tuple[int, ...], file: str) -> NDArray[np.uint8]:  # shape
    """Read the prepared pixels of one golden input. Raises `ManifestError` when they do not fill the shape."""
    size = int(np.prod(shape))
    try:
        values = zlib.decompressobj().decompress(content, size + 1)  # one more than allowed: never a flood of them
    except zlib.error:
        values = b""
    if len(values) != size:
        raise ManifestError(
            f"The golden pixels {file} do not fill {' x '.join(map(str, shape))} values.",
            "Ask the workstation to pack the bundle again.",
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def parse(content: bytes, manifest: Manifest, file: str) -> Prediction:
    """Read the golden outputs of one image. Raises `ManifestError` when they do not fit the declared shapes."""
    shapes = output_shapes(manifest, 1)
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    values = np.frombuffer(content, _FLOAT) if len(content) % _FLOAT.itemsize == 0 else np.empty(0, _FLOAT)
    if len(values) != sum(sizes) or not np.isfinite(values).all():
        raise ManifestError(
            f"The golden outputs {file} have {len(content)} bytes; {4 * sum(sizes)} of finite numbers are needed.",
            "Ask the workstation to pack the bundle again.",
        )
    parts = np.split(values.astype(np.float32), np.cumsum(sizes)[:-1])
    return Prediction(**{name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)})


def _order(manifest: Manifest, target: Target) -> tuple[str, ...]:
    """Give the target's variants, most wanted first."""
    order = manifest.targets.get(target)
    if not order:
        raise TargetError(
            f"Bundle {manifest.name} {manifest.version} is made for {', '.join(manifest.targets)}, not {target}.",
            f"Ask the workstation to pack it with --target {target}.",
        )
    return order


def _prepare_inputs(bundle: VerifiedBundle, prepare: Prepare) -> dict[str, NDArray[np.uint8]]:
    """Decode and prepare every golden input once, and see that it gives the pixels it must; all variants see these."""
    prepared = {}
    for vector in bundle.manifest.golden:
        try:
            pixels = prepare(vector.file, bundle.members[vector.file])  # (H, W, C)
        except ScanError as error:
            raise GoldenError(
                f"The golden input {vector.file} cannot be decoded on this machine: {error}",
                f"The decoder {vector.decoder} is missing or broken: install the program again.",
            ) from error
        expected = expand_pixels(bundle.members[vector.pixels], pixels.shape, vector.pixels)
        gap = int(np.abs(pixels.astype(np.int16) - expected).max())
        if gap > GREY_LEVELS:
            raise GoldenError(
                f"The golden input {vector.file} is prepared with pixels that are up to {gap} grey levels off; "
                f"{GREY_LEVELS} are allowed.",
                f"The decoder {vector.decoder} works differently on this machine: install the program again.",
            )
        prepared[vector.name] = pixels[None]
    return prepared


def _refusal(bundle: VerifiedBundle, engine: Engine, inputs: dict[str, NDArray[np.uint8]]) -> str | None:
    """Run one variant on the golden inputs; say why it is refused, or give None."""
    variant: Variant = engine.variant
    for name, pixels in inputs.items():
        file = variant.golden[name]
        expected = parse(bundle.members[file], bundle.manifest, file)
        if gap := difference(engine.run(pixels), expected, variant.tolerance):
            return f"Variant {variant.name} on golden input {name}: {gap}."
    return None


def _span(values: NDArray[np.float32]) -> float:
    """Give the range of an output; for a constant one its size, so that rounding alone cannot refuse it."""
    return float(np.ptp(values)) or float(np.abs(values).max()) or 1.0
