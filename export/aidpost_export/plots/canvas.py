"""The canvas: SVG elements in pixels from the top left, coloured by class so that a page can restyle them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal

Kind = Literal["model", "other", "chance", "positive", "negative", "limit", "axis", "grid", "band", "faint"]
"""What a mark stands for; the style sheet gives each its colour."""

STYLE = """
.plot{--model:#0b5fa5;--positive:#b8470b;--negative:#4a7aa6;--other:#6b7280;--ink:#1c2430;--faint:#d5dae1}
@media(prefers-color-scheme:dark){.plot{--model:#6cb6f5;--positive:#f2955c;--negative:#7fa8d1;--other:#a3abb8;
--ink:#e4e8ee;--faint:#3a4350}}
@media print{.plot{--model:#0b5fa5;--positive:#b8470b;--negative:#4a7aa6;--other:#6b7280;--ink:#000;--faint:#ccc}}
.plot text{font:12px system-ui,"DejaVu Sans",Arial,sans-serif;fill:var(--ink)}
.plot text.small{font-size:11px}
.plot .line{fill:none;stroke-width:2}
.plot .fine{fill:none;stroke-width:1}
.plot .dash{stroke-dasharray:5 4}
.plot .model.line,.plot .model.fine{stroke:var(--model)}
.plot .model.fill{fill:var(--model)}
.plot .positive.line,.plot .positive.fine{stroke:var(--positive)}
.plot .positive.fill{fill:var(--positive)}
.plot .negative.line,.plot .negative.fine{stroke:var(--negative)}
.plot .negative.fill{fill:var(--negative)}
.plot .other.line,.plot .other.fine,.plot .chance.line,.plot .chance.fine{stroke:var(--other)}
.plot .other.fill{fill:var(--other)}
.plot .limit.line,.plot .limit.fine{stroke:var(--ink)}
.plot .limit.fill{fill:var(--ink)}
.plot .axis.fine{stroke:var(--other)}
.plot .grid.fine{stroke:var(--faint)}
.plot .band.fill{fill:var(--model);opacity:.18}
.plot .faint.fill{fill:var(--faint)}
"""
"""Style sheet of the plots. A page that shows several holds it once."""


class Canvas:
    """An SVG picture in the making."""

    def __init__(self, width: int, height: int, title: str, description: str) -> None:
        """Begin a picture of `width` by `height` pixels; the description is what a screen reader says."""
        self.width, self.height = width, height
        self._title, self._description = title, description
        self._elements: list[str] = []

    def line(
        self, points: Iterable[tuple[float, float]], kind: Kind, *, fine: bool = False, dash: bool = False
    ) -> None:
        """Draw a line through the points."""
        look = f"{kind} {'fine' if fine else 'line'}{' dash' if dash else ''}"
        self._elements.append(f'<polyline class="{look}" points="{_pairs(points)}"/>')

    def area(self, points: Iterable[tuple[float, float]], kind: Kind) -> None:
        """Fill the polygon of the points."""
        self._elements.append(f'<polygon class="{kind} fill" points="{_pairs(points)}"/>')

    def bar(self, x: float, y: float, width: float, height: float, kind: Kind, tip: str) -> None:
        """Draw a filled rectangle from its top left corner; `tip` says its value."""
        box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        self._elements.append(f'<rect class="{kind} fill" {box}>{_tip(tip)}</rect>')

    def dot(self, x: float, y: float, radius: float, kind: Kind, tip: str = "") -> None:
        """Draw a filled circle around its centre; `tip` says its value."""
        self._elements.append(
            f'<circle class="{kind} fill" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">{_tip(tip)}</circle>'
        )

    def ring(self, x: float, y: float, radius: float, kind: Kind, tip: str) -> None:
        """Draw an empty circle around its centre; `tip` says its value."""
        self._elements.append(
            f'<circle class="{kind} line" cx="{x:.1f}" cy="{y:.1f}" r="{radius - 1:.1f}">{_tip(tip)}</circle>'
        )

    def text(
        self,
        x: float,
        y: float,
        content: str,
        anchor: Literal["start", "middle", "end"] = "start",
        *,
        small: bool = False,
        upward: bool = False,
        tip: str = "",
    ) -> None:
        """Write a line of text whose baseline is at y; `upward` turns it along a vertical axis."""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if upward else ""
        look = ' class="small"' if small else ""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self._elements.append(f"<text {place}{look}{turn}>{_tip(tip)}{escape(content)}</text>")

    def inline(self) -> str:
        """The picture for a page that holds `STYLE`."""
        return self._document("")

    def standalone(self) -> str:
        """The picture as a file of its own."""
        return self._document(f"<style>{STYLE}</style>")

    def _document(self, style: str) -> str:
        label = escape(f"{self._title}. {self._description}", quote=True)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" aria-label="{label}">'
        )
        return "\n".join([head + style, f"<title>{escape(self._title)}</title>", *self._elements, "</svg>\n"])


def shorten(text: str, length: int) -> str:
    """Cut a text to a number of characters, with an ellipsis where something is missing."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _pairs(points: Iterable[Sequence[float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _tip(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""
