"""Drawing for the documents: boxes with text, arrows between them, as SVG that looks the same on light and dark pages.

Coordinates are pixels from the top left.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

FONT = "'DejaVu Sans', Verdana, Arial, sans-serif"
INK, SOFT, PAPER = "#1c2430", "#566070", "#ffffff"
_FILLS = {"step": "#e8f1fa", "thing": "#fbf6e9", "result": "#e9f5ee"}
_EDGES = {"step": "#0b5fa5", "thing": "#a07a1c", "result": "#1a6647"}
LINE = 17
"""Height of a line of small text."""

Kind = Literal["step", "thing", "result"]
"""What a box stands for: something that is done, something that is brought, something that comes of it."""


@dataclass(frozen=True)
class Box:
    """A rounded box with a title and lines below it."""

    left: int
    top: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()
    kind: Kind = "step"

    @property
    def middle(self) -> tuple[int, int]:
        """Its centre."""
        return self.left + self.width // 2, self.top + self.height // 2

    def draw(self) -> str:
        """Give its elements."""
        x = self.middle[0]
        first = self.middle[1] - LINE * len(self.lines) // 2 + 5
        texts = [text(x, first, self.title, size=15, bold=True)]
        texts += [text(x, first + 2 + LINE * (i + 1), line, size=12) for i, line in enumerate(self.lines)]
        return (
            f'<rect x="{self.left}" y="{self.top}" width="{self.width}" height="{self.height}" rx="8" '
            f'fill="{_FILLS[self.kind]}" stroke="{_EDGES[self.kind]}" stroke-width="1.5"/>' + "".join(texts)
        )


def text(x: int, y: int, words: str, *, size: int, bold: bool = False, anchor: str = "middle", fill: str = INK) -> str:
    """Write one line."""
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}"{weight} text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'
    )


def panel(left: int, top: int, width: int, height: int, title: str, *, indent: int = 20) -> str:
    """Draw the ground of several boxes with its title at the top."""
    ground = f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="12" fill="#f5f7f9" stroke="#d5dae1"/>'
    return ground + text(left + indent, top + 30, title, size=16, bold=True, anchor="start")


def arrow(*points: tuple[int, int]) -> str:
    """Draw a line through the points with a head at its end."""
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{SOFT}" stroke-width="2" marker-end="url(#head)"/>'


def page(width: int, height: int, description: str, parts: list[str]) -> str:
    """Put the parts on a page."""
    head = (
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 10 5 0 10z" fill="{SOFT}"/></marker></defs>'
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" font-family="{FONT}">',
            f"<title>{escape(description)}</title>",
            head,
            f'<rect width="{width}" height="{height}" rx="14" fill="{PAPER}"/>',
            *parts,
            "</svg>\n",
        ]
    )
