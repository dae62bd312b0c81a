"""The record of a run's device graphs: what was made for each target, what was refused and why.

device/TARGET/variants.json   the target's variants, most wanted first, and every candidate that was tried
device/VARIANT.onnx           a graph; targets share it
device/VARIANT.logits.npy     an INT8 graph's logits on all cases  (N, K) float32
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from aidpost_device.bundle.variant import Distance, FindingNumbers, QualityCheck, Quantisation
from aidpost_device.durable import write_durably
from aidpost_device.engine import Target
from aidpost_export.adopted import ADOPTED
from aidpost_export.errors import RunError
from aidpost_export.quantise import Method, Scheme
from aidpost_export.run import RunFolder
from aidpost_export.sensitivity_gate import SensitivityChange

FLOAT = "float32"
"""Name of the float variant."""
MAKING = b"2"
"""Version of the way graphs are made. Those of another one are out of date. 2: with detectors."""
TARGETS: tuple[Target, ...] = get_args(Target)
SCHEMES: dict[Target, Scheme | None] = {"x86": "u8s8", "pi4": "s8s8", "pi5": "s8s8", "jetson": None}
"""INT8 scheme of each target; None where the float graph is the only one."""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part of `variants.json`."""


class VariantRecord(Section, frozen=True, kw_only=True):
    """One accepted graph with the numbers that belong to it."""

    name: str
    precision: Literal["float32", "int8"]
    sha256: str
    """Digest of the graph file."""
    quantisation: Quantisation | None
    findings: dict[str, FindingNumbers]
    distance: Distance | None = None
    """None where the graph does not measure it."""
    quality: tuple[QualityCheck, ...] = ()
    missing: tuple[str, ...] = ()
    """Detectors that the recipe asks for and this graph lacks, and why."""


class Attempt(Section, frozen=True, kw_only=True):
    """One candidate for the INT8 graph."""

    name: str
    """The variant it would have been."""
    calibration: Method
    float_stages: int
    """Stages of the backbone, from the input, that stayed in float."""
    auroc_change: float
    """AUROC on the calibration cases minus that of the float graph; the worst finding's."""
    flips: float
    """Fraction of verdicts on the calibration cases that differ from the float graph's; the worst finding's."""
    speed: float | None
    """Float latency over this graph's; None where it was not timed here."""
    sensitivity: tuple[SensitivityChange, ...] = ()
    """What it changed in those with a finding that refers, over all and in each group; where judged, and where not."""
    refusals: tuple[str, ...]
    """Why it was refused, in words; empty for the one that ships."""


class TargetVariants(Section, frozen=True, kw_only=True):
    """Everything that was made for one target."""

    target: Target
    inputs_sha256: str
    """Digest of the run's files that the graphs were made from; graphs of other files are out of date."""
    note: str
    """What a reader must know of this target; empty when there is nothing."""
    variants: tuple[VariantRecord, ...]
    """Most wanted first; the float graph is always among them."""
    attempts: tuple[Attempt, ...]


def inputs_digest(run: RunFolder) -> str:
    """Digest of what the graphs are made from: weights, outputs, cases, recipe, the programme adopted, and the way."""
    digest = hashlib.sha256(MAKING)
    for name in ("model.safetensors", "network.json", "logits.npy", "cases.csv", "recipe.toml"):
        digest.update(hashlib.sha256(run.file(name, "adapt").read_bytes()).digest())
    if (run.path / ADOPTED).is_file():  # a run without one keeps the digest it had
        digest.update(hashlib.sha256((run.path / ADOPTED).read_bytes()).digest())
    return digest.hexdigest()


def graph_file(run: RunFolder, variant: str) -> Path:
    """Path of a variant's graph."""
    return run.path / "device" / f"{variant}.onnx"


def write_graph(run: RunFolder, variant: str, graph: bytes) -> None:
    """Keep a variant's graph."""
    graph_file(run, variant).parent.mkdir(exist_ok=True)
    write_durably(graph_file(run, variant), graph)


def write_logits(run: RunFolder, variant: str, logits: NDArray[np.float32]) -> None:  # (N, K)
    """Keep an INT8 variant's logits on all cases."""
    buffer = io.BytesIO()
    np.save(buffer, logits, allow_pickle=False)
    write_durably(run.path / "device" / f"{variant}.logits.npy", buffer.getvalue())


def read_logits(run: RunFolder, variant: str) -> NDArray[np.float32]:  # (N, K)
    """Logits of a variant on all cases; the float graph's are the network's own."""
    if variant == FLOAT:
        return run.logits()
    array: NDArray[np.float32] = np.load(run.file(f"device/{variant}.logits.npy", "quantize"), allow_pickle=False)
    return array


def write_variants(run: RunFolder, made: TargetVariants) -> None:
    """Keep what was made for a target; written last, so that what it names is there."""
    (run.path / "device" / made.target).mkdir(parents=True, exist_ok=True)
    run.write_json(f"device/{made.target}/variants.json", made)


def read_variants(run: RunFolder) -> dict[Target, TargetVariants]:
    """What was made of this run, by target; what is out of date or damaged is left out, to be made again."""
    current = inputs_digest(run)
    found: dict[Target, TargetVariants] = {}
    for target in TARGETS:
        path = run.path / "device" / target / "variants.json"
        if path.is_file():
            try:
                made = msgspec.json.decode(path.read_bytes(), type=TargetVariants)
            except msgspec.DecodeError:
                continue  # of another version of the program
            if made.inputs_sha256 == current and all(_is_whole(run, one) for one in made.variants):
                found[target] = made
    return found


def read_graph(run: RunFolder, variant: VariantRecord) -> bytes:
    """A variant's graph. Raises `RunError` when the file is another than the one that was judged."""
    graph = run.file(f"device/{variant.name}.onnx", "quantize").read_bytes()
    if hashlib.sha256(graph).hexdigest() != variant.sha256:
        raise RunError(
            f"{graph_file(run, variant.name)} is not the graph that was judged.",
            "Run `aidpost export quantize` on this run again.",
        )
    return graph


def _is_whole(run: RunFolder, variant: VariantRecord) -> bool:
    path = graph_file(run, variant.name)
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == variant.sha256
