"""Latency: how much faster one graph is than another on this machine, one image and one thread at a time."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from aidpost_device.engine import INPUT, OUTPUTS
from aidpost_export.scoring import open_session

ROUNDS = 31
"""Timed runs of each graph."""
WARM_UP = 3


def speed_ratio(reference: bytes, candidate: bytes, image: NDArray[np.uint8]) -> float:  # (1, H, W, C)
    """Latency of `reference` over that of `candidate`: above 1 the candidate is faster.

    Both run in turn, and the median is taken over the pairs, so that other work on the machine slows both alike.
    """
    sessions = open_session(reference), open_session(candidate)
    pairs = [[_seconds(session, image) for session in sessions] for _ in range(WARM_UP + ROUNDS)]
    timed = np.array(pairs[WARM_UP:])  # (ROUNDS, 2)
    return float(np.median(timed[:, 0] / timed[:, 1]))


def _seconds(session: onnxruntime.InferenceSession, image: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    session.run(list(OUTPUTS), {INPUT: image})
    return time.perf_counter() - start
