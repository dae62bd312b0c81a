"""The engine: one ONNX Runtime session on one variant of a verified bundle. Axes: N images, H, W, C; K findings."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

# Before the import: otherwise the runtime writes a device id and a queue of events under the user's cache folder.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from aidpost_device.bundle.image_input import image_input
from aidpost_device.bundle.manifest import Manifest
from aidpost_device.bundle.variant import Variant
from aidpost_device.bundle.verify import VerifiedBundle
from aidpost_device.errors import EngineError, TargetError

Target = Literal["x86", "pi4", "pi5", "jetson"]

INPUT = "pixels"
"""Name of the graph's input, (N, H, W, C) uint8."""
OUTPUTS = ("probability", "map", "embedding")
"""Names of the outputs that every graph has; `output_shapes` adds those of one bundle's."""
ONNX_ONLY = ("session.load_model_format", "ONNX")
"""Session setting: otherwise bytes 4 to 7 may choose the runtime's own format, which the walk does not see."""
_ROUNDING = 1e-6
"""How far a float32 softmax may exceed 1 by rounding alone."""
_SUM = 1e-3
"""How far the probabilities of a softmax may be from summing to 1."""
_BOARDS: tuple[tuple[str, Target], ...] = (
    ("Raspberry Pi 5", "pi5"),
    ("Raspberry Pi Compute Module 5", "pi5"),
    ("Raspberry Pi 4", "pi4"),
    ("Raspberry Pi Compute Module 4", "pi4"),
    ("Jetson", "jetson"),
)
"""Words in the board's own name → target. A Pi 400 and a Pi 500 carry the same words."""
_ASK = "Ask the workstation to export the model again; report this message."


@dataclass(frozen=True)
class Prediction:
    """What the graph computed, checked."""

    probability: NDArray[np.float32]  # (N, K), in [0, 1]
    map: NDArray[np.float32]  # (N, K, map_height, map_width), logit scale
    embedding: NDArray[np.float32]  # (N, D)
    distance: NDArray[np.float32] | None = None  # (N,), not negative
    """None where the bundle's graphs do not measure it."""
    quality: NDArray[np.float32] | None = None  # (N, Q)
    """None where the bundle's graphs look for no faults."""


def output_shapes(manifest: Manifest, batch: int) -> dict[str, tuple[int, ...]]:
    """Give the outputs of a bundle's graphs in order, name → shape for a batch of N."""
    outputs, findings = manifest.outputs, len(manifest.findings)
    shapes: dict[str, tuple[int, ...]] = {
        "probability": (batch, findings),
        "map": (batch, findings, outputs.map_height, outputs.map_width),
        "embedding": (batch, outputs.embedding),
    }
    if outputs.distance:
        shapes["distance"] = (batch,)
    if outputs.quality:
        shapes["quality"] = (batch, len(outputs.quality))
    return shapes


class Engine:
    """Scores prepared pixels with one variant. `load` makes it; there is no score without it."""

    def __init__(self, session: onnxruntime.InferenceSession, manifest: Manifest, variant: Variant) -> None:
        self._session = session
        self._manifest = manifest
        self.spec = image_input(manifest)
        """The input this engine takes."""
        self.variant = variant
        """The variant with its numbers."""
        self.model_sha256 = manifest.members[variant.file].sha256
        """Digest of the graph file."""

    @classmethod
    def load(cls, bundle: VerifiedBundle, variant: str, *, threads: int = 1) -> Engine:
        """Open a session on a variant by name. Raises `EngineError`."""
        chosen = next((one for one in bundle.manifest.variants if one.name == variant), None)
        if chosen is None:
            raise EngineError(f"Bundle {bundle.manifest.name} has no variant {variant!r}.", _ASK)
        try:
            session = onnxruntime.InferenceSession(
                bundle.members[chosen.file], _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's exceptions have no base of their own
            raise EngineError(f"The runtime cannot load {chosen.file}: {error}", _ASK) from error
        engine = cls(session, bundle.manifest, chosen)
        engine._check_interface()
        return engine

    def run(self, pixels: NDArray[np.uint8]) -> Prediction:  # (N, H, W, C)
        """Score prepared pixels. Raises `EngineError` for a wrong shape and for outputs that cannot be true."""
        spec = self.spec
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (spec.size, spec.size, spec.channels):
            raise EngineError(
                f"The engine takes uint8 pixels (N, {spec.size}, {spec.size}, {spec.channels}), "
                f"not {pixels.dtype} {pixels.shape}.",
                "This is a fault of the program: report it.",
            )
        shapes = output_shapes(self._manifest, len(pixels))
        try:
            found = self._session.run(list(shapes), {INPUT: np.ascontiguousarray(pixels)})
        except Exception as error:  # the runtime's exceptions have no base of their own
            raise EngineError(f"Variant {self.variant.name} failed while it ran: {error}", _ASK) from error
        given = dict(zip(shapes, found, strict=True))
        checked = {name: self._checked(name, given[name], shape) for name, shape in shapes.items()}
        checked["probability"] = self._in_range(checked["probability"])
        if (distance := checked.get("distance")) is not None and distance.min(initial=0.0) < 0.0:
            raise self._bad(f"gave a negative distance ({distance.min():.4g})")
        return Prediction(**checked)

    def probe(self) -> None:
        """Run a batch of one black and one white image: what is constant must not break the graph."""
        spec = self.spec
        blank = np.zeros((2, spec.size, spec.size, spec.channels), np.uint8)  # (2, H, W, C)
        blank[1] = 255
        self.run(blank)

    def _checked(self, name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """See that an output is float32, has its declared shape, and holds only finite numbers."""
        if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.shape != shape:
            given = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise self._bad(f"gave {name} as {given} instead of float32 {shape}")
        if not np.isfinite(value).all():
            raise self._bad(f"gave {name} with {np.count_nonzero(~np.isfinite(value))} values that are not numbers")
        return value

    def _in_range(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:  # (N, K)
        low, high = float(probability.min(initial=0.0)), float(probability.max(initial=0.0))
        if low < 0.0 or high > 1.0 + _ROUNDING:
            raise self._bad(f"gave a probability outside 0 to 1 (from {low:.4g} to {high:.4g})")
        total = probability.sum(axis=1)
        if self._manifest.outputs.probability == "softmax" and (np.abs(total - 1.0) > _SUM).any():
            raise self._bad(f"gave probabilities that sum to {total[np.argmax(np.abs(total - 1.0))]:.4g} instead of 1")
        return np.minimum(probability, np.float32(1.0))

    def _check_interface(self) -> None:
        """See that the graph takes and gives what every bundle's graph does."""
        spec = self.spec
        inputs = self._session.get_inputs()
        if [(one.name, one.type) for one in inputs] != [(INPUT, "tensor(uint8)")]:
            raise self._bad(f"takes {[(one.name, one.type) for one in inputs]} instead of {INPUT}, uint8")
        shape = inputs[0].shape
        if len(shape) != 4 or isinstance(shape[0], int) or shape[1:] != [spec.size, spec.size, spec.channels]:
            raise self._bad(f"takes pixels of shape {shape} instead of (N, {spec.size}, {spec.size}, {spec.channels})")
        given, wanted = [one.name for one in self._session.get_outputs()], list(output_shapes(self._manifest, 1))
        if sorted(given) != sorted(wanted):
            raise self._bad(f"gives {given} instead of {wanted}")

    def _bad(self, message: str) -> EngineError:
        return EngineError(f"Variant {self.variant.name} of {self._manifest.name} {message}.", _ASK)


def host_target(
    environment: Mapping[str, str] = os.environ,
    machine: str | None = None,
    board: Path = Path("/proc/device-tree/model"),
) -> Target:
    """Name the target that this machine is; `$AIDPOST_TARGET` overrides it. Raises `TargetError` for an unknown one."""
    known = get_args(Target)
    if chosen := environment.get("AIDPOST_TARGET"):
        if chosen not in known:
            raise TargetError(f"AIDPOST_TARGET={chosen} is not a target.", f"Use one of: {', '.join(known)}.")
        return cast(Target, chosen)
    machine = machine or platform.machine()
    if machine in ("x86_64", "AMD64"):
        return "x86"
    name = board.read_bytes().decode("ascii", "replace").rstrip("\0\n") if board.exists() else "no board name"
    if machine in ("aarch64", "arm64"):
        for words, target in _BOARDS:
            if words in name:
                return target
    raise TargetError(
        f"This machine ({machine}, {name}) is none of {', '.join(known)}.",
        "Set AIDPOST_TARGET to the one that is closest; golden outputs are checked all the same.",
    )


def _options(threads: int) -> onnxruntime.SessionOptions:
    """Session options for a worker that shares a small machine with others."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; they are raised as well, warnings would only alarm people
    options.add_session_config_entry(*ONNX_ONLY)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
