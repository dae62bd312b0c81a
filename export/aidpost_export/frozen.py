"""The frozen stages of a backbone, run by ONNX Runtime: several times faster on a processor than eager torch."""

from __future__ import annotations

import io
import os

import numpy as np
import torch
from torch import Tensor, nn

from aidpost_export.network import ScreeningNetwork
from aidpost_export.quiet import quiet

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class FrozenStages:
    """The first `depth` stages of a network, normalisation included, which training does not change."""

    def __init__(self, network: ScreeningNetwork, depth: int, *, size: int, channels: int, threads: int) -> None:
        import onnxruntime

        prefix = _Prefix(network, depth).eval()
        example = torch.zeros(2, channels, size, size)
        batch = torch.export.Dim("batch", min=1, max=4096)
        buffer = io.BytesIO()
        with quiet():
            program = torch.onnx.export(
                prefix, (example,), dynamo=True, dynamic_shapes=({0: batch},), input_names=["pixels"], verbose=False
            )
            program.save(buffer)  # type: ignore[union-attr, arg-type]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])

    def __call__(self, pixels: Tensor) -> Tensor:
        """Run the stages on grey levels in [0, 255].  # (N, C, H, W) → (N, D, h, w) float32"""
        array = np.ascontiguousarray(pixels.float().numpy())
        return torch.from_numpy(self._session.run(None, {"pixels": array})[0])


class EagerStages:
    """The first `depth` stages run by torch itself: for a GPU, and where every stage learns (depth 0)."""

    def __init__(self, network: ScreeningNetwork, depth: int, device: str) -> None:
        self._prefix = _Prefix(network, depth)
        self._device = device

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Run the stages on grey levels in [0, 255].  # (N, C, H, W) → (N, D, h, w) float32"""
        result: Tensor = self._prefix(pixels.to(self._device))
        return result


class _Prefix(nn.Module):
    def __init__(self, network: ScreeningNetwork, depth: int) -> None:
        super().__init__()
        self._network, self._depth = network, depth

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise and run the first stages."""
        x = self._network.normalise(pixels)
        for stage in list(self._network.stages)[: self._depth]:
            x = stage(x)
        return x
