"""Appending the detectors to a finished device graph, float or INT8: two more outputs of its own embedding.

What is added holds in float32, with standard operators only. Axes as in `mahalanobis` and `faults`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from aidpost_device.engine import Prediction
from aidpost_export.detectors.faults import FaultScores
from aidpost_export.detectors.fit import Detectors
from aidpost_export.detectors.mahalanobis import Mahalanobis
from aidpost_export.errors import ParityError
from aidpost_export.graph import PARITY

EMBEDDING, DISTANCE, QUALITY = "embedding", "distance", "quality"
"""Names of the graph's outputs that are read and made here."""
PREFIX = "detectors."
"""How the names of everything else that is added begin."""


def attach(graph: bytes, detectors: Detectors) -> bytes:
    """Append the outputs that were fitted; the others of the graph stay as they are."""
    if detectors.distance is None and detectors.faults is None:
        return graph
    model = onnx.load_from_string(graph)
    if detectors.distance is not None:
        _append_distance(model.graph, detectors.distance)
    if detectors.faults is not None:
        _append_quality(model.graph, detectors.faults)
    return bytes(model.SerializeToString(deterministic=True))


def check_detectors(found: Prediction, detectors: Detectors) -> None:
    """See that a graph computes what was fitted, from its own embedding. Raises `ParityError`."""
    if detectors.distance is not None:
        _compare(DISTANCE, found.distance, detectors.distance.distances(found.embedding))
    if detectors.faults is not None:
        _compare(QUALITY, found.quality, detectors.faults.scores(found.embedding))


def _compare(name: str, found: NDArray[np.float32] | None, expected: NDArray[np.float64]) -> None:
    gap = np.inf if found is None else float((np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)).max())
    if not gap <= PARITY:  # a gap that is not a number fails too
        raise ParityError(f"The graph's {name} is {gap:.2g} away from what was fitted.", "Report this message.")


def _append_distance(graph: onnx.GraphProto, fitted: Mahalanobis) -> None:
    basis = _constant(graph, "basis", fitted.basis)
    precision = _constant(graph, "precision", fitted.precision)
    rest = _constant(graph, "rest", np.array(fitted.rest))
    centres = _constant(graph, "centres", fitted.centres)
    middle, last = (_constant(graph, f"axis.{axis}", np.array([axis]), np.int64) for axis in (1, 2))
    along = _node(graph, "MatMul", [EMBEDDING, basis])  # (N, r)
    across = _node(graph, "Sub", [EMBEDDING, _node(graph, "Gemm", [along, basis], transB=1)])  # (N, D)
    scaled = [_node(graph, "Mul", [along, precision]), _node(graph, "Mul", [across, rest])]
    white = _node(graph, "Concat", scaled, axis=1)  # (N, r + D)
    gap = _node(graph, "Sub", [_node(graph, "Unsqueeze", [white, middle]), centres])  # (N, C, r + D)
    squares = _node(graph, "ReduceSum", [_node(graph, "Mul", [gap, gap]), last], keepdims=0)  # (N, C)
    nearest = _node(graph, "ReduceMin", [squares, middle], keepdims=0)  # (N,)
    _node(graph, "Sqrt", [nearest], output=DISTANCE)
    graph.output.append(helper.make_tensor_value_info(DISTANCE, TensorProto.FLOAT, ["N"]))


def _append_quality(graph: onnx.GraphProto, fitted: FaultScores) -> None:
    weight, bias = _constant(graph, "weight", fitted.weight), _constant(graph, "bias", fitted.bias)
    _node(graph, "Add", [_node(graph, "MatMul", [EMBEDDING, weight]), bias], output=QUALITY)  # (N, Q)
    graph.output.append(helper.make_tensor_value_info(QUALITY, TensorProto.FLOAT, ["N", len(fitted.bias)]))


def _constant(graph: onnx.GraphProto, name: str, value: NDArray[np.generic], kind: type = np.float32) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), PREFIX + name))
    return PREFIX + name


def _node(graph: onnx.GraphProto, operator: str, inputs: Sequence[str], output: str = "", **attributes: int) -> str:
    name = f"{PREFIX}{len(graph.node)}"
    node = helper.make_node(operator, inputs, [output or name], name=name)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    graph.node.append(node)
    return output or name
