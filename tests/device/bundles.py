"""Small real bundles: a graph of a few operators, golden outputs computed by ONNX Runtime, a real signature.

The graph is made like a shipped one: uint8 pixels in; probability, class-activation map and embedding out.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec
import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from aidpost_device import golden
from aidpost_device.bundle import assemble, signature
from aidpost_device.bundle.manifest import (
    SCHEMA,
    Counts,
    Finding,
    ImageInput,
    Manifest,
    Outputs,
    Provenance,
    serialise_manifest,
)
from aidpost_device.bundle.trust import Key, Trust
from aidpost_device.bundle.variant import (
    Distance,
    Estimate,
    FindingNumbers,
    GoldenInput,
    OperatingPoint,
    QualityCheck,
    Quantisation,
    Tolerance,
    Variant,
)
from aidpost_device.engine import OUTPUTS, Prediction
from aidpost_device.quality import MEASURES

SIZE = 32
CHANNELS: Literal[1, 3] = 1
WIDTH = 4  # length of the embedding
CELLS = 4  # rows and columns of the map
SPEC = ImageInput(size=SIZE, channels=CHANNELS)
ROOT = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)


def key(private_key: Ed25519PrivateKey, comment: str = "") -> Key:
    """The public half of a key, as trust holds it."""
    return Key(public=signature.public_bytes(private_key), comment=comment)


TRUST = Trust(root=key(ROOT, "the workstation"))


def prepare(name: str, data: bytes, spec: ImageInput = SPEC) -> NDArray[np.uint8]:
    """Decode a golden input, which has its final size already."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image, np.uint8)[..., None]  # (H, W, 1)


def graph(
    findings: int = 1,
    *,
    int8: bool = False,
    seed: int = 0,
    softmax: bool = False,
    detectors: bool = False,
    faults: int = 0,
    bright: bool = False,
) -> onnx.ModelProto:
    """A graph from pixels to the outputs; `int8` stores the first weights quantised.

    With `detectors` it measures the distance, which is the embedding's squared length, and the first `faults` parts of
    the embedding as quality scores. With `bright` what is brighter than mid grey raises the probability.
    """
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(WIDTH, CHANNELS, 1, 1)).astype(np.float32)
    constants = {
        "scale": np.float32(1 / 255),
        "stem": weights,
        "stem.bias": rng.normal(size=WIDTH).astype(np.float32),
        "head": rng.normal(size=(findings, WIDTH, 1, 1)).astype(np.float32),
        "bias": rng.normal(size=findings).astype(np.float32),
        "cells": np.array([2, 3], np.int64),
    }
    if bright:
        weights[:], constants["stem.bias"][:] = 1, -0.5
        constants["head"][:], constants["bias"][:] = 5, -2
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "stem", "stem.bias"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["features"]),
        helper.make_node(
            "AveragePool", ["features"], ["pooled"], kernel_shape=[SIZE // CELLS] * 2, strides=[SIZE // CELLS] * 2
        ),
        helper.make_node("ReduceMean", ["pooled", "cells"], ["embedding"], keepdims=0),
        helper.make_node("Conv", ["pooled", "head"], ["map"]),
        helper.make_node("ReduceMean", ["map", "cells"], ["evidence"], keepdims=0),
        helper.make_node("Add", ["evidence", "bias"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Sigmoid", ["logits"], ["probability"]),
    ]
    if int8:
        step = np.float32(np.abs(weights).max() / 127)
        constants["stem.int8"] = np.round(weights / step).astype(np.int8)
        constants["stem.step"] = step
        del constants["stem"]
        nodes.insert(0, helper.make_node("DequantizeLinear", ["stem.int8", "stem.step"], ["stem"]))
    outputs = [
        helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", findings]),
        helper.make_tensor_value_info("map", TensorProto.FLOAT, ["N", findings, CELLS, CELLS]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", WIDTH]),
    ]
    if detectors:
        constants["last"] = np.array([1], np.int64)
        nodes.append(helper.make_node("ReduceSumSquare", ["embedding", "last"], ["distance"], keepdims=0))
        outputs.append(helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["N"]))
    if faults:
        constants |= {"from": np.array([0], np.int64), "to": np.array([faults], np.int64), "axis": np.array([1])}
        nodes.append(helper.make_node("Slice", ["embedding", "from", "to", "axis"], ["quality"]))
        outputs.append(helper.make_tensor_value_info("quality", TensorProto.FLOAT, ["N", faults]))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", SIZE, SIZE, CHANNELS])
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    body = helper.make_graph(nodes, "toy", [pixels], outputs, tensors)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def golden_image(seed: int) -> bytes:
    """An encoded synthetic image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def outputs_of(model: bytes, pixels: NDArray[np.uint8]) -> Prediction:  # pixels (1, H, W, C)
    """What ONNX Runtime gives, asked directly and not through the engine."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    assert names[: len(OUTPUTS)] == list(OUTPUTS)
    return Prediction(**dict(zip(names, session.run(names, {"pixels": pixels}), strict=True)))


@dataclass(frozen=True)
class Draft:
    """A bundle's parts, open to change before they are sealed."""

    manifest: Manifest
    members: Mapping[str, bytes]
    private_key: Ed25519PrivateKey = field(default=ROOT, repr=False)

    def pack(self) -> bytes:
        """Assemble the bundle as the workstation does, with its checks."""
        return assemble.assemble(self.manifest, self.members, self.private_key)

    def seal(self, manifest: bytes | None = None) -> bytes:
        """Sign and write the bundle as it stands, good or bad."""
        return assemble.seal(manifest or self.manifest_bytes(), self.members, self.private_key)

    def manifest_bytes(self) -> bytes:
        """The manifest with its members listed."""
        return serialise_manifest(assemble.list_members(self.manifest, self.members))

    def having(self, **changes: object) -> Draft:
        """The same bundle with other values in the manifest's first level."""
        return replace(self, manifest=msgspec.structs.replace(self.manifest, **changes))

    def holding(self, name: str, content: bytes) -> Draft:
        """The same bundle with another content of one member."""
        return replace(self, members={**self.members, name: content})

    def with_model(self, model: onnx.ModelProto | bytes, file: str = "model.onnx") -> Draft:
        """The same bundle with another graph; its golden outputs stay what they were."""
        return self.holding(file, model if isinstance(model, bytes) else model.SerializeToString())


def numbers(threshold: float = 0.5) -> FindingNumbers:
    """The numbers of one variant and finding."""
    estimate = Estimate(value=0.9, low=0.8, high=0.95)
    point = OperatingPoint(
        threshold=threshold,
        target_sensitivity=0.9,
        sensitivity=estimate,
        specificity=estimate,
        positives=50,
        negatives=50,
    )
    return FindingNumbers(temperature=1.0, operating_point=point)


def draft(
    name: str = "toy",
    version: str = "1.0.0",
    build: int = 1,
    *,
    labels: tuple[str, ...] = ("opacity",),
    softmax: bool = False,
    expires: str | None = None,
    int8_speed: float | None = 1.5,
    private_key: Ed25519PrivateKey = ROOT,
    distance: float | None = None,
    checks: tuple[QualityCheck, ...] = (),
    seed: int = 0,
    bright: bool = False,
) -> Draft:
    """A bundle for x86 with a float and an INT8 variant, two golden inputs, and honest golden outputs.

    `distance` is the limit beyond which a scan is refused; `checks` are on quality scores of the graph; another `seed`
    gives another model.
    """
    columns = tuple(dict.fromkeys(check.measure for check in checks if check.measure not in MEASURES))
    models = {
        name: graph(
            len(labels),
            softmax=softmax,
            int8=name == "int8",
            detectors=distance is not None,
            faults=len(columns),
            seed=seed,
            bright=bright,
        ).SerializeToString()
        for name in ("float", "int8")
    }
    files = {"float": "model.onnx", "int8": "model.int8.onnx"}
    members: dict[str, bytes] = {files[variant]: model for variant, model in models.items()}
    vectors = []
    for number in range(2):
        file = f"golden/noise-{number}.png"
        members[file] = golden_image(number)
        pixels = f"golden/noise-{number}.pixels.z"
        members[pixels] = golden.compress_pixels(prepare(file, members[file]))
        vectors.append(GoldenInput(name=f"noise-{number}", file=file, decoder="pillow", pixels=pixels))
        for variant, model in models.items():
            prediction = outputs_of(model, prepare(file, members[file])[None])
            members[f"golden/noise-{number}.{variant}.f32"] = golden.serialise(prediction)
    members["card.md"] = b"# A toy for tests\n"
    quantisation = Quantisation(
        scheme="u8s8", calibration="minmax", float_nodes=2, auroc_change=0.0, flips=0.0, speed=int8_speed
    )
    variants = tuple(
        Variant(
            name=variant,
            file=files[variant],
            precision="int8" if variant == "int8" else "float32",
            quantisation=quantisation if variant == "int8" else None,
            findings={label: numbers() for label in labels},
            distance=None if distance is None else Distance(limit=distance),
            quality=checks,
            golden={vector.name: f"golden/{vector.name}.{variant}.f32" for vector in vectors},
            tolerance=Tolerance(probability=1e-4, map=1e-4, embedding=1e-4),
        )
        for variant in models
    )
    manifest = Manifest(
        schema=SCHEMA,
        name=name,
        version=version,
        build=build,
        title={"en": "A toy"},
        input=SPEC,
        findings=tuple(Finding(label=label, names={"en": label}) for label in labels),
        outputs=Outputs(
            probability="softmax" if softmax else "sigmoid",
            map="cam",
            map_height=CELLS,
            map_width=CELLS,
            embedding=WIDTH,
            distance=distance is not None,
            quality=columns,
        ),
        variants=variants,
        targets={"x86": ("int8", "float")},
        golden=tuple(vectors),
        provenance=Provenance(
            recipe="toy",
            recipe_sha256="0" * 64,
            base="random",
            base_sha256=None,
            base_licence="none",
            dataset="generated",
            dataset_sha256="0" * 64,
            counts=Counts(fit=1, tuning=1, calibration=1, validation=1),
            seed=0,
            created="2025-01-01",
            synthetic=True,
        ),
        prevalence=0.1,
        expires=expires,
        members={},
    )
    return Draft(manifest, members, private_key)
