"""The device graph: uint8 pixels in; calibrated probability, class-activation map and embedding out.

Normalisation and temperature are inside. The map is in units of logits before the temperature: its mean over the
image plus the head's bias is the logit, so that the same map explains every temperature.
Axes: N images, H, W, C of the pixels; K findings; h, w of the map; D of the embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import ArrayLike, NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from aidpost_device.engine import INPUT, OUTPUTS, Prediction
from aidpost_export.errors import ParityError
from aidpost_export.network import ScreeningNetwork
from aidpost_export.quiet import quiet
from aidpost_export.recipe import Activation

OPSET = 18
"""ONNX operator set: the newest that every runtime in the field reads."""
TEMPERATURE = "temperature"
"""Name of the graph's constant that divides the logits.  # (K,) float32"""
STAGE = "network.stages.{}."
"""How the names of the weights of one stage of the backbone begin, counted from 0 at the input."""
PARITY = 1e-4
"""Largest difference from torch: absolute for the probability, of their range for map and embedding."""


class DeviceGraph(nn.Module):
    """A screening network between raw pixels and calibrated probabilities."""

    temperature: Tensor

    def __init__(self, network: ScreeningNetwork, temperature: ArrayLike, activation: Activation) -> None:
        super().__init__()
        self.network = network
        self.activation = activation
        values = np.asarray(temperature, np.float32)  # (K,)
        self.register_buffer(TEMPERATURE, torch.from_numpy(values), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the outputs in the order of `OUTPUTS` for pixels (N, H, W, C) uint8."""
        logits, heat, embedding = self.network(pixels.permute(0, 3, 1, 2))
        scaled = logits / self.temperature  # (N, K)
        probability = torch.sigmoid(scaled) if self.activation == "sigmoid" else torch.softmax(scaled, 1)
        return probability, heat, embedding


def export_graph(graph: DeviceGraph, *, size: int, channels: int) -> bytes:
    """Write the graph as ONNX: one file, N free, standard operators only."""
    example = torch.zeros((2, size, size, channels), dtype=torch.uint8)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=4096)},),
            external_data=False,
            verbose=False,
        )
    model: onnx.ModelProto = program.model_proto  # type: ignore[union-attr]
    _strip(model)
    return bytes(model.SerializeToString(deterministic=True))


def set_temperature(graph: bytes, temperature: ArrayLike) -> bytes:
    """Give the graph another temperature, (K,), and leave everything else as it is."""
    model = onnx.load_from_string(graph)
    values = np.asarray(temperature, np.float32)  # (K,)
    constant = next(one for one in model.graph.initializer if one.name == TEMPERATURE)
    constant.CopyFrom(numpy_helper.from_array(values, TEMPERATURE))
    return bytes(model.SerializeToString(deterministic=True))


@torch.no_grad()
def torch_outputs(graph: DeviceGraph, pixels: NDArray[np.uint8]) -> Prediction:  # (N, H, W, C)
    """Compute with torch what the exported graph must give."""
    parts = graph.eval()(torch.from_numpy(np.array(pixels)))
    return Prediction(*(part.numpy() for part in parts))


def check_parity(found: Prediction, expected: Prediction) -> None:
    """See that the exported graph computes what torch does. Raises `ParityError` naming the output and the gap."""
    _compare("probability", found.probability, expected.probability, 1.0)
    _compare("map", found.map, expected.map, _span(expected.map))
    _compare("embedding", found.embedding, expected.embedding, _span(expected.embedding))


def _compare(name: str, found: NDArray[np.float32], expected: NDArray[np.float32], span: float) -> None:
    if found.shape != expected.shape:
        raise ParityError(f"The exported graph gives {name} as {found.shape}, torch as {expected.shape}.", _REPORT)
    gap = float(np.abs(found.astype(np.float64) - expected).max()) / span
    if not gap <= PARITY:  # a gap that is not a number fails too
        raise ParityError(
            f"The exported graph's {name} is {gap:.2g} away from torch's; {PARITY:g} is allowed.", _REPORT
        )


_REPORT = "Adapt again with the pinned versions of constraints.txt; if it stays, report this message."


def _span(values: NDArray[np.float32]) -> float:
    """Range of an output; the size of a constant one, which has none."""
    return float(np.ptp(values)) or float(np.abs(values).max()) or 1.0


def _strip(model: onnx.ModelProto) -> None:
    """Remove what describes the exporter's machine: source lines, paths and stack traces."""
    values: list[Any] = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for part in [model, model.graph, *model.graph.node, *model.graph.initializer, *values]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    model.graph.name = "aidpost"
