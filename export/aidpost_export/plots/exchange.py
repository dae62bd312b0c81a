"""Deletion and insertion curves of the map beside those of random maps."""

from __future__ import annotations

from aidpost_export.explanations.record import Curve, Faithfulness
from aidpost_export.plots.axes import SHARE_TICKS, Frame, Scale, percent
from aidpost_export.plots.canvas import Canvas, Kind


def exchange_plot(figures: Faithfulness) -> Canvas:
    """Draw the mean probability while cells are taken away, on the left, and put in, on the right."""
    canvas = Canvas(
        860,
        320,
        "Does the probability hang on what the map shows?",
        f"Taking away what it shows gains {figures.deletion_gain.value:.3f} of area against random maps, adding it "
        f"{figures.insertion_gain.value:.3f}.",
    )
    _panel(canvas, 62, 424, figures.deletion, "cells taken away")
    _panel(canvas, 496, 840, figures.insertion, "cells put in")
    canvas.text(840, 18, "─ the map   ┄ random maps", "end", small=True)
    return canvas


def _panel(canvas: Canvas, start: int, end: int, curve: Curve, name: str) -> None:
    frame = Frame(Scale(0, 1, start, end), Scale(0, 1, 270, 30))
    frame.ticks_x(canvas, SHARE_TICKS, percent, name)
    frame.ticks_y(canvas, SHARE_TICKS, percent, "probability")
    drawn: tuple[tuple[Kind, tuple[float, ...]], ...] = (("other", curve.random), ("model", curve.own))
    for kind, values in drawn:
        points = [frame.point(*pair) for pair in zip(curve.shares, values, strict=True)]
        canvas.line(points, kind, dash=kind == "other")
        for (x, y), share, value in zip(points, curve.shares, values, strict=True):
            canvas.dot(x, y, 2.5, kind, f"{share:.0%} of the cells: {value:.3f}")
