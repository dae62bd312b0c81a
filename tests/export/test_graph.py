"""The device graph computes what the trained network computes, in one plain ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from aidpost_device.bundle.onnx_walk import check_graph
from aidpost_device.engine import Prediction
from aidpost_export import latency
from aidpost_export.errors import ParityError
from aidpost_export.graph import DeviceGraph, check_parity, export_graph, set_temperature, torch_outputs
from aidpost_export.network import NetworkRecord, ScreeningNetwork
from aidpost_export.recipe import Activation
from aidpost_export.scoring import open_session, score

from . import runs

SIZE = 64


def module(backbone: str, findings: int, activation: Activation, temperature: list[float]) -> DeviceGraph:
    """A graph of a network with random weights and batch norms that are not the identity."""
    torch.manual_seed(1)
    half = (0.5, 0.5, 0.5)
    record = NetworkRecord(architecture=runs.BACKBONES[backbone], mean=half, std=(0.2, 0.25, 0.3), findings=findings)
    network = ScreeningNetwork(record).eval()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return DeviceGraph(network, temperature, activation)


def pictures(count: int, channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (count, SIZE, SIZE, channels), np.uint8)


def outputs(graph: bytes, pixels: NDArray[np.uint8]) -> Prediction:
    return score(open_session(graph), pixels, np.arange(len(pixels)))


@pytest.mark.parametrize(
    ("backbone", "findings", "activation", "temperature", "channels"),
    [
        ("resnet", 1, "sigmoid", [0.7], 1),
        ("resnet", 3, "softmax", [1.6] * 3, 3),
        ("mobilenet", 3, "sigmoid", [0.5, 1.0, 4.0], 1),
    ],
)
def test_the_exported_graph_gives_what_torch_gives(
    backbone: str, findings: int, activation: Activation, temperature: list[float], channels: int
) -> None:
    graph = module(backbone, findings, activation, temperature)
    exported = export_graph(graph, size=SIZE, channels=channels)
    pixels = pictures(11, channels)
    found, expected = outputs(exported, pixels), torch_outputs(graph, pixels)
    check_parity(found, expected)
    assert found.probability.shape == (11, findings)
    if activation == "softmax":
        np.testing.assert_allclose(found.probability.sum(axis=1), 1, atol=1e-6)
    logits = found.map.mean((2, 3)) + graph.network.head.bias.detach().numpy()
    scaled = np.exp(logits / np.array(temperature))
    expected_probability = (
        scaled / scaled.sum(axis=1, keepdims=True) if activation == "softmax" else scaled / (1 + scaled)
    )
    np.testing.assert_allclose(found.probability, expected_probability, atol=1e-5)
    weights = graph.network.head.weight.detach().numpy()  # (K, D)
    np.testing.assert_allclose(found.embedding @ weights.T, found.map.mean((2, 3)), atol=1e-4)


def test_the_file_is_what_a_box_accepts_and_tells_nothing_of_its_maker() -> None:
    graph = module("resnet", 1, "sigmoid", [1.0])
    exported = export_graph(graph, size=SIZE, channels=1)
    check_graph("model.onnx", exported)
    model = onnx.load_from_string(exported)
    assert [one.domain for one in model.opset_import] == [""]
    assert not model.functions
    shape = model.graph.input[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [0, SIZE, SIZE, 1]
    assert shape.dim[0].dim_param
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert b"site-packages" not in exported
    assert str(Path(__file__).parents[2]).encode() not in exported
    assert export_graph(graph, size=SIZE, channels=1) == exported


def test_another_temperature_changes_the_probability_alone() -> None:
    exported = export_graph(module("resnet", 1, "sigmoid", [1.0]), size=SIZE, channels=1)
    pixels = pictures(4, 1)
    before, after = outputs(exported, pixels), outputs(set_temperature(exported, [2.0]), pixels)
    np.testing.assert_array_equal(after.map, before.map)
    np.testing.assert_array_equal(after.embedding, before.embedding)
    logit = np.log(before.probability / (1 - before.probability))
    np.testing.assert_allclose(after.probability, 1 / (1 + np.exp(-logit / 2)), atol=1e-5)


@pytest.mark.parametrize("name", ["probability", "map", "embedding"])
def test_a_graph_that_is_not_the_network_is_refused_by_name(name: str) -> None:
    graph = module("resnet", 1, "sigmoid", [1.0])
    expected = torch_outputs(graph, pictures(3, 1))
    parts = {one: getattr(expected, one).copy() for one in ("probability", "map", "embedding")}
    parts[name].flat[0] += 3e-4 * max(1.0, float(np.ptp(parts[name])))
    with pytest.raises(ParityError, match=f"graph's {name} is .* away from torch's; 0.0001 is allowed"):
        check_parity(Prediction(**parts), expected)
    parts[name].flat[0] = np.nan
    with pytest.raises(ParityError, match=name):
        check_parity(Prediction(**parts), expected)


def test_speed_is_the_median_over_pairs_so_that_other_work_slows_both_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([1, 1, 1, 9, 1, 3, 1, 1, 50] * 10)
    load = 1
    timed: list[str] = []

    def seconds(session: str, image: NDArray[np.uint8]) -> float:
        nonlocal load
        if session == "reference":
            load = next(loads)
        timed.append(session)
        return load * {"reference": 0.02, "candidate": 0.01}[session] * (7 if len(timed) % 11 == 0 else 1)

    monkeypatch.setattr(latency, "open_session", lambda graph: graph.decode())
    monkeypatch.setattr(latency, "_seconds", seconds)
    assert latency.speed_ratio(b"reference", b"candidate", pictures(1, 1)) == pytest.approx(2)
    assert timed[:4] == ["reference", "candidate"] * 2
    assert len(timed) >= 2 * 20
