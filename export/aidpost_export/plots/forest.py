"""Figures with their intervals one below the other, on one scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aidpost_export.plots.axes import Frame, Scale, round_ticks
from aidpost_export.plots.canvas import Canvas, Kind, shorten

_ROW = 26
_LABEL = 34


@dataclass(frozen=True)
class Row:
    """One figure."""

    label: str
    value: float | None
    """None where the figure is not shown."""
    low: float = 0.0
    high: float = 0.0
    kind: Kind = "model"


def forest_plot(
    title: str, rows: Sequence[Row], write: Callable[[float], str], name: str, mark: tuple[float, str] | None = None
) -> Canvas:
    """Draw the rows over the range they need; `mark` is a value to compare with, and what it is."""
    shown = [row for row in rows if row.value is not None]
    words = "; ".join(
        f"{r.label}: {write(r.value)} ({write(r.low)} to {write(r.high)})" for r in shown if r.value is not None
    )
    bottom = 34 + _ROW * len(rows)
    canvas = Canvas(860, bottom + 44, title, words)
    ends = [edge for row in shown for edge in (row.low, row.high)] + ([mark[0]] if mark else [])
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    pad = max(0.02, (high - low) * 0.05)
    frame = Frame(Scale(low - pad, high + pad, 256, 640), Scale(0, 1, bottom, 28))
    frame.ticks_x(canvas, round_ticks(low - pad, high + pad, 6), write, name)
    if mark:
        canvas.line([frame.point(mark[0], 0), frame.point(mark[0], 1)], "limit", fine=True, dash=True)
        canvas.text(min(frame.x(mark[0]), 560), 20, mark[1], "middle", small=True)
    for i, row in enumerate(rows):
        y = 28 + _ROW * (i + 0.5)
        canvas.text(246, y + 4, shorten(row.label, _LABEL), "end", tip=row.label)
        if row.value is None:
            canvas.text(654, y + 4, "not shown: too few", small=True)
            continue
        canvas.line([(frame.x(row.low), y), (frame.x(row.high), y)], row.kind)
        canvas.dot(frame.x(row.value), y, 4.5, row.kind, f"{write(row.value)}")
        canvas.text(654, y + 4, f"{write(row.value)} ({write(row.low)} to {write(row.high)})", small=True)
    return canvas
