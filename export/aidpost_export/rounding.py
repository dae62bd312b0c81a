"""Rounding of weights to 8 bits so that the layer's outputs stay, not each weight by itself.

Rounding to nearest treats every weight alike. A network leans on some inputs much more than on others, and on
MobileNetV2 that alone costs most of what INT8 loses. Here each weight's rounding error is made up for by the
weights of the same output that are still to be rounded, as far as their inputs go together on the training cases
(GPTQ: Frantar et al., "Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023).
The graph's shape and speed do not change.

Axes: O outputs of a layer; I its inputs (channels times kernel); P sampled positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from aidpost_device.engine import INPUT
from aidpost_export.scoring import BATCH, open_session

WIDEST = 2304
"""Most inputs of a layer that is rounded this way; a wider one would take minutes, and its errors average out."""
POSITIONS = 768
"""Positions sampled from each image: enough for the moments, few enough for early layers with 12,544 of them."""
DAMPING = 0.01
"""Added to the moments' diagonal, as a fraction of its mean: inputs that never vary must not break the factors."""
BLOCK = 64
"""Inputs rounded before the others learn of their errors; speed only."""
_TOP = 127

Moments = dict[str, NDArray[np.float64]]
"""Weight's name → second moments of its layer's inputs, (I, I)."""


def input_moments(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> Moments:  # (N, H, W, C)
    """Measure how the inputs of each dense layer vary together on these images."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = [node for node in model.graph.node if _is_wanted(node, weights)]
    watched = list(dict.fromkeys(node.input[0] for node in layers))
    session = open_session(_watching(model, watched), fused=False)
    random = np.random.default_rng(0)
    sums: Moments = {}
    for start in range(0, len(pixels), BATCH):
        batch = np.ascontiguousarray(pixels[start : start + BATCH])
        found = dict(zip(watched, session.run(watched, {INPUT: batch}), strict=True))
        for node in layers:
            shape = tuple(weights[node.input[1]].dims)
            patches = _patches(found[node.input[0]], node, shape, random)  # (P, I)
            product = (patches.T @ patches).astype(np.float64)  # (I, I)
            weight = node.input[1]
            sums[weight] = sums[weight] + product if weight in sums else product
    return sums


def round_weights(
    weights: NDArray[np.floating[Any]],  # (O, I)
    moments: NDArray[np.float64],  # (I, I)
    step: NDArray[np.float64],  # (O,), above 0
) -> NDArray[np.int8]:  # (O, I), in [-127, 127]
    """Round each row to multiples of its step so that its sums over such inputs change least."""
    count = len(moments)
    mean = max(float(np.trace(moments)) / count, float(np.finfo(np.float32).tiny))
    damped = moments + DAMPING * mean * np.eye(count)
    order = np.argsort(-np.diag(damped), kind="stable")  # the busiest inputs first: the others make up for them
    factor = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T  # (I, I), upper
    rest = weights.astype(np.float64)[:, order] / step[:, None]  # (O, I), in steps
    levels = np.zeros_like(rest)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        errors = np.zeros((len(rest), stop - start))
        for i in range(start, stop):
            levels[:, i] = np.clip(np.rint(rest[:, i]), -_TOP, _TOP)
            errors[:, i - start] = (rest[:, i] - levels[:, i]) / factor[i, i]
            rest[:, i + 1 : stop] -= np.outer(errors[:, i - start], factor[i, i + 1 : stop])
        rest[:, stop:] -= errors @ factor[start:stop, stop:]
    rounded = np.empty_like(levels)
    rounded[:, order] = levels
    return rounded.astype(np.int8)


def as_rows(tensor: onnx.TensorProto) -> NDArray[np.float32]:
    """Read a layer's weights as one row for each output.  # (O, I)"""
    values: NDArray[np.float32] = numpy_helper.to_array(tensor)
    return values.reshape(len(values), -1)


# ---- a layer's inputs -----------------------------------------------------------------------------------------------


def _is_wanted(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    """Say whether a node is a dense convolution of bearable width."""
    if node.op_type != "Conv" or node.input[1] not in weights or _attribute(node, "group", [1]) != [1]:
        return False
    undilated = set(_attribute(node, "dilations", [1])) == {1}
    return undilated and math.prod(weights[node.input[1]].dims[1:]) <= WIDEST


def _watching(model: onnx.ModelProto, tensors: Iterable[str]) -> bytes:
    """Copy a model so that it gives these tensors too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name in tensors:
        copy.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return bytes(copy.SerializeToString())


def _patches(
    values: NDArray[np.float32],  # (N, channels, height, width)
    node: onnx.NodeProto,
    shape: tuple[int, ...],
    random: np.random.Generator,
) -> NDArray[np.float32]:
    """Cut what the kernel sees at random positions.  # (P, I)"""
    kernel = shape[2:]
    top, left, bottom, right = _attribute(node, "pads", [0, 0, 0, 0])
    stride = _attribute(node, "strides", [1, 1])
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, (2, 3))[:, :, :: stride[0], :: stride[1]]
    images, _, rows, columns = windows.shape[:4]
    count = min(images * rows * columns, images * POSITIONS)
    chosen = np.sort(random.choice(images * rows * columns, count, replace=False))
    image, row, column = np.unravel_index(chosen, (images, rows, columns))
    return windows[image, :, row, column].reshape(count, -1)


def _attribute(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    for attribute in node.attribute:
        if attribute.name == name:
            return list(attribute.ints) if attribute.ints else [attribute.i]
    return default
