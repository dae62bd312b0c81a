"""Quantisation: INT8 graphs made of a float device graph by optimum's ORTQuantizer, static, QDQ, one scale a channel.

The input stage (normalisation and the first layers, which are small, fast in float and the most sensitive), the head,
the map and everything behind them stay in float. Ranges come from training cases, never from those that judge.
ONNX Runtime's "entropy" calibration gives the same file as minmax and is therefore not offered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig, CalibrationConfig, QuantizationConfig

from aidpost_device.engine import INPUT
from aidpost_export.graph import STAGE
from aidpost_export.quiet import quiet
from aidpost_export.rounding import Moments, as_rows, input_moments, round_weights

Method = Literal["minmax", "percentile"]
Scheme = Literal["u8s8", "s8s8"]

OPERATORS = ["Conv", "Add", "Clip", "Relu", "MaxPool"]
"""Operators that run on 8 bits. What else a supported backbone has stays in float."""
ROWS: dict[Method, int] = {"minmax": 64, "percentile": 32}
"""Training cases whose activations are looked at; percentiles keep every activation, which is slow."""
ROUNDING_ROWS = 48
"""Training cases that the weights are rounded against."""
PERCENTILE = 99.99
"""Share of the activations inside the range, in percent."""
_CHUNK = 8
"""Images whose activations are held at once: about 30 MB each at 224 pixels."""
_ENDS = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Candidate:
    """One way to quantise a graph."""

    calibration: Method
    float_stages: int
    """Stages of the backbone, from the input, that stay in float."""


@dataclass(frozen=True)
class Quantised:
    """An INT8 graph."""

    graph: bytes
    float_nodes: int
    """Operators of the float graph that stayed in float although they could run on 8 bits."""


def candidates(stages: int) -> tuple[Candidate, ...]:
    """List the candidates in the order they are tried: one, two, a quarter, half of the backbone's stages in float."""
    depths = sorted({1, 2, round(stages / 4), round(stages / 2)} - {0})
    methods: tuple[Method, ...] = ("minmax", "percentile")
    return tuple(Candidate(method, depth) for depth in depths if depth < stages for method in methods)


class Quantiser:
    """Quantises one float graph; what it learns from the training cases is kept for the next candidate."""

    def __init__(self, graph: bytes, pixels: NDArray[np.uint8], folder: Path) -> None:  # (N, H, W, C)
        """`pixels` are those of training cases in random order; `folder` is for scratch files."""
        self._pixels = pixels
        self._folder = folder
        self._model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
        self._path = folder / "float.onnx"
        onnx.save(self._model, self._path)
        self._ranges: dict[Method, Any] = {}
        self._moments: Moments | None = None
        self._rounded: dict[str, tuple[NDArray[np.float64], NDArray[np.int8]]] = {}

    def quantise(self, candidate: Candidate, scheme: Scheme) -> Quantised:
        """Make the INT8 graph of one candidate."""
        kept = _float_nodes(self._model, candidate.float_stages)
        with quiet():
            ranges = self._measure(candidate.calibration)
            quantizer = ORTQuantizer(self._path)
            quantizer.quantize(_configuration(scheme, kept), self._folder, "int8", ranges)
        model = onnx.load(self._folder / f"{self._path.stem}_int8.onnx")
        self._round(model)
        _clean(model)
        excluded = sum(node.name in kept and node.op_type in OPERATORS for node in self._model.graph.node)
        return Quantised(model.SerializeToString(deterministic=True), excluded)

    def _measure(self, method: Method) -> Any:
        """Ranges of the activations by tensor, as ONNX Runtime holds them."""
        if method not in self._ranges:
            quantizer = ORTQuantizer(self._path)
            configuration = _calibration(method)
            augmented = self._folder / "augmented.onnx"
            pixels = self._pixels[: ROWS[method]]
            for start in range(0, len(pixels) - len(pixels) % _CHUNK or len(pixels), _CHUNK):
                chunk = pixels[start : start + _CHUNK]
                quantizer.partial_fit(_Rows(chunk), configuration, augmented, OPERATORS, batch_size=len(chunk))
                configuration.method = None  # goes on with the calibrator that it has
            self._ranges[method] = quantizer.compute_ranges()
        return self._ranges[method]

    def _round(self, model: onnx.ModelProto) -> None:
        """Put better-rounded weights, on the same steps, in the place of those rounded to nearest."""
        if self._moments is None:
            self._moments = input_moments(self._model, self._pixels[:ROUNDING_ROWS])
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        originals = {tensor.name: tensor for tensor in self._model.graph.initializer}
        for node in model.graph.node:
            if node.op_type != "DequantizeLinear" or node.input[0] not in tensors:
                continue
            weight = node.input[0].removesuffix("_quantized")
            if weight not in self._moments:
                continue
            step = numpy_helper.to_array(tensors[node.input[1]]).astype(np.float64).reshape(-1)  # (O,)
            tensor = tensors[node.input[0]]
            levels = self._levels(weight, as_rows(originals[weight]), step)
            tensor.CopyFrom(numpy_helper.from_array(levels.reshape(tuple(tensor.dims)), tensor.name))

    def _levels(self, name: str, weights: NDArray[np.float32], step: NDArray[np.float64]) -> NDArray[np.int8]:
        """Round one layer, or recall how it was rounded for an earlier candidate."""
        assert self._moments is not None  # noqa: S101 - `_round` measures them
        earlier = self._rounded.get(name)
        if earlier is None or not np.array_equal(earlier[0], step):
            earlier = self._rounded[name] = (step, round_weights(weights, self._moments[name], step))
        return earlier[1]


class _Rows:
    """Images as optimum reads a dataset: one mapping each."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:  # (N, H, W, C)
        self._pixels = pixels

    def __iter__(self) -> Iterator[dict[str, NDArray[np.uint8]]]:
        for image in self._pixels:
            yield {INPUT: np.ascontiguousarray(image)}


# ---- settings -------------------------------------------------------------------------------------------------------


def _calibration(method: Method) -> CalibrationConfig:
    return CalibrationConfig(
        dataset_name="",
        dataset_config_name="",
        dataset_split="",
        dataset_num_samples=ROWS[method],
        method=CalibrationMethod.MinMax if method == "minmax" else CalibrationMethod.Percentile,
        num_bins=2048,
        percentile=PERCENTILE,
        moving_average=False,
        averaging_constant=0.01,
    )


def _configuration(scheme: Scheme, kept: Sequence[str]) -> QuantizationConfig:
    """Settings of one scheme: activations then weights, unsigned on x86, signed on Arm."""
    make = AutoQuantizationConfig.avx512_vnni if scheme == "u8s8" else AutoQuantizationConfig.arm64
    configuration = make(
        is_static=True, per_channel=True, nodes_to_exclude=list(kept), operators_to_quantize=list(OPERATORS)
    )
    configuration.activations_dtype = QuantType.QUInt8 if scheme == "u8s8" else QuantType.QInt8
    return configuration


def _float_nodes(model: onnx.ModelProto, stages: int) -> list[str]:
    """Name the nodes that stay in float: the first stages, and from each output back to its first layer."""
    nodes = list(model.graph.node)
    first = next(i for i, node in enumerate(nodes) if any(name.startswith(STAGE.format(stages)) for name in node.input))
    kept = dict.fromkeys(node.name for node in nodes[:first])
    makers = {output: node for node in nodes for output in node.output}
    waiting = ["probability", "map"]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in kept:
            kept[node.name] = None
            if node.op_type not in _ENDS:
                waiting.extend(node.input)
    return list(kept)


def _clean(model: onnx.ModelProto) -> None:
    """Leave only the operator sets that are used, and no trace of the tools' machine."""
    used = {node.domain for node in model.graph.node}
    sets = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(sets)
    for part in [model, model.graph, *model.graph.node]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del model.graph.value_info[:]
