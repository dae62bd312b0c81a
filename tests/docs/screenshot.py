"""A screenshot of a terminal, drawn by rich from what a guide shows. Nothing in it is loaded from anywhere."""

from __future__ import annotations

import io
import re
from html import escape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from .console import read_steps

COLUMNS = 66
THEME = TerminalTheme((20, 24, 30), (228, 232, 238), [(20, 24, 30), (255, 138, 128), (127, 214, 174), (255, 196, 87)])
FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>TITLE</title>
<style>
.{unique_id}-matrix {{
  font: {char_height}px "DejaVu Sans Mono", Menlo, Consolas, monospace; line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""
"""rich's own frame would load its font from elsewhere."""
_COLOURS = {
    r"^\$ .*$": "bold",
    r"\bREFER\b": "red",
    r"\bCLEAR\b": "green",
    r"\b(?:UNSURE|REPEAT)\b": "yellow",
}


def screenshot(document: Path, command: str) -> str:
    """Draw the first command of a document that begins with `command`, and what it printed."""
    step = next((step for step in read_steps(document) if step.command.startswith(command)), None)
    if step is None:
        raise ValueError(f"{document} shows no command that begins with {command!r}")
    typed = "$ " + step.command.replace("\n", "\n> ")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    for line in (*typed.splitlines(), *step.output):
        coloured = Text(line)
        for pattern, style in _COLOURS.items():
            coloured.highlight_regex(re.compile(pattern), style)
        console.print(coloured)
    svg = console.export_svg(title=command, theme=THEME, code_format=FRAME, unique_id="terminal")
    svg = svg.replace("TITLE", escape(f"The terminal after {command}"), 1)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
