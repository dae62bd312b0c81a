"""What each threshold does for a programme: whom it finds, whom it sends to a test, and what that costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_device.calibration.yields import Curve
from aidpost_export.plots.axes import SHARE_TICKS, Frame, Scale, percent, round_ticks
from aidpost_export.plots.canvas import Canvas, shorten

WIDTH, PANEL = 860, 300
"""Pixels."""


def yields_plot(name: str, curve: Curve, threshold: float) -> Canvas:
    """Draw sensitivity and yield over the threshold and, where a programme weighs costs, the expected cost below."""
    figures, costs = curve.at(threshold), curve.programme.weighs_costs
    canvas = Canvas(
        WIDTH,
        PANEL * (2 if costs else 1) + 50,
        f"Threshold for {name}",
        f"At {threshold:.3f} {figures.sensitivity.value:.1%} of those with the finding are found and "
        f"{figures.flagged.value:.1%} of all people screened are sent to a test.",
    )
    frame = Frame(Scale(0, 1, 72, 840), Scale(0, 1, PANEL - 4, 48))
    frame.ticks_x(canvas, SHARE_TICKS, percent, "threshold")
    frame.ticks_y(canvas, SHARE_TICKS, percent, "share of people")
    canvas.line(_steps(frame, curve, curve.sensitivity), "model")
    canvas.line(_steps(frame, curve, curve.flagged), "positive")
    capacity = curve.programme.capacity
    if capacity is not None and capacity < 1:
        canvas.line([frame.point(0, capacity), frame.point(1, capacity)], "positive", fine=True, dash=True)
        canvas.text(78, frame.y(capacity) - 5, f"{curve.programme.tests_per_day:g} tests a day", small=True)
    canvas.line([frame.point(threshold, 0), frame.point(threshold, 1)], "limit", dash=True)
    canvas.text(frame.x(threshold), 40, f"threshold {threshold:.3f}", "start" if threshold < 0.6 else "end")
    found, flagged = figures.sensitivity.value, figures.flagged.value
    canvas.dot(*frame.point(threshold, found), 5, "model", f"{found:.1%}")
    canvas.dot(*frame.point(threshold, flagged), 5, "positive", f"{flagged:.1%}")
    canvas.bar(72, 10, 12, 10, "model", "")
    canvas.text(90, 20, f"found, of those with {shorten(name, 30)}", small=True)
    canvas.bar(420, 10, 12, 10, "positive", "")
    prevalence = curve.programme.prevalence
    canvas.text(438, 20, f"flagged, of all people screened, where {prevalence:.1%} have it", small=True)
    if costs:
        _costs(canvas, curve, threshold)
    return canvas


def _costs(canvas: Canvas, curve: Curve, threshold: float) -> None:
    """Draw the expected cost for each person screened."""
    top = float(curve.cost.max()) * 1.05
    frame = Frame(Scale(0, 1, 72, 840), Scale(0, top, 2 * PANEL + 6, PANEL + 60))
    frame.ticks_x(canvas, SHARE_TICKS, percent, "threshold")
    frame.ticks_y(canvas, round_ticks(0, top, 4), lambda value: f"{value:g}", "cost for each person")
    canvas.line(_steps(frame, curve, curve.cost), "other")
    canvas.line([frame.point(threshold, 0), frame.point(threshold, top)], "limit", dash=True)
    chosen = curve.at(threshold).cost
    if chosen is not None:
        canvas.dot(*frame.point(threshold, chosen.value), 5, "other", f"{chosen.value:.1f}")


def _steps(frame: Frame, curve: Curve, values: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Follow a value that changes at each threshold only: level up to it, then a step.  # (T,)"""
    x = np.repeat(np.append(0.0, curve.thresholds), 2)[1:]
    y = np.repeat(values, 2)
    points = [frame.point(float(a), float(b)) for a, b in zip(x[:-1], y, strict=True)]
    return [*points, frame.point(float(curve.thresholds[-1]), float(values[-1]))]
