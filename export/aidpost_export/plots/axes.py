"""Axes: from values to pixels, with ticks, a grid and names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aidpost_export.plots.canvas import Canvas

SHARE_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Scale:
    """A linear scale."""

    low: float
    high: float
    """Values at the two ends."""
    start: float
    end: float
    """Pixels at the two ends."""

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Frame:
    """A rectangle with a scale on each side."""

    x: Scale
    y: Scale

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a pair of values."""
        return self.x(x), self.y(y)

    def ticks_x(self, canvas: Canvas, ticks: Sequence[float], write: Callable[[float], str], name: str) -> None:
        """Draw the horizontal axis with its ticks and name below."""
        for tick in ticks:
            canvas.line([(self.x(tick), self.y.start), (self.x(tick), self.y.end)], "grid", fine=True)
            canvas.text(self.x(tick), self.y.start + 16, write(tick), "middle", small=True)
        canvas.line([(self.x.start, self.y.start), (self.x.end, self.y.start)], "axis", fine=True)
        canvas.text((self.x.start + self.x.end) / 2, self.y.start + 34, name, "middle")

    def ticks_y(self, canvas: Canvas, ticks: Sequence[float], write: Callable[[float], str], name: str) -> None:
        """Draw the vertical axis with its ticks and name on the left."""
        for tick in ticks:
            canvas.line([(self.x.start, self.y(tick)), (self.x.end, self.y(tick))], "grid", fine=True)
            canvas.text(self.x.start - 7, self.y(tick) + 4, write(tick), "end", small=True)
        canvas.line([(self.x.start, self.y.start), (self.x.start, self.y.end)], "axis", fine=True)
        canvas.text(self.x.start - 42, (self.y.start + self.y.end) / 2, name, "middle", upward=True)


def percent(value: float) -> str:
    """Write a share as a whole percentage."""
    return f"{value:.0%}"


def round_ticks(low: float, high: float, wanted: int = 5) -> tuple[float, ...]:
    """Choose round values between two ends, about as many as wanted."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next((power * m for m in (1, 2, 5) if span / (power * m) <= wanted), power * 10)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(i * step, 10) for i in range(first, last + 1))
