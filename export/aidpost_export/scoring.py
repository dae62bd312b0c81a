"""Scoring: running a device graph on prepared pixels here at the workstation."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from aidpost_device.engine import INPUT, ONNX_ONLY, Prediction
from aidpost_export.progress import Bar

BATCH = 8
"""Images per call: enough to keep the processor busy, few enough for a small machine's memory."""


def open_session(graph: bytes, *, threads: int = 1, fused: bool = True) -> onnxruntime.InferenceSession:
    """Open a graph; without `fused` its operators run one by one as they are written."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    options.add_session_config_entry(*ONNX_ONLY)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def score(
    session: onnxruntime.InferenceSession,
    pixels: NDArray[np.uint8],  # (N, H, W, C)
    rows: NDArray[np.intp],
    bar: Bar | None = None,
) -> Prediction:
    """Run the graph on some of the cases, in the order of `rows`; all its outputs."""
    names = [output.name for output in session.get_outputs()]
    parts = []
    for start in range(0, len(rows), BATCH):
        batch = np.ascontiguousarray(pixels[rows[start : start + BATCH]])
        parts.append(session.run(names, {INPUT: batch}))
        if bar is not None:
            bar.advance(len(batch))
    outputs = (np.concatenate(output) for output in zip(*parts, strict=True))
    return Prediction(**dict(zip(names, outputs, strict=True)))
