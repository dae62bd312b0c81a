"""The reliability diagram: what was predicted against what was found, with how many cases stand behind it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aidpost_export.plots.axes import SHARE_TICKS, Frame, Scale, percent
from aidpost_export.plots.canvas import Canvas
from aidpost_export.statistics import ReliabilityBin

_STRIP = 20
"""Bars of the strip that counts the cases."""


def reliability_plot(name: str, bins: Sequence[ReliabilityBin], probability: NDArray[np.floating], note: str) -> Canvas:
    """Draw one point with its interval per bin, and below how many cases have which probability.  # (N,)"""
    canvas = Canvas(
        420,
        420,
        f"Calibration of {name}",
        f"{note}. " + "; ".join(f"predicted {b.predicted:.0%}, found {b.observed:.0%} of {b.cases}" for b in bins),
    )
    frame = Frame(Scale(0, 1, 62, 404), Scale(0, 1, 304, 28))
    frame.ticks_x(canvas, SHARE_TICKS, lambda _: "", "")
    frame.ticks_y(canvas, SHARE_TICKS, percent, "share with the finding")
    canvas.line([frame.point(0, 0), frame.point(1, 1)], "chance", fine=True, dash=True)
    canvas.line([frame.point(b.predicted, b.observed) for b in bins], "model", fine=True)
    for b in bins:
        canvas.line([frame.point(b.predicted, b.low), frame.point(b.predicted, b.high)], "model")
    for b in bins:
        x, y = frame.point(b.predicted, b.observed)
        canvas.dot(x, y, 4.5, "model", f"predicted {b.predicted:.1%}, found {b.observed:.1%} of {b.cases}")
    _strip(canvas, probability)
    canvas.text(70, 44, note, small=True)
    return canvas


def _strip(canvas: Canvas, probability: NDArray[np.floating]) -> None:
    counts, edges = np.histogram(probability, bins=_STRIP, range=(0, 1))
    most = max(1, int(counts.max()))
    frame = Frame(Scale(0, 1, 62, 404), Scale(0, most, 370, 318))
    frame.ticks_x(canvas, SHARE_TICKS, percent, "probability the model gave")
    canvas.text(55, 328, str(most), "end", small=True)
    canvas.text(55, 374, "0", "end", small=True)
    canvas.text(20, 344, "cases", "middle", upward=True)
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x, y = frame.point(left, count)
            tip = f"{count} cases from {left:.0%} to {right:.0%}"
            canvas.bar(x + 0.5, y, frame.x(right) - x - 1, frame.y.start - y, "other", tip)
