"""Which of several accepted variants is fastest on this very machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from aidpost_device.engine import Engine

ROUNDS = 20
"""Runs of each variant; their fastest counts, because other work on the machine only ever slows a run."""
ALIKE = 1.05
"""Ratio of times up to which two variants are equally fast: boxes of one kind should choose alike."""


def fastest(engines: Sequence[Engine], rounds: int = ROUNDS, clock: Callable[[], float] = time.perf_counter) -> Engine:
    """Time one image through each engine in turn, interleaved; the first of those that are equally fast wins."""
    best = [float("inf")] * len(engines)
    for round_number in range(rounds + 1):
        for place, engine in enumerate(engines):
            pixels = np.full((1, engine.spec.size, engine.spec.size, engine.spec.channels), 128, np.uint8)
            start = clock()
            engine.run(pixels)
            elapsed = clock() - start
            if round_number > 0:  # the first round warms the caches up
                best[place] = min(best[place], elapsed)
    return next(engine for engine, took in zip(engines, best, strict=True) if took <= ALIKE * min(best))
