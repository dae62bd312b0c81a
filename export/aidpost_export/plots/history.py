"""How the training went: losses and the tuning AUROC by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aidpost_export.plots.axes import Frame, Scale, round_ticks
from aidpost_export.plots.canvas import Canvas, Kind


@dataclass(frozen=True)
class Epoch:
    """One pass over the training cases."""

    number: int
    train_loss: float | None
    """None for epoch 0, before any training."""
    tuning_loss: float
    tuning_auroc: float | None
    """None where a class was missing."""


def history_plot(epochs: Sequence[Epoch], kept: int | None) -> Canvas:
    """Draw the losses on the left and the AUROC on the tuning cases on the right, and mark the epoch that was kept."""
    best = min(epochs, key=lambda epoch: epoch.tuning_loss)
    canvas = Canvas(
        860,
        300,
        "Training history",
        f"{epochs[-1].number} epochs; the lowest tuning loss, {best.tuning_loss:.3f}, came at epoch {best.number}.",
    )
    numbers = [epoch.number for epoch in epochs]
    training = [(float(e.number), e.train_loss) for e in epochs if e.train_loss is not None]
    tuning = [(float(e.number), e.tuning_loss) for e in epochs]
    highest = max(value for _, value in training + tuning)
    left = _panel(canvas, 62, 424, numbers, 0.0, highest * 1.05 or 1.0, "loss")
    _series(canvas, left, training, "other", dash=True)
    _series(canvas, left, tuning, "model")
    if kept is not None:
        canvas.line([left.point(kept, 0), left.point(kept, highest)], "limit", fine=True, dash=True)
    mark = "" if kept is None else "   ┊ kept"
    canvas.text(420, 24, f"┄ training   ─ tuning{mark}", "end", small=True)
    areas = [(float(e.number), e.tuning_auroc) for e in epochs if e.tuning_auroc is not None]
    if areas:
        low = max(0.0, min(value for _, value in areas) - 0.05)
        right = _panel(canvas, 496, 840, numbers, low, 1.0, "AUROC, tuning cases")
        _series(canvas, right, areas, "model")
    return canvas


def _panel(canvas: Canvas, start: int, end: int, numbers: Sequence[int], low: float, high: float, name: str) -> Frame:
    first, last = min(numbers), max(numbers)
    frame = Frame(Scale(first - 0.3, max(last, first + 1) + 0.3, start, end), Scale(low, high, 250, 34))
    ticks = [tick for tick in round_ticks(first, last, 8) if tick == int(tick)] or [float(first)]
    frame.ticks_x(canvas, ticks, lambda value: f"{value:g}", "epoch")
    frame.ticks_y(canvas, round_ticks(low, high), lambda value: f"{value:g}", name)
    return frame


def _series(
    canvas: Canvas, frame: Frame, points: Sequence[tuple[float, float]], kind: Kind, *, dash: bool = False
) -> None:
    canvas.line([frame.point(*point) for point in points], kind, dash=dash)
    for number, value in points:
        x, y = frame.point(number, value)
        canvas.dot(x, y, 2.5, kind, f"epoch {number:g}: {value:.4f}")
