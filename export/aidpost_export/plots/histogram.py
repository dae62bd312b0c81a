"""The scores of both classes, mirrored on one axis, with the threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_export.plots.axes import SHARE_TICKS, Frame, Scale, percent, round_ticks
from aidpost_export.plots.canvas import Canvas, Kind, shorten

BARS = 40


def histogram_plot(
    name: str, probability: NDArray[np.floating], target: NDArray[np.floating], threshold: float
) -> Canvas:
    """Count the cases by probability: with the finding upwards, without it downwards.  # (N,), (N,) in {0, 1}"""
    positive = np.asarray(target) > 0
    edges = np.linspace(0, 1, BARS + 1)
    up = np.histogram(probability[positive], bins=edges)[0]
    down = np.histogram(probability[~positive], bins=edges)[0]
    missed = int(np.sum(positive & (probability < threshold)))
    alarms = int(np.sum(~positive & (probability >= threshold)))
    canvas = Canvas(
        860,
        350,
        f"Scores for {name}",
        f"Threshold {threshold:.3f}. Of {int(positive.sum())} cases with the finding {missed} lie below it; "
        f"of {int((~positive).sum())} without {alarms} lie at or above it.",
    )
    reach = (max(1, int(down.max(initial=0))), max(1, int(up.max(initial=0))))
    frame = Frame(Scale(0, 1, 62, 840), Scale(-reach[0], reach[1], 304, 48))
    ticks = [-t for t in round_ticks(0, reach[0], 3)[1:]] + list(round_ticks(0, reach[1], 3))
    frame.ticks_x(canvas, SHARE_TICKS, percent, "probability the model gave")
    frame.ticks_y(canvas, sorted(ticks), lambda value: f"{abs(value):g}", "cases")
    sides: list[tuple[NDArray[np.intp], Kind, int, str]] = [
        (up, "positive", 1, "with"),
        (down, "negative", -1, "without"),
    ]
    for counts, kind, sign, words in sides:
        for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
            if count:
                tip = f"{count} {words} the finding, {left:.1%} to {right:.1%}"
                corner, height = max(0, sign * count), abs(frame.y(count) - frame.y(0))
                canvas.bar(frame.x(left), frame.y(corner), frame.x(right) - frame.x(left) - 1, height, kind, tip)
    canvas.line([(62, frame.y(0)), (840, frame.y(0))], "axis", fine=True)
    canvas.line([frame.point(threshold, -reach[0]), frame.point(threshold, reach[1])], "limit", dash=True)
    words = f"threshold {threshold:.3f}: referred from here"
    canvas.text(frame.x(threshold), 40, words, "start" if threshold < 0.6 else "end")
    canvas.text(62, 18, f"▲ with {shorten(name, 40)}", small=True)
    canvas.text(840, 18, f"▼ without {shorten(name, 40)}", "end", small=True)
    return canvas
