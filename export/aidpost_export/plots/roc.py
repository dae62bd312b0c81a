"""The ROC curve with its interval band and the operating point."""

from __future__ import annotations

import numpy as np

from aidpost_export.curves import GRID, RocCurve
from aidpost_export.plots.axes import SHARE_TICKS, Frame, Scale, percent
from aidpost_export.plots.canvas import Canvas


def roc_plot(name: str, curve: RocCurve, operating: tuple[float, float], note: str) -> Canvas:
    """Draw the curve; `operating` is the point (false alarms, sensitivity) of the threshold, `note` the AUROC."""
    canvas = Canvas(
        420,
        420,
        f"ROC curve of {name}",
        f"{note}. At the threshold {operating[1]:.0%} of those with the finding are referred "
        f"and {operating[0]:.0%} of those without.",
    )
    frame = Frame(Scale(0, 1, 62, 404), Scale(0, 1, 370, 28))
    frame.ticks_x(canvas, SHARE_TICKS, percent, "without the finding, yet referred")
    frame.ticks_y(canvas, SHARE_TICKS, percent, "with the finding and referred")
    grid = np.linspace(0, 1, GRID)
    upper = [frame.point(x, y) for x, y in zip(grid, curve.band_high, strict=True)]
    lower = [frame.point(x, y) for x, y in zip(grid, curve.band_low, strict=True)]
    canvas.area([*upper, *reversed(lower)], "band")
    canvas.line([frame.point(0, 0), frame.point(1, 1)], "chance", fine=True, dash=True)
    canvas.line([frame.point(x, y) for x, y in zip(curve.false_alarms, curve.sensitivity, strict=True)], "model")
    x, y = frame.point(*operating)
    canvas.dot(x, y, 6, "limit", f"threshold: {operating[1]:.1%} referred, {operating[0]:.1%} false alarms")
    canvas.text(396, 338, note, "end")
    canvas.text(396, 356, "● threshold   ┄ chance", "end", small=True)
    return canvas
